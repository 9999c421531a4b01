from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.audio.batch import batches, normalise
from bench.audio.window import windows


@given(st.integers(1, 5_000_000), st.floats(0.5, 60))
def test_windows_cover_every_sample_once_and_none_is_too_long(samples: int, most: float) -> None:
    found = windows(samples, 16000, most)
    assert found[0][0] == 0
    assert found[-1][1] == samples
    assert all(a[1] == b[0] for a, b in pairwise(found))
    lengths = [stop - start for start, stop in found]
    assert max(lengths) <= most * 16000 + 1
    assert max(lengths) - min(lengths) <= 1


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=40),
    st.integers(1, 9),
    st.booleans(),
)
def test_every_window_is_in_one_batch_with_its_own_length(
    lengths: list[int], size: int, equal: bool
) -> None:
    waves = [np.full(n, float(i + 1), dtype=np.float32) for i, n in enumerate(lengths)]
    rows = []
    for batch in batches(waves, size, equal_lengths=equal):
        assert len(batch.rows) <= size
        if equal:
            assert len(set(batch.lengths.tolist())) == 1
        for row, wave, length in zip(batch.rows, batch.waves, batch.lengths, strict=True):
            assert length == lengths[row]
            assert (wave[:length] == row + 1).all()
            assert (wave[length:] == 0).all()
        rows += batch.rows
    assert sorted(rows) == list(range(len(lengths)))


def test_normalising_gives_zero_mean_and_unit_variance() -> None:
    wave = normalise(np.random.default_rng(0).normal(5, 0.1, 16000).astype(np.float32))
    assert abs(float(wave.mean())) < 1e-3
    assert abs(float(wave.std()) - 1) < 1e-3
    assert wave.dtype == np.float32
