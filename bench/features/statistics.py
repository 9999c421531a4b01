"""Sufficient statistics of one clip: mean, std, max, min and frame count of every layer.

They are all that mean, sum, max, mean_std and mean_max pooling need, and they merge exactly
over the windows of a long clip.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from backbones import Frames


@dataclass(frozen=True)
class LayerStatistics:
    """Statistics over the frames of one layer; each array is float32 (width,).

    `std` is the population standard deviation (divided by the number of frames).
    """

    frames: int
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    max: NDArray[np.float32]
    min: NDArray[np.float32]


ClipStatistics = tuple[LayerStatistics, ...]


def of_row(frames: Frames, row: int) -> ClipStatistics:
    """Statistics of one clip in a batch, over its own frames only (padding is never read).

    Raises:
        FloatingPointError: a statistic is NaN or infinite, or there are no frames or fewer than
            the lengths say; names the layer.
    """
    import torch

    layers = []
    for index, (hidden, lengths) in enumerate(zip(frames.hidden, frames.lengths, strict=True)):
        length = int(lengths[row])
        valid = hidden[row, :length].float()
        if length < 1:
            raise FloatingPointError(f"no frames in layer {index}")
        if length > hidden.shape[1]:
            raise FloatingPointError(
                f"{length} frames claimed of the {hidden.shape[1]} in layer {index}"
            )
        mean = valid.mean(dim=0)
        # Centred before squaring, since the one-pass formula loses digits in float32; written
        # out, since torch.std_mean and torch.aminmax are 7 to 20 times slower along this axis.
        std = (valid - mean).square_().mean(dim=0).sqrt_()
        packed = torch.stack([mean, std, valid.amax(dim=0), valid.amin(dim=0)]).cpu().numpy()
        if not np.isfinite(packed).all():
            raise FloatingPointError(f"NaN or infinite values in layer {index}")
        layers.append(LayerStatistics(length, *packed))
    return tuple(layers)


class Merger:
    """Statistics of a clip from those of its windows, exactly as if over all frames at once.

    It holds one window's worth of numbers, however many windows there are: Chan, Golub &
    LeVeque's pairwise update, in float64 and rounded once at the end.
    """

    def __init__(self) -> None:
        self._layers: list[_Sums] = []

    def add(self, window: ClipStatistics) -> None:
        """Take the next window in."""
        if not self._layers:
            self._layers = [_Sums(layer) for layer in window]
            return
        for sums, layer in zip(self._layers, window, strict=True):
            sums.add(layer)

    def merged(self) -> ClipStatistics:
        """Statistics over all windows so far; of a single one they are its own."""
        return tuple(sums.statistics() for sums in self._layers)


class _Sums:
    """One layer of a `Merger`."""

    def __init__(self, first: LayerStatistics) -> None:
        self._frames = first.frames
        self._sum = first.frames * first.mean.astype(np.float64)
        self._squares = first.frames * first.std.astype(np.float64) ** 2
        self._max = first.max
        self._min = first.min

    def add(self, other: LayerStatistics) -> None:
        total = self._frames + other.frames
        mean = other.mean.astype(np.float64)
        apart = mean - self._sum / self._frames
        self._squares += other.frames * other.std.astype(np.float64) ** 2
        self._squares += apart**2 * (self._frames * other.frames / total)
        self._sum += other.frames * mean
        self._frames = total
        self._max = np.maximum(self._max, other.max)
        self._min = np.minimum(self._min, other.min)

    def statistics(self) -> LayerStatistics:
        return LayerStatistics(
            self._frames,
            mean=(self._sum / self._frames).astype(np.float32),
            std=np.sqrt(self._squares / self._frames).astype(np.float32),
            max=self._max,
            min=self._min,
        )


def merge(windows: Iterable[ClipStatistics]) -> ClipStatistics:
    """Statistics of a clip from those of its windows; see `Merger`."""
    merger = Merger()
    for window in windows:
        merger.add(window)
    return merger.merged()
