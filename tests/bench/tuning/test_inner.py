"""Searches on inner folds: what is fitted, what is scored, what is not looked at."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from bench.protocols.fold import Fold
from bench.scoring import macro_f1
from bench.tuning import inner, ledger, scored
from bench.tuning.fits.base import Draw, Labels
from bench.tuning.fits.vectors import VectorFit
from bench.tuning.inner import tune_inner
from bench.tuning.outcomes import FoldOutcome
from bench.tuning.search import BudgetSpent, Search
from bench.tuning.settings import quasi_random
from heads import FitDiverged, HeadContext, gradient_boosting
from heads.logistic_regression import GRID, LogisticRegressionHead
from heads.mlp import MLPHead
from tests.bench.tuning.test_cell import CELL, Vectors

CLASSES = 3
SPEAKERS = 4
PER_SPEAKER = 30
CLIPS = SPEAKERS * PER_SPEAKER
# Settings of a head that draws them.
TRIALS = 6


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradient_boosting, "ROUNDS", (8, 16))


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
    return Search(trials=TRIALS, seed_for=partial(CELL.seed, 0), folder=folder)


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
    search: Search | None = None,
) -> list[FoldOutcome]:
    fit, labels, _ = _fit(layers, classes, head)
    folds = _folds()
    return list(tune_inner(fit, labels, folds, folds, search or _search(folder)))


def test_two_folds_share_the_fit_without_both_and_no_fit_sees_what_is_tested() -> None:
    folds = _folds()
    fits = ledger.inner_fits(folds)
    assert len(fits) == SPEAKERS * (SPEAKERS - 1) // 2
    for fit in fits:
        assert len(fit.scored) == 2
        for fold, clips in fit.scored.items():
            assert not set(fit.train.tolist()) & {*clips.tolist(), *folds[fold].test.tolist()}
            assert not set(clips.tolist()) & set(folds[fold].test.tolist())


def test_a_fold_without_inner_folds_is_tuned_on_its_validation_part() -> None:
    fold = Fold(0, np.arange(8), np.arange(8, 10), np.arange(10, 12), ("a",))
    (fit,) = ledger.inner_fits([fold])
    assert fit.train.tolist() == list(range(8))
    assert {index: clips.tolist() for index, clips in fit.scored.items()} == {0: [8, 9]}


@pytest.mark.parametrize("head", ["logistic_regression", "lda"])
def test_the_layer_that_tells_the_classes_is_found(head: str, tmp_path: Path) -> None:
    outcomes = _tune(*_data(), tmp_path, head)
    assert [outcome.layer for outcome in outcomes] == [1] * SPEAKERS
    tried = 3 * (len(GRID) if head == "logistic_regression" else 1)
    assert {outcome.states["complete"] for outcome in outcomes} == {tried}
    for outcome in outcomes:
        assert outcome.tried is not None
        assert (outcome.tried.how, outcome.tried.settings) == ("every", tried)
        assert len(outcome.tried.curve) == 3
        by_layer = outcome.tried.by_layer
        assert int(np.argmax(by_layer)) == outcome.layer
        assert outcome.tried.curve == list(np.maximum.accumulate(by_layer))


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


@pytest.mark.parametrize("head", ["logistic_regression", "lda", "gradient_boosting", "mlp"])
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


@pytest.mark.parametrize("head", ["logistic_regression", "gradient_boosting"])
def test_a_search_that_was_killed_goes_on_and_ends_alike(
    head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers, classes = _data()
    whole = _tune(layers, classes, tmp_path / "whole", head)
    write, left = ledger.write_atomically, iter(range(10))

    def killed(path: Path, content: bytes) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            _tune(layers, classes, tmp_path / "parts", head)
    kept = {path: path.read_bytes() for path in (tmp_path / "parts" / "inner").iterdir()}
    assert len(kept) == 10
    known: list[int] = []
    going_on = replace(_search(tmp_path / "parts"), on_trial=known.append)
    resumed = _tune(layers, classes, tmp_path / "parts", head, search=going_on)
    assert {path: path.read_bytes() for path in kept} == kept, "fitted again"
    assert sum(known) == sum(whole[0].states.values()) * SPEAKERS
    for one, other in zip(whole, resumed, strict=True):
        assert one.best_params == other.best_params
        assert (one.states, one.tried) == (other.states, other.tried)
        np.testing.assert_array_equal(one.tested.probabilities, other.tested.probabilities)
        assert one.inner is not None
        assert other.inner is not None
        np.testing.assert_array_equal(one.inner.probabilities, other.inner.probabilities)


def test_a_deadline_ends_the_search_between_two_fits(tmp_path: Path) -> None:
    past = replace(_search(tmp_path), deadline=time.time() - 1)
    with pytest.raises(BudgetSpent):
        _tune(*_data(), tmp_path, search=past)


@settings(max_examples=50)
@given(content=st.binary(max_size=200) | st.from_regex(rb"\\[[^a\\[]{0,80}\\]", fullmatch=True))
def test_a_damaged_page_is_fitted_again(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("page") / "page.json"
    file.write_bytes(content)
    assert ledger._read(file, 1, 2, CLASSES) is None


SAID = np.array([[0.25, 0.25, 0.5], [1, 0, 0]], dtype=np.float32)


@pytest.mark.parametrize(
    "odd",
    [
        {"failed": [None, None]},
        {"failed": ["why"]},
        {"failed": ["no", "why"]},
        {"failed": [1, "why"]},
        {"said": "0"},
        {"said": base64.b64encode(SAID[:1].tobytes()).decode()},
        {"said": base64.b64encode((SAID * 2).tobytes()).decode()},
        {"said": base64.b64encode((SAID * np.nan).tobytes()).decode()},
        {"said": base64.b64encode(SAID.tobytes()[1:]).decode()},
        {"seconds": -1.0},
        {"seconds": 1e300},
        {"seconds": "long"},
    ],
    ids=str,
)
def test_a_page_of_odd_values_is_fitted_again(odd: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "page.json"
    said = base64.b64encode(SAID.tobytes()).decode()
    honest = {"failed": [None, "why"], "said": said, "seconds": 1.0}
    file.write_text(json.dumps([honest]))
    page = ledger._read(file, 2, 2, CLASSES)
    assert page is not None
    probabilities, why = page.by_draw(2, CLASSES)
    np.testing.assert_array_equal(probabilities, SAID)
    assert why == "why"
    file.write_text(json.dumps([honest | odd]))
    assert ledger._read(file, 2, 2, CLASSES) is None


def test_a_race_finds_the_layer_and_gives_up_most_settings_early(tmp_path: Path) -> None:
    outcomes = _tune(*_data(), tmp_path, "gradient_boosting")
    for outcome in outcomes:
        assert outcome.layer == 1
        assert outcome.states == {"complete": 1, "pruned": TRIALS - 1, "failed": 0}
        assert outcome.tried is not None
        assert (outcome.tried.how, outcome.tried.settings, outcome.tried.inner_folds) == (
            "race",
            TRIALS,
            3,
        )
        assert len(outcome.tried.curve) == TRIALS
        assert outcome.tried.curve == sorted(outcome.tried.curve)


@pytest.mark.parametrize(("folds", "counts"), [(3, [3]), (4, [2, 4]), (5, [5, 5]), (6, [3, 6, 6])])
def test_a_race_begins_with_the_fits_that_serve_most_folds(folds: int, counts: list[int]) -> None:
    clips = np.split(np.arange(folds * 2), folds)
    ring = [
        Fold(
            k,
            np.concatenate([clips[j] for j in range(folds) if j not in (k, (k + 1) % folds)]),
            clips[(k + 1) % folds],
            clips[k],
            (str(k),),
            tuple(clips[j] for j in range(folds) if j != k),
        )
        for k in range(folds)
    ]
    rungs = scored.rungs(ring)
    assert [len(rung) for rung in rungs] == counts
    for rung in rungs:
        served = Counter(index for fit in rung for index in fit.scored)
        assert len(served) == folds
        assert len(set(served.values())) == 1
    assert len({fit.train.tobytes() for rung in rungs for fit in rung}) == sum(counts)


def test_a_race_on_one_fold_goes_from_inner_fold_to_inner_fold() -> None:
    parts = np.split(np.arange(10), 5)
    fold = Fold(0, np.arange(8), np.arange(8, 10), np.arange(10, 12), ("a",), tuple(parts))
    rungs = scored.rungs([fold])
    assert [[fit.scored[0].tolist() for fit in rung] for rung in rungs] == [
        [[0, 1]],
        [[2, 3], [4, 5]],
        [[6, 7], [8, 9]],
    ]


def test_what_was_said_on_inner_folds_gives_the_validation_score(tmp_path: Path) -> None:
    layers, classes = _data()
    for head in ("lda", "mlp"):
        for outcome, fold in zip(
            _tune(layers, classes, tmp_path / head, head), _folds(), strict=True
        ):
            assert outcome.inner is not None
            assert sorted(outcome.inner.clips.tolist()) == fold.rest.tolist()
            predicted = outcome.inner.probabilities.argmax(axis=1)
            truth = classes[outcome.inner.clips]
            assert outcome.validated.macro_f1 == macro_f1(truth, predicted)
            assert outcome.validated.accuracy == np.mean(truth == predicted)


def test_the_refit_is_made_again_with_every_seed(tmp_path: Path) -> None:
    several = replace(_search(tmp_path), seeds=3)
    once = _tune(*_data(), tmp_path / "once", "mlp")[0]
    outcome = _tune(*_data(), tmp_path, "mlp", search=several)[0]
    np.testing.assert_array_equal(once.tested.probabilities, outcome.tested.probabilities)
    every = [outcome.tested.probabilities, *outcome.again]
    assert len(every) == 3
    assert len({each.tobytes() for each in every}) == 3


def test_settings_are_the_same_again_and_a_longer_list_begins_with_the_shorter() -> None:
    context = HeadContext(clips=100, features=12, classes=3)
    for head in (MLPHead, gradient_boosting.GradientBoostingHead):
        short, long = (quasi_random(head, context, count) for count in (8, 50))
        assert long[:8] == short
        assert len({str(setting) for setting in long}) == 50
        ranks = Counter(setting.rank(3) for setting in long)
        assert ranks[0] > ranks[1] > 0
        assert ranks[2] > 0
        assert {setting.rank(1) for setting in long} == {0}
        # evenly: every quarter of the range of what is drawn evenly has its share
        rates = np.log([setting.params["learning_rate"] for setting in long])
        counts, _ = np.histogram(rates, bins=4)
        assert counts.min() >= 9


def test_a_value_at_the_end_of_what_was_tried_is_named(tmp_path: Path) -> None:
    layers, classes = _data()
    layers[1][:, :CLASSES] += 20 * np.eye(CLASSES, dtype=np.float32)[classes]
    outcome = _tune(layers, classes, tmp_path)[0]
    assert outcome.tried is not None
    assert (outcome.best_params["C"] == GRID[0]) == (outcome.tried.lowest == ["C"])
    draws = [Draw(0, {"depth": depth, "sort": "a"}) for depth in range(4)]
    assert inner._at_the_ends(draws[0], draws) == (["depth"], [])
    assert inner._at_the_ends(draws[3], draws) == ([], ["depth"])
    assert inner._at_the_ends(draws[1], draws) == ([], [])
    assert inner._at_the_ends(draws[0], draws[:2]) == ([], [])


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
