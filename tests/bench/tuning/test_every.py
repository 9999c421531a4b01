"""Every setting tried on inner folds: what is fitted, what is scored, what is not looked at."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from bench.tuning.every import tune_every
from optuna.trial import FrozenTrial
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from bench.protocols.fold import Fold
from bench.scoring import macro_f1
from bench.tuning import every
from bench.tuning.fits.base import Labels
from bench.tuning.fits.vectors import VectorFit
from bench.tuning.search import BudgetSpent, FoldOutcome, Search, finished_trials, open_study
from heads import FitDiverged
from heads.logistic_regression import GRID, LogisticRegressionHead
from tests.bench.tuning.test_cell import CELL, Vectors, _open

CLASSES = 3
SPEAKERS = 4
PER_SPEAKER = 30
CLIPS = SPEAKERS * PER_SPEAKER


def _folds() -> list[Fold]:
    """One speaker tested in each, as protocols make them."""
    speakers = np.split(np.arange(CLIPS), SPEAKERS)
    return [
        Fold(
            k,
            np.concatenate([speakers[j] for j in range(SPEAKERS) if j not in (k, (k + 1) % 4)]),
            speakers[(k + 1) % SPEAKERS],
            speakers[k],
            (str(k),),
            tuple(speakers[j] for j in range(SPEAKERS) if j != k),
        )
        for k in range(SPEAKERS)
    ]


def _data(seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Three layers of which the second one tells the classes."""
    random = np.random.default_rng(seed)
    classes = random.integers(CLASSES, size=CLIPS)
    layers = [random.standard_normal((CLIPS, 12)).astype(np.float32) for _ in range(3)]
    layers[1][:, :CLASSES] += 1.5 * np.eye(CLASSES, dtype=np.float32)[classes]
    return layers, classes


def _search(folder: Path) -> Search:
    return Search(trials=0, seed_for=partial(CELL.seed, 0), folder=folder)


def _fit(
    layers: list[np.ndarray], classes: np.ndarray, head: str
) -> tuple[VectorFit, Labels, Vectors]:
    view: Any = Vectors(layers)
    labels = Labels(classes, CLASSES)
    return VectorFit(view, labels, "mean", head, threads=1), labels, view


def _tune(
    layers: list[np.ndarray],
    classes: np.ndarray,
    folder: Path,
    head: str = "logistic_regression",
    folds: list[Fold] | None = None,
) -> list[FoldOutcome]:
    fit, labels, _ = _fit(layers, classes, head)
    folds = folds or _folds()
    return list(tune_every(fit, labels, folds, folds, _open(folder, "cell"), _search(folder)))


def test_two_folds_share_the_fit_without_both_and_no_fit_sees_what_is_tested() -> None:
    folds = _folds()
    fits = every._inner_fits(folds)
    assert len(fits) == SPEAKERS * (SPEAKERS - 1) // 2
    for fit in fits:
        assert len(fit.scored) == 2
        for fold, clips in fit.scored.items():
            assert not set(fit.train.tolist()) & {*clips.tolist(), *folds[fold].test.tolist()}
            assert not set(clips.tolist()) & set(folds[fold].test.tolist())


def test_a_fold_without_inner_folds_is_tuned_on_its_validation_part() -> None:
    fold = Fold(0, np.arange(8), np.arange(8, 10), np.arange(10, 12), ("a",))
    (fit,) = every._inner_fits([fold])
    assert fit.train.tolist() == list(range(8))
    assert {index: clips.tolist() for index, clips in fit.scored.items()} == {0: [8, 9]}


@pytest.mark.parametrize("head", ["logistic_regression", "lda"])
def test_the_layer_that_tells_the_classes_is_found(head: str, tmp_path: Path) -> None:
    outcomes = _tune(*_data(), tmp_path, head)
    assert [outcome.layer for outcome in outcomes] == [1] * SPEAKERS
    tried = 3 * (len(GRID) if head == "logistic_regression" else 1)
    assert {outcome.states["complete"] for outcome in outcomes} == {tried}
    told = f"every one of {tried} settings was tried, and scored on 3 inner folds"
    assert [outcome.notes for outcome in outcomes] == [[told]] * SPEAKERS


def test_the_objective_is_over_the_predictions_of_all_inner_folds(tmp_path: Path) -> None:
    layers, classes = _data()
    outcome = _tune(layers, classes, tmp_path)[0]
    truth, predicted = [], []
    first = _folds()[0]
    for validation in first.inner:
        train = np.setdiff1d(first.rest, validation)
        scaler = StandardScaler().fit(layers[1][train])
        model = LogisticRegression(C=outcome.best_params["C"], tol=1e-7, max_iter=10_000)
        model.fit(scaler.transform(layers[1][train]), classes[train])
        truth += classes[validation].tolist()
        predicted += model.predict(scaler.transform(layers[1][validation])).tolist()
    assert len(truth) == CLIPS - PER_SPEAKER
    expected = macro_f1(np.array(truth), np.array(predicted))
    assert outcome.validated.macro_f1 == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("head", ["logistic_regression", "lda"])
