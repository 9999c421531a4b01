"""Whether stored predictions give the scores of their record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.records import predictions
from bench.records.predictions import Codes, Predictions, Unsound
from bench.records.schema import Record
from bench.records.store import inner_path, predictions_path
from bench.scoring import macro_f1, mean_scores, over_seeds, score


def flaw(results: Path, record: Record) -> str | None:
    """What is wrong with the predictions of a finished record; None where they give its scores."""
    wanted = [(predictions.tested, _gives, predictions_path)]
    if any(fold.tried is not None for fold in record.folds):
        wanted.append((predictions.inner, _inner_gives, inner_path))
    for read, gives, path in wanted:
        try:
            found = read(results, record)
        except Unsound as error:
            return str(error)
        file = path(results, record.cell)
        apart = record.folding.repeats or read is predictions.inner
        if not _once(found, apart):
            return f"its predictions {file} are of some clip more than once"
        if not gives(found, record):
            return f"its predictions {file} do not give its scores"
    return None


def _once(found: Predictions, apart: bool) -> bool:
    """Whether no clip comes twice: in a fold, where folds share clips, else at all."""
    asked = np.column_stack([found.folds if apart else np.zeros_like(found.folds), found.clips])
    return len(np.unique(asked, axis=0)) == len(asked)


def _gives(found: Predictions, record: Record) -> bool:
    """Whether predictions of test clips give the scores of a record."""
    repeats = record.folding.repeats
    parts = _parts(found.folds, record) if repeats else [np.ones(found.truth.size, dtype=bool)]
    if not parts:
        return False
    each = [
        mean_scores([score(found.truth[own], said[own], record.labels) for own in parts])
        for said in found.said
    ]
    told = [(seed.accuracy, seed.macro_f1) for seed in record.seeds]
    own = [(scores.accuracy, scores.macro_f1) for scores in each]
    sound = over_seeds(each).close_to(record.scored)
    sound = sound and (not told or np.allclose(own, told, atol=1e-9))
    if repeats:
        of_folds = [(fold.test_accuracy, fold.test_macro_f1) for fold in record.folds]
        by_part = _by_part(found.truth, found.said[0], parts)
        sound = sound and np.allclose(by_part, of_folds, atol=1e-9)
    return sound


def _inner_gives(found: Predictions, record: Record) -> bool:
    """Whether predictions of inner folds give the validation scores of a record's folds."""
    by_part = _by_part(found.truth, found.said[0], _parts(found.folds, record))
    told = [(fold.val_accuracy, fold.val_macro_f1) for fold in record.folds]
    return len(by_part) == len(told) and np.allclose(by_part, told, atol=1e-9)


def _by_part(
    truth: Codes, predicted: Codes, parts: Sequence[NDArray[np.bool_]]
) -> list[tuple[float, float]]:
    """Accuracy and macro-F1 of each part."""
    return [
        (float(np.mean(truth[own] == predicted[own])), macro_f1(truth[own], predicted[own]))
        for own in parts
    ]


def _parts(fold_of: Codes, record: Record) -> list[NDArray[np.bool_]]:
    """Which rows are of each fold; empty where there are rows of another, or none of one."""
    if set(fold_of.tolist()) != set(range(len(record.folds))):
        return []
    return [fold_of == number for number in range(len(record.folds))]
