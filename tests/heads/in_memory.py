"""Clips in memory: the protocols of `heads.sequences`, implemented as a harness would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn


class MemorySequences:
    """Frames of clips, each (layers, frames, width), zero-padded on demand."""

    def __init__(
        self,
        clips: list[np.ndarray],
        augment: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
        batches: list[tuple[np.ndarray, int | None]] | None = None,
    ) -> None:
        self.clips = clips
        self.augment = augment
        # what was asked for, shared with every subset
        self.batches = batches if batches is not None else []
        self.lengths = np.array([clip.shape[1] for clip in clips], dtype=np.int64)
        self.layers = clips[0].shape[0]
        self.width = clips[0].shape[2]

    def __len__(self) -> int:
        return len(self.clips)

    def take(self, indices: np.ndarray) -> MemorySequences:
        return MemorySequences([self.clips[i] for i in indices], self.augment, self.batches)

    def batch(
        self, indices: np.ndarray, augment: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.batches.append((np.asarray(indices), augment))
        lengths = self.lengths[indices]
        frames = torch.zeros(len(indices), self.layers, int(lengths.max()), self.width)
        for row, index in enumerate(indices):
            frames[row, :, : lengths[row]] = torch.from_numpy(self.clips[index])
        if augment is not None and self.augment is not None:
            frames = self.augment(frames, augment)
        return frames, torch.from_numpy(lengths)


class Block(nn.Module):
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
    hidden: tuple[torch.Tensor, ...]
    lengths: tuple[torch.Tensor, ...]


class Tail(nn.Module):
    """Blocks one after the other, each giving a layer."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, frames: torch.Tensor, lengths: torch.Tensor) -> Outputs:
        mask = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
        hidden = []
        for block in self.blocks:
            frames = block(frames, mask)
            hidden.append(frames)
        return Outputs(tuple(hidden), (lengths,) * len(hidden))


@dataclass
class MemoryClips:
    """Clips of a small live backbone of `blocks` transformer blocks, cut after the last."""

    stem: MemorySequences
    backbone: Tail
    tails: list[nn.Module] = field(default_factory=list)

    @property
    def blocks(self) -> int:
        return len(self.backbone.blocks)

    def __len__(self) -> int:
        return len(self.stem)

    def take(self, indices: np.ndarray) -> MemoryClips:
        return MemoryClips(self.stem.take(indices), self.backbone, self.tails)

    def inputs(self, blocks: int | None) -> MemorySequences:
        frozen = Tail(list(self.backbone.blocks)[: self.blocks - (blocks or 0)]).eval()
        if blocks is None or blocks == self.blocks:
            return self.stem
        made = []
        for clip in self.stem.clips:
            lengths = torch.tensor([clip.shape[1]])
            with torch.no_grad():
                made.append(frozen(torch.from_numpy(clip), lengths).hidden[-1].numpy())
        return MemorySequences(made, self.stem.augment, self.stem.batches)

    def tail(self, blocks: int | None) -> nn.Module:
        from copy import deepcopy

        count = self.blocks if blocks is None else blocks
        tail = deepcopy(Tail(list(self.backbone.blocks)[self.blocks - count :]))
        self.tails.append(tail)
        return tail


def backbone(blocks: int = 2, width: int = 16, seed: int = 0) -> Tail:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Tail([Block(width) for _ in range(blocks)])


def marked(
    clips: int = 90, width: int = 16, seed: int = 0, strength: float = 6.0, layers: int = 1
) -> tuple[MemorySequences, np.ndarray]:
    """Noise of 20 to 40 frames; the class shows in the mean of every frame."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).standard_normal((3, width))
    codes = rng.permutation(np.arange(clips) % 3)
    made = []
    for code in codes:
        length = int(rng.integers(20, 41))
        frames = rng.standard_normal((layers, length, width)) + 0.1 * strength * directions[code]
        made.append(frames.astype(np.float32))
    return MemorySequences(made), np.array(["calm", "happy", "sad"])[codes]
