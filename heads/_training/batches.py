"""Which clips make up which batch: similar lengths together, in an order that can be repeated."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
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


class TrainingBatch(NamedTuple):
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


def training_batches(
    clips: Sequences, size: int, group: int, seed: int, epoch: int
) -> Iterator[TrainingBatch]:
    """Batches of one epoch, augmented.

    Args:
        clips: to train on.
        size: clips in a batch.
        group: clips in an optimiser step, a batch or several.
        seed: of order and augmentation.
        epoch: which one.
    """
    order = derived(seed, "order", epoch)
    for number, members in enumerate(groups(clips.lengths, group, order)):
        for start in range(0, len(members), size):
            positions = members[start : start + size]
            inputs, lengths = clips.batch(positions, derived(seed, "augment", epoch, number, start))
            yield TrainingBatch(inputs, lengths, torch.from_numpy(positions), len(members))


def plain_batches(clips: Sequences, size: int) -> Iterator[TrainingBatch]:
    """Batches of similar length without augmentation, the longest clips first.

    Args:
        clips: to go through.
        size: clips in a batch.
    """
    order = np.argsort(-clips.lengths, kind="stable")
    for start in range(0, len(order), size):
        positions = order[start : start + size]
        inputs, lengths = clips.batch(positions)
        yield TrainingBatch(inputs, lengths, torch.from_numpy(positions), len(positions))
