"""Scores of one cell from its test predictions.

Every mean over classes (macro-F1, UAR) is over those that occur in the truth, in validation as in
tests: of another there is nothing to find, and predicting it costs the true class its recall.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from backbones.reading import MOST_ROWS

Share = Annotated[float, Field(ge=0, le=1)]
# What a float still holds exactly.
Count = Annotated[int, Field(ge=0, le=2**53)]


class Scores(BaseModel):
    """Scores over all test clips of a cell, or means of such scores (see `mean_scores`).

    Attributes:
        per_class_f1: of the classes that occur in the truth.
        confusion: clips, [truth][prediction].
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    accuracy: Share
    macro_f1: Share
    uar: Share
    per_class_f1: dict[str, Share]
    confusion: Annotated[
        list[Annotated[list[Count], Field(fail_fast=True)]],
        Field(min_length=1, max_length=1000, fail_fast=True),
    ]

    @model_validator(mode="after")
    def _confusion_is_square(self) -> Self:
        if any(len(row) != len(self.confusion) for row in self.confusion):
            raise ValueError("the confusion has not as many columns as rows")
        if sum(map(sum, self.confusion)) > MOST_ROWS:
            raise ValueError(f"the confusion is of more than {MOST_ROWS} clips")
        return self

    def close_to(self, other: Scores) -> bool:
        """Whether two are the same but for rounding."""
        classes = sorted(self.per_class_f1)
        if (self.confusion, classes) != (other.confusion, sorted(other.per_class_f1)):
            return False
        own, others = (
            (each.accuracy, each.macro_f1, each.uar, *(each.per_class_f1[c] for c in classes))
            for each in (self, other)
        )
        return np.allclose(own, others, atol=1e-9)


def mean_scores(each: Sequence[Scores]) -> Scores:
    """What several splits of the same clips score: the mean of each score.

    Not the score of all predictions together: of a macro-F1 that is another number, and no mean
    for the spread over the splits to go with. Confusions are added up; F1 of a class is the mean
    over the splits that test it.
    """
    present = dict.fromkeys(label for scores in each for label in scores.per_class_f1)
    return Scores(
        accuracy=fmean(scores.accuracy for scores in each),
        macro_f1=fmean(scores.macro_f1 for scores in each),
        uar=fmean(scores.uar for scores in each),
        per_class_f1={
            label: fmean(s.per_class_f1[label] for s in each if label in s.per_class_f1)
            for label in present
        },
        confusion=np.sum([scores.confusion for scores in each], axis=0).tolist(),
    )


def over_seeds(each: Sequence[Scores]) -> Scores:
    """What refits with several seeds score: the mean of each score, and the first confusion."""
    return mean_scores(each).model_copy(update={"confusion": each[0].confusion})


def macro_f1(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Unweighted mean of the F1 of the classes in the truth; one never predicted counts as 0."""
    right, true, said = _counts(truth, predicted, 1 + max(truth.max(), predicted.max()))
    present = true > 0
    return float(np.mean(2 * right[present] / (true + said)[present]))


def score(truth: NDArray[np.int64], predicted: NDArray[np.int64], labels: Sequence[str]) -> Scores:
    """All scores of a cell.

    Args:
        truth: class indices (clips,).
        predicted: class indices (clips,).
        labels: class names, in the order of the indices.

    Returns:
        Accuracy, macro-F1, UAR (unweighted average recall), F1 per
        class, and the confusion matrix in clips (rows: truth, columns: prediction).
    """
    classes = len(labels)
    right, true, said = _counts(truth, predicted, classes)
    present = np.flatnonzero(true)
    per_class = 2 * right[present] / (true + said)[present]
    confusion = np.bincount(truth * classes + predicted, minlength=classes**2)
    return Scores(
        accuracy=float(np.mean(truth == predicted)),
        macro_f1=float(np.mean(per_class)),
        uar=float(np.mean(right[present] / true[present])),
        per_class_f1={
            labels[i]: f1 for i, f1 in zip(present.tolist(), per_class.tolist(), strict=True)
        },
        confusion=confusion.reshape(classes, classes).tolist(),
    )


def _counts(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Clips of each class that are rightly predicted, that there are, and that are predicted."""
    right = truth[truth == predicted]
    made = [np.bincount(clips, minlength=classes) for clips in (right, truth, predicted)]
    return made[0], made[1], made[2]
