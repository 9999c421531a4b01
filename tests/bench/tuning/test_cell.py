from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage

from bench.config.grid import Cell
from bench.protocols.fold import Fold
from bench.scoring import score
from bench.tuning import search as tuning
from bench.tuning.fits.base import Draw, Labels
from bench.tuning.fits.vectors import VectorFit
from bench.tuning.search import Search, tune_fold
from bench.tuning.storage import JournalStudies

CELL = Cell("a-task", "a-protocol", "a-backbone", "mean", "logistic_regression")
CLASSES = 8
CLIPS = 1440


class Vectors:
    """Vectors of a few layers held in memory, with the interface of `FeatureView`."""

    def __init__(self, layers: list[np.ndarray]) -> None:
        self._layers = layers
        self.layers = len(layers)
        self.read: list[int] = []

    def vectors(self, layer: int, pooling: str) -> np.ndarray:
        self.read.append(layer)
        return self._layers[layer]


def _problem(view: Any, classes: np.ndarray, head: str = "logistic_regression") -> Problem:
    labels = Labels(classes, CLASSES)
    return VectorFit(view, labels, "mean", head, threads=1), labels


Problem = tuple[VectorFit, Labels]


def _open(folder: Path, name: str) -> JournalStorage:
    return JournalStudies(folder).open(name, lambda study, trial: Draw(0, {}))


def _study(folder: Path) -> optuna.Study:
    return tuning.open_study(_open(folder, "deep/cell"), "fold-0")


def _fold(clips: int, index: int = 0) -> Fold:
    order = np.random.default_rng(index).permutation(clips)
    cut = clips // 5
    train, validation, test = order[2 * cut :], order[cut : 2 * cut], order[:cut]
    return Fold(index, np.sort(train), np.sort(validation), np.sort(test), ("a",))


def _tune(problem: Problem, fold: Fold, storage: Any, trials: int) -> tuning.FoldOutcome:
    # heads on vectors keep no checkpoints, and what comes of a fold is not kept by `tune_fold`
    search = Search(trials=trials, seed_for=partial(CELL.seed, 0), folder=Path("not-written"))
    return tune_fold(*problem, fold, storage, search)


@pytest.fixture
def labelled() -> tuple[list[np.ndarray], np.ndarray]:
    """Two layers: noise, and vectors that hold the class."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, CLASSES, CLIPS)
    centres = rng.normal(size=(CLASSES, 16))
    informative = centres[classes] + rng.normal(scale=1.0, size=(CLIPS, 16))
    noise = rng.normal(size=(CLIPS, 16))
    return [noise.astype(np.float32), informative.astype(np.float32)], classes


def test_the_layer_that_holds_the_class_is_found(
    labelled: tuple[list[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    layers, classes = labelled
    outcome = _tune(_problem(Vectors(layers), classes), _fold(CLIPS), _open(tmp_path, "j"), 6)
    assert outcome.layer == 1
    assert outcome.states == {"complete": 6, "pruned": 0, "failed": 0}


def test_test_labels_and_test_vectors_change_nothing_that_is_tuned(
    labelled: tuple[list[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    layers, classes = labelled
    fold = _fold(CLIPS)
    spoilt_classes = classes.copy()
    spoilt_classes[fold.test] = 0
    spoilt = [layer.copy() for layer in layers]
    for layer in spoilt:
        layer[fold.test] = 1e3
    outcomes = [
        _tune(_problem(Vectors(x), y), fold, _open(tmp_path, name), 4)
        for name, x, y in (("a", layers, classes), ("b", spoilt, spoilt_classes))
    ]
    assert outcomes[0].best_params == outcomes[1].best_params
    assert outcomes[0].validated.macro_f1 == outcomes[1].validated.macro_f1


def test_shuffled_labels_score_at_chance(
    labelled: tuple[list[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    """Eight classes: 12.5 %, with a standard deviation of 0.9 points on 1440 clips."""
    layers, classes = labelled
    shuffled = np.random.default_rng(1).permutation(classes)
    parts = np.array_split(np.random.default_rng(2).permutation(CLIPS), 3)
    predicted = np.empty(CLIPS, dtype=np.int64)
    for k in range(3):
        fold = Fold(k, parts[(k + 2) % 3], parts[(k + 1) % 3], parts[k], ("a",))
        problem = _problem(Vectors(layers), shuffled)
        outcome = _tune(problem, fold, _open(tmp_path, str(k)), 4)
        predicted[parts[k]] = outcome.tested.probabilities.argmax(axis=1)
    scores = score(shuffled, predicted, [str(i) for i in range(CLASSES)])
    assert 0.10 < scores.accuracy < 0.16


def test_an_interrupted_study_ends_as_an_uninterrupted_one(
    labelled: tuple[list[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    layers, classes = labelled
    problem, fold = _problem(Vectors(layers), classes), _fold(CLIPS)
    whole = _tune(problem, fold, _open(tmp_path, "whole"), 7)
    for trials in (2, 3, 7):
        storage = _open(tmp_path, "parts")
        study = tuning.open_study(storage, "fold-0")
        study.ask()  # a trial that its process did not live to finish
        outcome = _tune(problem, fold, _open(tmp_path, "parts"), trials)
    assert outcome.best_params == whole.best_params
    assert outcome.states == whole.states == {"complete": 7, "pruned": 0, "failed": 0}
    np.testing.assert_array_equal(outcome.tested.probabilities, whole.tested.probabilities)


def test_a_torn_last_line_and_a_left_lock_do_not_stop_a_study(tmp_path: Path) -> None:
    studies = JournalStudies(tmp_path)
    path = studies.journal("deep/cell")
    _study(tmp_path).enqueue_trial({"x": 1})
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 4, "torn')
    path.with_name("cell.journal.lock").symlink_to(path)
    study = _study(tmp_path)
    assert len(study.trials) == 1
    study.ask()
    assert len(_study(tmp_path).trials) == 1


def test_a_trial_whose_fit_fails_is_counted_with_its_reason(
    labelled: tuple[list[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    layers, classes = labelled
    fold = _fold(CLIPS)
    bad = layers[0].copy()
    bad[fold.train[0], 0] = np.nan  # the first layer cannot be fitted, the second can
    outcome = _tune(_problem(Vectors([bad, layers[1]]), classes), fold, _open(tmp_path, "j"), 8)
    assert outcome.states["failed"] > 0
    assert outcome.states["failed"] + outcome.states["complete"] == 8
    assert all("NaN" in error for error in outcome.errors)
    assert outcome.layer == 1


def test_a_study_without_a_single_complete_trial_is_an_error(
    labelled: tuple[list[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    layers, classes = labelled
    bad = np.full_like(layers[0], np.nan)
    with pytest.raises(tuning.TuningError, match="all 3 trials of fold 0 failed"):
        _tune(_problem(Vectors([bad]), classes), _fold(CLIPS), _open(tmp_path, "j"), 3)


def test_a_class_absent_from_training_is_never_predicted_and_has_its_column(
    labelled: tuple[list[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    layers, classes = labelled
    fold = _fold(CLIPS)
    seen = classes.copy()
    fitted = np.concatenate([fold.train, fold.validation])
    seen[fitted] = np.where(seen[fitted] == 5, 4, seen[fitted])
    outcome = _tune(_problem(Vectors(layers), seen), fold, _open(tmp_path, "j"), 2)
    assert outcome.tested.probabilities.shape == (len(fold.test), CLASSES)
    assert (outcome.tested.probabilities[:, 5] == 0).all()
    np.testing.assert_allclose(outcome.tested.probabilities.sum(axis=1), 1.0)
