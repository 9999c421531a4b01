"""Which clips must stay together, and how to deal such sets out into even folds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np


def components(*keys: Sequence[Hashable]) -> list[list[int]]:
    """Return sets of indices linked by sharing any key (union-find), in order of first index.

    Args:
        keys: equally long sequences, e.g. each clip's group and each clip's recording; two
            clips that agree in one of them, directly or through others, are in one set.
    """
    parent = list(range(len(keys[0])))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for values in keys:
        first: dict[Hashable, int] = {}
        for index, value in enumerate(values):
            a, b = root(first.setdefault(value, index)), root(index)
            parent[max(a, b)] = min(a, b)
    members: dict[int, list[int]] = defaultdict(list)
    for index in range(len(parent)):
        members[root(index)].append(index)
    return [members[key] for key in sorted(members)]


def codes_of(values: Sequence[Hashable]) -> np.ndarray:
    """A number from 0 for each value, (n,) int64, the same for equal ones."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)


def deal(sets: Sequence[Sequence[int]], labels: Sequence[str], k: int) -> list[list[int]]:
    """Deal sets of clips into k folds of even size and class mix, always the same way.

    The largest set goes first, each to the fold where it leaves the classes most even; ties go
    to the smaller, then to the earlier fold. Nothing here is random, so the same clips always
    give the same folds.

    Returns:
        Sorted indices per fold; a fold may be empty where there are fewer sets than folds.
    """
    classes = {label: column for column, label in enumerate(sorted(set(labels)))}
    counts = np.zeros((len(sets), len(classes)))
    for row, members in enumerate(sets):
        for index in members:
            counts[row, classes[labels[index]]] += 1
    totals = counts.sum(axis=0)
    filled = np.zeros((k, len(classes)))
    folds: list[list[int]] = [[] for _ in range(k)]
    for row in sorted(range(len(sets)), key=lambda row: (-len(sets[row]), row)):
        # growth of the squared class shares: least where these classes are rarest so far
        grown = (((filled + counts[row]) / totals) ** 2 - (filled / totals) ** 2).sum(axis=1)
        growth = grown.round(9).tolist()
        fold = min(range(k), key=lambda f: (growth[f], len(folds[f]), f))
        filled[fold] += counts[row]
        folds[fold].extend(sets[row])
    return [sorted(fold) for fold in folds]
