"""Windows → zero-padded batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Wave = NDArray[np.float32]


@dataclass(frozen=True)
class WindowBatch:
    """One batch for a backbone."""

    rows: list[int]  # position of each row's window in the sequence that was batched
    waves: torch.Tensor  # float32 (rows, samples), zero after each window's end
    lengths: torch.Tensor  # int64 (rows,), samples of each window


def normalise(wave: Wave) -> Wave:
    """Zero mean and unit variance, as Wav2Vec2FeatureExtractor does it (variance + 1e-7).

    NaN throughout where the samples are so large that they have no variance in float32: divided by
    infinity they would be silence.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        variance = wave.var()
        if not np.isfinite(variance):
            return np.full_like(wave, np.nan)
    return ((wave - wave.mean()) / np.sqrt(variance + 1e-7)).astype(np.float32)


def batches(waves: Sequence[Wave], size: int, *, equal_lengths: bool) -> Iterator[WindowBatch]:
    """Group windows by length into batches of at most `size` rows.

    Args:
        waves: windows, each float32 (samples,).
        size: most rows per batch.
        equal_lengths: never pad: only windows of exactly the same length share a batch (for
            backbones whose result padding would change).
    """
    order = sorted(range(len(waves)), key=lambda i: len(waves[i]))
    start = 0
    while start < len(order):
        stop = start + 1
        while (
            stop < len(order)
            and stop - start < size
            and not (equal_lengths and len(waves[order[stop]]) != len(waves[order[start]]))
        ):
            stop += 1
        yield _pad(waves, order[start:stop])
        start = stop


def _pad(waves: Sequence[Wave], rows: list[int]) -> WindowBatch:
    import torch

    lengths = [len(waves[row]) for row in rows]
    padded = np.zeros((len(rows), max(lengths)), dtype=np.float32)
    for target, row in zip(padded, rows, strict=True):
        target[: len(waves[row])] = waves[row]
    return WindowBatch(rows, torch.from_numpy(padded), torch.tensor(lengths, dtype=torch.int64))
