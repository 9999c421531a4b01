"""Poolings as torch modules: frames (clips, frames, width) → vectors (clips, features).

Frames after a clip's end are never read: they may hold anything, NaN included.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from heads.sequences import LEARNT

# Below this variance a standard deviation counts as zero, where its gradient would be infinite.
_LEAST_VARIANCE = 1e-10


def valid(frames: Tensor, lengths: Tensor) -> Tensor:
    """Which frames are a clip's own: bool (clips, frames)."""
    return torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]


def weighted_mean(frames: Tensor, weights: Tensor) -> Tensor:
    """Mean over frames (clips, width), under weights (clips, frames) that sum to 1."""
    # eight bits of mantissa would round a mean over hundreds of frames
    with torch.autocast(frames.device.type, enabled=False):
        return torch.bmm(weights.float()[:, None], frames.float())[:, 0]


def weighted_mean_std(frames: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation over frames, each (clips, width)."""
    mean = weighted_mean(frames, weights)
    # The variance does not change to first order with the mean it is taken around, so that
    # leaving the mean out of its gradient is exact, and halves the work.
    variance = weighted_mean((frames - mean.detach()[:, None]).square(), weights)
    constant = variance < _LEAST_VARIANCE
    std = variance.masked_fill(constant, 1.0).sqrt().masked_fill(constant, 0.0)
    return mean, std


class PoolingModule(nn.Module, ABC):
    """Pools a batch of clips; `forward` takes frames and how many of them each clip has.

    Attributes:
        features: length of a pooled vector.
    """

    features: int

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Pool.

        Args:
            frames: (clips, frames, width).
            lengths: int64 (clips,), each at least 1.

        Returns:
            float32 (clips, features).
        """
        mask = valid(frames, lengths)
        if not bool(mask.all()):
            frames = frames.masked_fill(~mask[..., None], 0.0)
        return self.pool(frames, mask)

    @abstractmethod
    def pool(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Pool frames that are zero after each clip's end, under their mask (clips, frames)."""


class Statistics(PoolingModule):
    """Fixed statistics over frames: the same numbers that the cached vectors hold.

    Args:
        name: `mean`, `sum`, `max`, `mean_std` or `mean_max`.
        width: of a frame.
    """

    def __init__(self, name: str, width: int) -> None:
        super().__init__()
        self.parts = ["mean_std"] if name == "mean_std" else name.split("_")
        self.features = width * len(name.split("_"))

    def pool(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Pool, see `Pooling.pool`."""
        return torch.cat([self._part(part, frames, mask) for part in self.parts], dim=1)

    def _part(self, part: str, frames: Tensor, mask: Tensor) -> Tensor:
        if part == "max":
            return frames.masked_fill(~mask[..., None], -torch.inf).amax(dim=1).float()
        if part == "sum":
            return weighted_mean(frames, mask)
        weights = mask / mask.sum(dim=1, keepdim=True)
        if part == "mean_std":
            return torch.cat(weighted_mean_std(frames, weights), dim=1)
        return weighted_mean(frames, weights)


class Attention(PoolingModule):
    """Self-attentive pooling: a mean over frames under learnt weights.

    The weight of frame h_t is the softmax over the clip's frames of v · tanh(W h_t + b). The
    scoring vector v starts at zero, so that training starts from the plain mean. Frames should
    come standardised.

    Args:
        width: of a frame.
        attention: width of the scoring layer.
        spread: append the standard deviation under the same weights (attentive statistics).

    References:
        Lin et al. (2017), "A Structured Self-attentive Sentence Embedding", arXiv:1703.03130.
        Okabe et al. (2018), "Attentive Statistics Pooling for Deep Speaker Embedding",
        arXiv:1803.10963.
    """

    def __init__(self, width: int, attention: int, spread: bool) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, attention)
        self.score = nn.Parameter(torch.zeros(attention))
        self.spread = spread
        self.features = width * (2 if spread else 1)

    def weights(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Weight of each frame, float32 (clips, frames); rows sum to 1 over valid frames."""
        activity = torch.tanh(self.hidden(frames))
        with torch.autocast(frames.device.type, enabled=False):
            scores = activity.float() @ self.score
            return scores.masked_fill(~mask, -torch.inf).softmax(dim=1)

    def pool(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Pool, see `Pooling.pool`."""
        weights = self.weights(frames, mask)
        if self.spread:
            return torch.cat(weighted_mean_std(frames, weights), dim=1)
        return weighted_mean(frames, weights)


def make_pooling(name: str, width: int, attention: int) -> PoolingModule:
    """A new pooling.

    Args:
        name: one of `heads.sequences.POOLINGS`.
        width: of a frame.
        attention: width of the scoring layer, for the learnt ones.
    """
    if name in LEARNT:
        return Attention(width, attention, spread=name == "attentive_stats")
    return Statistics(name, width)
