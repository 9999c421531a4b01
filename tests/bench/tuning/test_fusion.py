"""Fusions: which layers are joined, what the head reads, and that test clips choose nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from backbones.fusion import Fusion, Part, parse
from bench.scoring import macro_f1
from bench.tuning.fits.base import Draw, Labels, Watch
from bench.tuning.fits.fusion import JOINED, FusionFit, tried
from bench.tuning.inner import tune_inner
from bench.tuning.outcomes import FoldOutcome
from heads import gradient_boosting
from tests.bench.tuning.test_cell import Vectors
from tests.bench.tuning.test_inner import CLASSES, CLIPS, PER_SPEAKER, _folds, _search

LAYERS = {"a": 4, "b": 5}
Data = dict[str, list[np.ndarray]]


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradient_boosting, "ROUNDS", (8, 16))


def _data() -> tuple[Data, np.ndarray]:
    """Layer 2 of a tells one class, and layer 3 of b another: neither tells all three."""
    random = np.random.default_rng(0)
    classes = random.integers(CLASSES, size=CLIPS)
    data = {
        name: [random.standard_normal((CLIPS, 6)).astype(np.float32) for _ in range(count)]
        for name, count in LAYERS.items()
    }
    data["a"][2][:, 0] += 4 * (classes == 0)
    data["b"][3][:, 0] += 4 * (classes == 1)
    return data, classes


def _fit(name: str, data: Data, classes: np.ndarray, head: str, pooling: str = "mean") -> FusionFit:
    views: Any = {name: (Vectors(layers), pooling) for name, layers in data.items()}
    fusion = parse(name)
    own = {name: views[name] for name in fusion.backbones}
    return FusionFit(fusion, own, Labels(classes, CLASSES), pooling, head, threads=1)


def _tune(
    name: str, data: Data, classes: np.ndarray, folder: Path, head: str = "logistic_regression"
) -> list[FoldOutcome]:
    fit, folds = _fit(name, data, classes, head), _folds()
    return list(tune_inner(fit, Labels(classes, CLASSES), folds, folds, _search(folder)))


def _f1(outcomes: list[FoldOutcome], classes: np.ndarray) -> float:
    said = np.concatenate([each.tested.probabilities.argmax(axis=1) for each in outcomes])
    return macro_f1(classes, said)


@pytest.mark.parametrize("head", ["logistic_regression", "lda", "gradient_boosting"])
def test_together_they_tell_what_neither_tells_alone(head: str, tmp_path: Path) -> None:
    data, classes = _data()
    outcomes = _tune("a+b", data, classes, tmp_path / "both", head)
    assert {outcome.layer for outcome in outcomes} == {(2, 3)}
    assert outcomes[0].best_params.items() >= {"layer_1": 2, "layer_2": 3}.items()
    alone = max(
        _f1(_tune(f"{name}[{layer}]", data, classes, tmp_path / name, head), classes)
        for name, layer in (("a", 2), ("b", 3))
    )
    assert _f1(outcomes, classes) > alone + 0.1
    for outcome in outcomes:
        assert outcome.tried is not None
        assert outcome.tried.how == ("race" if head == "gradient_boosting" else "best")
        assert not outcome.tried.by_layer


def test_every_setting_is_tried_on_as_many_layers_as_the_plan_says(tmp_path: Path) -> None:
    data, classes = _data()
    for name in ("a+b", "a+a", "a[1]+b", "a[0,3]", "a[2]+a+b"):
        fusion = parse(name)
        own = {backbone: LAYERS[backbone] for backbone in fusion.backbones}
        (first, *_) = _tune(name, data, classes, tmp_path / name, "lda")
        assert first.tried is not None
        assert first.tried.settings == first.states["complete"] == tried(fusion, own)
        fixed = [part.layer for part in fusion.parts]
        assert isinstance(first.layer, tuple)
        assert all(f in (None, layer) for f, layer in zip(fixed, first.layer, strict=True))


@pytest.mark.parametrize("head", ["logistic_regression", "gradient_boosting"])
def test_spoilt_test_clips_choose_no_layer_and_no_setting(head: str, tmp_path: Path) -> None:
    data, classes = _data()
    tested = _folds()[2].test
    spoilt = {name: [layer.copy() for layer in layers] for name, layers in data.items()}
    for layer in (*spoilt["a"], *spoilt["b"]):
        layer[tested] = 1e6
    wrong = classes.copy()
    wrong[tested] = (classes[tested] + 1) % CLASSES
    clean = _tune("a+b", data, classes, tmp_path / "clean", head)[2]
    dirty = _tune("a+b", spoilt, wrong, tmp_path / "dirty", head)[2]
    assert (clean.layer, clean.best_params) == (dirty.layer, dirty.best_params)
    assert clean.validated == dirty.validated
    assert not np.array_equal(clean.tested.probabilities, dirty.tested.probabilities)


@pytest.mark.parametrize("head", ["lda", "gradient_boosting"])
def test_shuffled_labels_stay_at_chance(head: str, tmp_path: Path) -> None:
    data, classes = _data()
    shuffled = np.random.default_rng(2).permutation(classes)
    outcomes = _tune("a+b", data, shuffled, tmp_path, head)
    said = np.concatenate([each.tested.probabilities.argmax(axis=1) for each in outcomes])
    assert 0.2 < np.mean(said == shuffled) < 0.47


def test_a_head_reads_the_parts_side_by_side_each_feature_standardised() -> None:
    data, classes = _data()
    data["b"][3] *= 1000
    fit = _fit("a+b", data, classes, "logistic_regression")
    clips = np.arange(PER_SPEAKER)
    fitted = fit.fit(Draw((2, 3), {"C": 1.0}), clips, 0, Watch(Path("unused")))
    joined = np.hstack([data["a"][2], data["b"][3]])
    np.testing.assert_array_equal(fitted.vectors, joined)
    np.testing.assert_allclose(fitted.model[0].mean_, joined[clips].mean(axis=0), rtol=1e-5)


def test_a_trial_draws_a_layer_for_each_part_without_one() -> None:
    data, classes = _data()
    fit = _fit("a[1]+b", data, classes, "lda")
    drawn = fit.draw(FixedTrial({"layer_2": 4}), PER_SPEAKER)  # type: ignore[arg-type]
    assert drawn == Draw((1, 4), {})


@st.composite
def _fusions(draw: st.DrawFn) -> tuple[Fusion, dict[str, int]]:
    parts: list[Part] = []
    layers = {}
    for name in draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True)):
        layers[name] = draw(st.integers(1, 12))
        fixed = draw(st.sets(st.integers(0, layers[name] - 1), max_size=2))
        most = min(3, layers[name] - len(fixed))
        free = draw(st.integers(0 if fixed else 1, most)) if most else 0
        parts += [Part(name, layer) for layer in sorted(fixed)] + [Part(name)] * free
    return Fusion(tuple(sorted(parts, key=lambda part: part.backbone))), layers


@given(_fusions(), st.randoms())
def test_layers_are_joined_once_each_and_the_best_first(
    made: tuple[Fusion, dict[str, int]], random: Any
) -> None:
    fusion, layers = made
    views: Any = {
        name: (Vectors([np.zeros((2, 1), np.float32)] * count), "mean")
        for name, count in layers.items()
    }
    fit = FusionFit(fusion, views, Labels(np.zeros(2, np.int64), 1), "mean", "lda", 1)
    best = {}
    for name, (_, count) in fit.probes().items():
        best[name] = random.sample(range(layers[name]), layers[name])[:count]
    found = fit.joined(best)
    assert 1 <= len(found) == len(set(found)) == tried(fusion, layers) <= JOINED
    for each in found:
        assert isinstance(each, tuple)
        chosen = list(zip(fusion.parts, each, strict=True))
        assert all(part.layer in (None, layer) for part, layer in chosen)
        named = [(part.backbone, layer) for part, layer in chosen]
        assert len(set(named)) == len(named)
    free = {name for name in best if fusion.free(name) == 1 and not fusion.fixed(name)}
    for part, layer in zip(fusion.parts, found[0], strict=True):  # type: ignore[arg-type]
        assert part.backbone not in free or layer == best[part.backbone][0]
