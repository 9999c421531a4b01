"""Which clips make up which batch: similar lengths together, in an order that can be repeated."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heads.sequences import Sequences

# Clips are sorted by length within so many shuffled batches: enough to pad little, few enough that
# a clip meets others in every epoch.
_SORTED_TOGETHER = 8


class Batch(NamedTuple):
    """Some clips.

    Attributes:
        inputs: (clips, layers, frames, width).
        lengths: valid frames, (clips,).
        positions: of the clips in what was batched, (clips,).
        group: number of clips in the optimiser step that this batch is part of.
    """

    inputs: Tensor
    lengths: Tensor
    positions: Tensor
    group: int


def derived(*keys: int | str) -> int:
    """A seed that depends on all keys, in [0, 2**32)."""
    return int.from_bytes(hashlib.sha256(repr(keys).encode()).digest()[:4], "big")


def groups(lengths: NDArray[np.int64], size: int, seed: int) -> list[NDArray[np.int64]]:
    """Shuffled groups of `size` clips of similar length; the last one holds what is left over.

    Args:
        lengths: frames of each clip, (clips,).
        size: clips per group.
        seed: of the order.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(lengths))
    whole = len(order) // size * size
    made: list[NDArray[np.int64]] = []
    for start in range(0, whole, size * _SORTED_TOGETHER):
        together = order[start : min(start + size * _SORTED_TOGETHER, whole)]
        by_length = together[np.argsort(lengths[together], kind="stable")]
        made += np.split(by_length, len(by_length) // size)
    shuffled = [made[i] for i in rng.permutation(len(made))]
    rest = order[whole:]
    return [*shuffled, rest[np.argsort(lengths[rest], kind="stable")]] if len(rest) else shuffled


class TrainingBatches:
    """Batches of one epoch, augmented; iterating again gives those of the current epoch.

    Args:
        clips: to train on.
        size: clips in a batch.
        group: clips in an optimiser step, a batch or several.
        seed: of order and augmentation.
        epoch: tells the current epoch.
    """

    def __init__(
        self, clips: Sequences, size: int, group: int, seed: int, epoch: Callable[[], int]
    ) -> None:
        self.clips = clips
        self.size = size
        self.group = group
        self.seed = seed
        self.epoch = epoch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.clips), self.group)
        return whole * -(-self.group // self.size) + -(-rest // self.size)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.epoch()
        order = derived(self.seed, "order", epoch)
        for number, group in enumerate(groups(self.clips.lengths, self.group, order)):
            for start in range(0, len(group), self.size):
                positions = group[start : start + self.size]
                augment = derived(self.seed, "augment", epoch, number, start)
                inputs, lengths = self.clips.batch(positions, augment)
                yield Batch(inputs, lengths, torch.from_numpy(positions), len(group))


class PlainBatches:
    """Batches of similar length without augmentation, the longest clips first.

    Args:
        clips: to go through.
        size: clips in a batch.
    """

    def __init__(self, clips: Sequences, size: int) -> None:
        self.clips = clips
        self.size = size

    def __len__(self) -> int:
        return -(-len(self.clips) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        order = np.argsort(-self.clips.lengths, kind="stable")
        for start in range(0, len(order), self.size):
            positions = order[start : start + self.size]
            inputs, lengths = self.clips.batch(positions)
            yield Batch(inputs, lengths, torch.from_numpy(positions), len(positions))
