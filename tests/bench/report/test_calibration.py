"""How far probabilities can be taken at their word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from bench.report.calibration import calibrated, calibration, temperature, with_temperature
from bench.report.stored import Said, Stored
from tests.bench.records.make_records import make_record

CLIPS, CLASSES = 4000, 3


def _honest(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and classes drawn with them."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(CLASSES, 0.7), size=CLIPS)
    drawn = rng.random((CLIPS, 1)) < probabilities.cumsum(axis=1)
    return probabilities, drawn.argmax(axis=1)


def test_probabilities_that_hold_have_a_small_error_and_sharper_ones_a_large_one() -> None:
    probabilities, truth = _honest()
    assert calibration(probabilities, truth).error < 0.02
    assert calibration(with_temperature(probabilities, 0.2), truth).error > 0.1


def test_the_temperature_finds_back_what_made_them_too_sure() -> None:
    probabilities, truth = _honest()
    assert temperature(probabilities, truth) == pytest.approx(1, abs=0.05)
    for value in (0.25, 4.0):
        changed = with_temperature(probabilities, value)
        assert temperature(changed, truth) == pytest.approx(1 / value, rel=0.05)


def test_the_brier_score_is_that_of_another_package() -> None:
    probabilities, truth = _honest()
    expected = brier_score_loss(truth, probabilities, labels=range(CLASSES), scale_by_half=False)
    assert calibration(probabilities, truth).brier == pytest.approx(expected)


def test_bins_hold_every_clip_once() -> None:
    probabilities, truth = _honest()
    found = calibration(probabilities, truth)
    assert sum(each.clips for each in found.bins) == CLIPS
    right = sum(each.clips * each.accuracy for each in found.bins) / CLIPS
    assert right == pytest.approx(np.mean(probabilities.argmax(axis=1) == truth))
    assert [each.confidence for each in found.bins] == sorted(b.confidence for b in found.bins)


def _said(probabilities: np.ndarray, truth: np.ndarray) -> Said:
    count = len(truth)
    names = tuple(f"clip{number}" for number in range(count))
    folds = np.arange(count) * 2 // count
    said = (probabilities.argmax(axis=1),)
    return Said(names, folds, truth, np.zeros(count, dtype=np.int64), ("g",), said, probabilities)


def test_each_fold_has_a_temperature_of_its_own_inner_predictions() -> None:
    probabilities, truth = _honest()
    half = CLIPS // 2
    sharp = np.concatenate(
        [with_temperature(probabilities[:half], 0.25), with_temperature(probabilities[half:], 0.5)]
    )
    inner, tested = _said(sharp, truth), _said(sharp, truth)
    found = calibrated(Stored(make_record(), tested, inner))
    assert found is not None
    assert found.temperature == pytest.approx(3, rel=0.05)  # the median of 4 and 2
    assert found.scaled.error < 0.03 < found.plain.error
    assert (found.row.tested.probabilities.argmax(axis=1) == sharp.argmax(axis=1)).all()
    np.testing.assert_allclose(found.row.tested.probabilities, probabilities, atol=0.05)
    # what test clips are has no part in it
    spoiled = calibrated(Stored(make_record(), _said(sharp, (truth + 1) % CLASSES), inner))
    assert spoiled is not None
    assert spoiled.temperature == found.temperature


def test_a_row_without_inner_predictions_has_none() -> None:
    assert calibrated(Stored(make_record(), _said(*_honest()), None)) is None


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 20))
def test_a_temperature_keeps_the_order_and_the_sum(seed: int, value: float) -> None:
    odds = np.random.default_rng(seed).random((20, 4))
    odds[0] = [1, 0, 0, 0]
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    scaled = with_temperature(probabilities, value)
    np.testing.assert_allclose(scaled.sum(axis=1), 1)
    assert (scaled.argmax(axis=1) == probabilities.argmax(axis=1)).all()
