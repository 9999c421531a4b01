from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backbones import Frames
from bench.features import statistics


def _frames(rows: list[np.ndarray], *, pad: int) -> Frames:
    longest = max(map(len, rows)) + pad
    hidden = torch.full((len(rows), longest, rows[0].shape[1]), 1e6)
    for i, row in enumerate(rows):
        hidden[i, : len(row)] = torch.from_numpy(row)
    lengths = torch.tensor([len(row) for row in rows])
    return Frames.same_lengths([hidden], lengths)


def test_padding_is_never_pooled() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(n, 5)).astype(np.float32) for n in (3, 17, 8)]
    for found, row in zip(
        (statistics.of_row(_frames(rows, pad=4), i) for i in range(3)), rows, strict=True
    ):
        layer = found[0]
        assert layer.frames == len(row)
        np.testing.assert_allclose(layer.mean, row.mean(0), atol=1e-6)
        np.testing.assert_allclose(layer.std, row.std(0), atol=1e-6)
        np.testing.assert_array_equal(layer.max, row.max(0))
        np.testing.assert_array_equal(layer.min, row.min(0))


def test_std_keeps_its_digits_far_from_zero() -> None:
    row = (1e4 + np.random.default_rng(0).normal(size=(400, 2))).astype(np.float32)
    found = statistics.of_row(_frames([row], pad=0), 0)
    np.testing.assert_allclose(found[0].std, row.astype(np.float64).std(0), rtol=1e-3)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=5),
    st.integers(0, 2**32 - 1),
)
def test_windows_merge_to_the_statistics_of_the_whole(counts: list[int], seed: int) -> None:
    rows = [
        np.random.default_rng([seed, i]).normal(3.0, 2.0, size=(n, 4)).astype(np.float32)
        for i, n in enumerate(counts)
    ]
    whole = np.concatenate(rows)
    merged = statistics.merge(statistics.of_row(_frames(rows, pad=1), i) for i in range(len(rows)))[
        0
    ]
    assert merged.frames == len(whole)
    np.testing.assert_allclose(merged.mean, whole.mean(0), atol=1e-5)
    np.testing.assert_allclose(merged.std, whole.std(0), atol=1e-5)
    np.testing.assert_array_equal(merged.max, whole.max(0))
    np.testing.assert_array_equal(merged.min, whole.min(0))


def _merged_at_once(parts: list[statistics.LayerStatistics]) -> statistics.LayerStatistics:
    """The textbook way, for which all windows have to be held."""
    counts = np.array([part.frames for part in parts], dtype=np.float64)[:, None]
    means = np.stack([part.mean for part in parts]).astype(np.float64)
    variances = np.stack([part.std for part in parts]).astype(np.float64) ** 2
    mean = (counts * means).sum(0) / counts.sum()
    variance = (counts * (variances + (means - mean) ** 2)).sum(0) / counts.sum()
    return statistics.LayerStatistics(
        frames=int(counts.sum()),
        mean=mean.astype(np.float32),
        std=np.sqrt(variance).astype(np.float32),
        max=np.stack([part.max for part in parts]).max(0),
        min=np.stack([part.min for part in parts]).min(0),
    )


@given(st.integers(1, 60), st.floats(-1e4, 1e4), st.integers(0, 2**32 - 1))
def test_merging_one_by_one_rounds_as_merging_all_at_once(
    windows: int, offset: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    parts = []
    for _ in range(windows):
        mean, std, spread = random.normal(size=(3, 50)).astype(np.float32)
        mean = (offset + mean).astype(np.float32)
        frames = int(random.integers(1, 3000))
        spread = np.abs(spread)
        parts.append(
            statistics.LayerStatistics(frames, mean, np.abs(std), mean + spread, mean - spread)
        )
    (found,) = statistics.merge([(part,) for part in parts])
    wanted = _merged_at_once(parts) if windows > 1 else parts[0]
    assert found.frames == wanted.frames
    for name in ("mean", "max", "min"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    np.testing.assert_array_max_ulp(found.std, wanted.std, maxulp=1)
    assert found.std.dtype == found.mean.dtype == np.float32


def test_a_feature_that_never_changes_keeps_a_deviation_of_zero() -> None:
    value = np.full(3, 0.1, dtype=np.float32)
    still = statistics.LayerStatistics(7, value, np.zeros(3, dtype=np.float32), value, value)
    (found,) = statistics.merge([(still,)] * 1000)
    np.testing.assert_array_equal(found.mean, value)
    assert (found.std < 1e-7 * value).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_by_name(bad: float) -> None:
    row = np.zeros((3, 2), dtype=np.float32)
    row[1, 1] = bad
    with pytest.raises(FloatingPointError, match=r"NaN or infinite values in layer 0"):
        statistics.of_row(_frames([np.zeros((4, 2), dtype=np.float32), row], pad=0), 1)


@pytest.mark.parametrize(
    ("length", "message"),
    [(0, "no frames in layer 0"), (6, "6 frames claimed of the 5 in layer 0")],
)
def test_lengths_that_do_not_fit_the_frames_are_refused(length: int, message: str) -> None:
    frames = Frames.same_lengths([torch.zeros(2, 5, 3)], torch.tensor([5, length]))
    with pytest.raises(FloatingPointError, match=message):
        statistics.of_row(frames, 1)
