"""Sufficient statistics of one clip: mean, std, max, min and frame count of every layer.

They are all that mean, sum, max, mean_std and mean_max pooling need, and they merge exactly
over the windows of a long clip.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def of_batch(frames: Frames) -> list[ClipStatistics]:
    """Statistics of each clip in a batch, over its own frames only (padding is never read).

    Raises:
        FloatingPointError: a statistic is NaN or infinite; names the row and the layer.
    """
    import torch

    clips: list[list[LayerStatistics]] = [[] for _ in range(frames.hidden[0].shape[0])]
    for index, (hidden, lengths) in enumerate(zip(frames.hidden, frames.lengths, strict=True)):
        for row, length in enumerate(lengths.tolist()):
            valid = hidden[row, :length].float()
            if length < 1:
                raise FloatingPointError(f"row {row} has no frames in layer {index}")
            mean = valid.mean(dim=0)
            # Centred before squaring, since the one-pass formula loses digits in float32; written
            # out, since torch.std_mean and torch.aminmax are 7 to 20 times slower along this axis.
            std = (valid - mean).square_().mean(dim=0).sqrt_()
            packed = torch.stack([mean, std, valid.amax(dim=0), valid.amin(dim=0)]).cpu().numpy()
            if not np.isfinite(packed).all():
                raise FloatingPointError(f"row {row} has NaN or infinite values in layer {index}")
            clips[row].append(LayerStatistics(length, *packed))
    return [tuple(layers) for layers in clips]


def merge(parts: Sequence[ClipStatistics]) -> ClipStatistics:
    """Statistics of a clip from those of its windows, exactly as if over all frames at once."""
    if len(parts) == 1:
        return parts[0]
    return tuple(_merge_layer(layer) for layer in zip(*parts, strict=True))


def _merge_layer(parts: Sequence[LayerStatistics]) -> LayerStatistics:
    counts = np.array([p.frames for p in parts], dtype=np.float64)[:, None]
    total = counts.sum()
    means = np.stack([p.mean for p in parts]).astype(np.float64)
    variances = np.stack([p.std for p in parts]).astype(np.float64) ** 2
    mean = (counts * means).sum(0) / total
    variance = (counts * (variances + (means - mean) ** 2)).sum(0) / total
    return LayerStatistics(
        frames=int(total),
        mean=mean.astype(np.float32),
        std=np.sqrt(variance).astype(np.float32),
        max=np.stack([p.max for p in parts]).max(0),
        min=np.stack([p.min for p in parts]).min(0),
    )
