"""Scores of one cell from its test predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score


class Scores(BaseModel):
    """Scores over all test clips of a cell, each tested once; confusion[truth][prediction]."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    accuracy: float
    macro_f1: float
    uar: float
    per_class_f1: dict[str, float]
    confusion: list[list[int]]


def macro_f1(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> float:
    """Unweighted mean of the classes' F1; a class never predicted counts as 0."""
    return float(
        f1_score(truth, predicted, labels=np.arange(classes), average="macro", zero_division=0)
    )


def score(truth: NDArray[np.int64], predicted: NDArray[np.int64], labels: Sequence[str]) -> Scores:
    """All scores of a cell.

    Args:
        truth: class indices (clips,).
        predicted: class indices (clips,).
        labels: class names, in the order of the indices.

    Returns:
        Accuracy, macro-F1, UAR (unweighted average recall, i.e. balanced accuracy), F1 per
        class, and the confusion matrix in clips (rows: truth, columns: prediction).
    """
    indices = np.arange(len(labels))
    per_class = f1_score(truth, predicted, labels=indices, average=None, zero_division=0)
    return Scores(
        accuracy=float(accuracy_score(truth, predicted)),
        macro_f1=macro_f1(truth, predicted, len(labels)),
        uar=float(balanced_accuracy_score(truth, predicted)),
        per_class_f1=dict(zip(labels, map(float, per_class), strict=True)),
        confusion=confusion_matrix(truth, predicted, labels=indices).tolist(),
    )