def test_spoilt_test_clips_change_nothing_before_the_last_prediction(
    head: str, tmp_path: Path
) -> None:
    layers, classes = _data()
    tested = _folds()[2].test
    spoilt, wrong = [layer.copy() for layer in layers], classes.copy()
    for layer in spoilt:
        layer[tested] = 1e6
    wrong[tested] = (classes[tested] + 1) % CLASSES
    clean = _tune(layers, classes, tmp_path / "clean", head)[2]
    dirty = _tune(spoilt, wrong, tmp_path / "dirty", head)[2]
    assert clean.best_params == dirty.best_params
    assert clean.validated == dirty.validated
    assert not np.array_equal(clean.tested.probabilities, dirty.tested.probabilities)


@pytest.mark.parametrize("head", ["logistic_regression", "lda"])
def test_rounding_changes_no_setting_that_wins(head: str, tmp_path: Path) -> None:
    layers, classes = _data()
    noise = np.random.default_rng(1)
    other = [
        (layer * (1 + 1e-6 * noise.standard_normal(layer.shape))).astype(np.float32)
        for layer in layers
    ]
    before = [each.best_params for each in _tune(layers, classes, tmp_path / "a", head)]
    after = [each.best_params for each in _tune(other, classes, tmp_path / "b", head)]
    assert before == after


def test_shuffled_labels_score_at_chance(tmp_path: Path) -> None:
    layers, classes = _data()
    shuffled = np.random.default_rng(2).permutation(classes)
    outcomes = _tune(layers, shuffled, tmp_path)
    predicted = np.concatenate([each.tested.probabilities.argmax(axis=1) for each in outcomes])
    assert 0.2 < np.mean(predicted == shuffled) < 0.47


def test_a_search_that_was_stopped_goes_on_with_its_next_layer(tmp_path: Path) -> None:
    layers, classes = _data()
    whole = _tune(layers, classes, tmp_path / "whole")
    fit, labels, view = _fit(layers, classes, "logistic_regression")
    folds, parts = _folds(), tmp_path / "parts"

    class Short(Search):
        def check_budget(self, words: str) -> None:
            if words.startswith("2 layers"):
                raise BudgetSpent(words)

    stopped = Short(trials=0, seed_for=partial(CELL.seed, 0), folder=parts)
    search = tune_every(fit, labels, folds, folds, _open(parts, "cell"), stopped)
    with pytest.raises(BudgetSpent):
        list(search)
    storage = _open(parts, "cell")
    assert len(finished_trials(open_study(storage, "fold-0"))) == 2 * len(GRID)
    view.read.clear()
    known: list[int] = []
    going_on = replace(_search(parts), on_trial=known.append)
    resumed = list(tune_every(fit, labels, folds, folds, storage, going_on))
    assert sum(known) == SPEAKERS * 3 * len(GRID)
    assert set(view.read[: len(every._inner_fits(folds))]) == {2}
    for one, other in zip(whole, resumed, strict=True):
        assert one.best_params == other.best_params
        assert one.states == other.states
        np.testing.assert_array_equal(one.tested.probabilities, other.tested.probabilities)


def test_a_kill_while_a_layer_is_being_kept_keeps_no_trial_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers, classes = _data()
    whole = _tune(layers, classes, tmp_path / "whole")
    add, kept = optuna.Study.add_trial, iter(range(len(GRID) + 5))

    def killed(study: optuna.Study, trial: FrozenTrial) -> None:
        if next(kept, None) is None:
            raise KeyboardInterrupt
        add(study, trial)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "add_trial", killed)
        with pytest.raises(KeyboardInterrupt):
            _tune(layers, classes, tmp_path / "parts")
    resumed = _tune(layers, classes, tmp_path / "parts")
    assert [each.states for each in resumed] == [each.states for each in whole]
    assert [each.best_params for each in resumed] == [each.best_params for each in whole]


def test_a_setting_that_fails_is_counted_with_its_reason_and_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = LogisticRegressionHead.fit_many.__func__

    def fit_many(cls: type, X: Any, y: Any, many: Any, **more: Any) -> Any:
        for params, head in zip(many, honest(cls, X, y, many, **more), strict=True):
            if params["C"] == GRID[3]:
                raise FitDiverged("no number")
            yield head

    monkeypatch.setattr(LogisticRegressionHead, "fit_many", classmethod(fit_many))
    outcomes = _tune(*_data(), tmp_path)
    for outcome in outcomes:
        assert outcome.states == {"complete": 3 * (len(GRID) - 1), "pruned": 0, "failed": 3}
        assert outcome.errors == ["FitDiverged: no number"] * 3
