"""Clips in memory, as `heads.sequences` describes them, for the conformance suite."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


class MemorySequences:
    """Frames of clips, zero-padded on demand; see `heads.sequences.Sequences`.

    Args:
        clips: each float32 (layers, frames, width).
        augmented: seeds that batches were asked for with, shared by every subset.
    """

    def __init__(
        self, clips: Sequence[NDArray[np.float32]], augmented: list[int] | None = None
    ) -> None:
        self.clips = clips
        self.augmented = augmented if augmented is not None else []
        self.lengths = np.array([clip.shape[1] for clip in clips], dtype=np.int64)
        self.layers = clips[0].shape[0]
        self.width = clips[0].shape[2]

    def __len__(self) -> int:
        return len(self.clips)

    def take(self, indices: NDArray[np.int64]) -> MemorySequences:
        """Some of the clips, in the order given."""
        return MemorySequences([self.clips[i] for i in indices], self.augmented)

    def batch(
        self, indices: NDArray[np.int64], augment: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames of some clips (batch, layers, frames, width), and valid frames (batch,)."""
        if augment is not None:
            self.augmented.append(augment)
        lengths = self.lengths[indices]
        frames = torch.zeros(len(indices), self.layers, int(lengths.max()), self.width)
        for row, index in enumerate(indices):
            frames[row, :, : lengths[row]] = torch.from_numpy(self.clips[index])
        return frames, torch.from_numpy(lengths)


class Block(nn.Module):
    """A residual block whose frames see the mean of their clip, so that lengths matter."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 2 * width)
        self.outer = nn.Linear(2 * width, width)

    def forward(self, frames: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Frames (batch, frames, width) under a mask (batch, frames)."""
        number = valid.sum(dim=1)[:, None, None]
        mean = frames.masked_fill(~valid[..., None], 0).sum(dim=1, keepdim=True) / number
        normed = self.norm(frames)
        return frames + self.outer(torch.tanh(self.inner(normed))) + 0.1 * mean


@dataclass(frozen=True)
class Outputs:
    """What a tail returns: one tensor for each layer it makes, and valid frames of each."""

    hidden: tuple[torch.Tensor, ...]
    lengths: tuple[torch.Tensor, ...]


class Tail(nn.Module):
    """Blocks one after the other, each giving a layer."""

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> Outputs:
        """Every block's output of frames (batch, frames, width)."""
        valid = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
        hidden = []
        for block in self.blocks:
            frames = block(frames, valid)
            hidden.append(frames)
        return Outputs(tuple(hidden), (lengths,) * len(hidden))


class MemoryClips:
    """Clips of a small live backbone, cut after its last block; see `TrainableClips`.

    Args:
        stem: output of the feature encoder.
        backbone: what comes after it.
    """

    def __init__(self, stem: MemorySequences, backbone: Tail) -> None:
        self.stem = stem
        self.backbone = backbone
        self.blocks = len(backbone.blocks)

    def __len__(self) -> int:
        return len(self.stem)

    def take(self, indices: NDArray[np.int64]) -> MemoryClips:
        """Some of the clips, in the order given."""
        return MemoryClips(self.stem.take(indices), self.backbone)

    def inputs(self, blocks: int | None) -> MemorySequences:
        """What the first trained block reads, where the last `blocks` blocks are trained."""
        frozen = Tail(list(self.backbone.blocks)[: self.blocks - self._count(blocks)])
        clips: list[NDArray[np.float32]] = []
        for clip in self.stem.clips:
            frames = torch.from_numpy(clip)
            with torch.no_grad():
                made = frozen(frames, torch.tensor([clip.shape[1]])).hidden
            clips.append(made[-1].numpy() if made else clip)
        return MemorySequences(clips, self.stem.augmented)

    def tail(self, blocks: int | None) -> nn.Module:
        """A fresh copy of the trained part."""
        return deepcopy(Tail(list(self.backbone.blocks)[self.blocks - self._count(blocks) :]))

    def _count(self, blocks: int | None) -> int:
        return self.blocks if blocks is None else blocks


def backbone(blocks: int, width: int) -> Tail:
    """Blocks with seeded weights; torch's global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Tail([Block(width) for _ in range(blocks)])
