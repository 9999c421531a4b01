"""Clips in memory, as `heads.sequences` describes them and a harness would give them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


class MemorySequences:
    """Frames of clips, zero-padded on demand; see `heads.sequences.Sequences`.

    Args:
        clips: each float32 (layers, frames, width).
        augment: what a batch (batch, layers, frames, width) becomes under a seed, or None.
        batches: filled with the clips and the seed of every batch asked for; shared by subsets.
    """

    def __init__(
        self,
        clips: Sequence[NDArray[np.float32]],
        augment: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
        batches: list[tuple[NDArray[np.int64], int | None]] | None = None,
    ) -> None:
        self.clips = clips
        self.augment = augment
        self.batches = batches if batches is not None else []
        self.lengths = np.array([clip.shape[1] for clip in clips], dtype=np.int64)
        self.layers = clips[0].shape[0]
        self.width = clips[0].shape[2]

    def __len__(self) -> int:
        return len(self.clips)

    def take(self, indices: NDArray[np.int64]) -> MemorySequences:
        """Some of the clips, in the order given."""
        return MemorySequences([self.clips[i] for i in indices], self.augment, self.batches)

    def batch(
        self, indices: NDArray[np.int64], augment: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames of some clips (batch, layers, frames, width), and valid frames (batch,)."""
        self.batches.append((np.asarray(indices), augment))
        lengths = self.lengths[indices]
        frames = torch.zeros(len(indices), self.layers, int(lengths.max()), self.width)
        for row, index in enumerate(indices):
            frames[row, :, : lengths[row]] = torch.from_numpy(self.clips[index])
        if augment is not None and self.augment is not None:
            frames = self.augment(frames, augment)
        return frames, torch.from_numpy(lengths)


class ResidualBlock(nn.Module):
    """A transformer block that masks padding, with dropout."""

    def __init__(self, width: int, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(width)
        self.projections = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.between = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 2 * width)
        self.outer = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(0.1)

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Frames (batch, frames, width) under a mask (batch, frames)."""
        batch, length, _ = frames.shape
        split = self.projections(self.before(frames)).view(batch, length, 3, self.heads, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask[:, None, None, :]
        )
        frames = frames + self.dropout(self.out(attended.transpose(1, 2).reshape(frames.shape)))
        inner = nn.functional.gelu(self.inner(self.between(frames)))
        return frames + self.dropout(self.outer(inner))


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


@dataclass
class MemoryClips:
    """Clips of a small live backbone, cut after its last block; see `TrainableClips`.

    Attributes:
        stem: output of the feature encoder.
        backbone: what comes after it.
        asked: `blocks` of every call of `inputs`; shared by subsets.
        tails: every tail given; shared by subsets.
        made: clips and what the first so many blocks make of them; shared by subsets.
    """

    stem: MemorySequences
    backbone: Tail
    asked: list[int | None] = field(default_factory=list)
    tails: list[nn.Module] = field(default_factory=list)
    made: dict[tuple[int, int], tuple[NDArray[np.float32], NDArray[np.float32]]] = field(
        default_factory=dict
    )

    @property
    def blocks(self) -> int:
        """Blocks below the cut."""
        return len(self.backbone.blocks)

    def __len__(self) -> int:
        return len(self.stem)

    def take(self, indices: NDArray[np.int64]) -> MemoryClips:
        """Some of the clips, in the order given."""
        return MemoryClips(
            self.stem.take(indices), self.backbone, self.asked, self.tails, self.made
        )

    def inputs(self, blocks: int | None) -> MemorySequences:
        """What the first trained block reads, where the last `blocks` blocks are trained."""
        self.asked.append(blocks)
        frozen = Tail(list(self.backbone.blocks)[: self._first(blocks)]).eval()
        if not frozen.blocks:
            return self.stem
        clips: list[NDArray[np.float32]] = []
        for clip in self.stem.clips:
            key = id(clip), len(frozen.blocks)
            if key not in self.made:
                with torch.no_grad():
                    made = frozen(torch.from_numpy(clip), torch.tensor([clip.shape[1]])).hidden
                # with the clip, so that no other comes to have its number
                self.made[key] = clip, made[-1].numpy()
            clips.append(self.made[key][1])
        return MemorySequences(clips, self.stem.augment, self.stem.batches)

    def tail(self, blocks: int | None) -> nn.Module:
        """A fresh copy of the trained part."""
        tail = deepcopy(Tail(list(self.backbone.blocks)[self._first(blocks) :])).train()
        self.tails.append(tail)
        return tail

    def _first(self, blocks: int | None) -> int:
        return 0 if blocks is None else self.blocks - blocks


def backbone(blocks: int = 2, width: int = 16, seed: int = 0) -> Tail:
    """Blocks with seeded weights; torch's global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Tail([ResidualBlock(width) for _ in range(blocks)])
