"""Where rows disagree, and clips that every row gets wrong, whose label may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bench.records.schema import Record
from bench.report.stored import Stored, alike

# Rows that pairs are made of, the best ones.
_PAIRED = 20


@dataclass(frozen=True)
class Doubt:
    """A clip that every row predicts wrongly.

    Attributes:
        clip: its name.
        label: what it is labelled as.
        said: what most rows say.
        rows: how many of them say that.
        confidence: the mean probability that rows give to their answer.
    """

    clip: str
    label: str
    said: str
    rows: int
    confidence: float


@dataclass(frozen=True)
class Pair:
    """Two rows and the share of clips that exactly one of them gets right.

    Attributes:
        first, second: the better one first.
        apart: that share; what an average lives on.
        either: the share that at least one of them gets right.
    """

    first: Record
    second: Record
    apart: float
    either: float


def doubts(found: Sequence[Stored]) -> list[Doubt]:
    """Clips that no row gets right, those first that most rows call the same.

    The rows are of one task and protocol; of those on other clips than the best row's, and of
    splits that repeat, none is asked. Fewer than two rows doubt nothing.
    """
    rows = _asked(found)
    if len(rows) < 2:
        return []
    tested, labels = rows[0].tested, rows[0].record.labels
    said = np.array([row.tested.probabilities.argmax(axis=1) for row in rows])
    sure = np.array([row.tested.probabilities.max(axis=1) for row in rows]).mean(axis=0)
    clips = np.flatnonzero((said != tested.truth).all(axis=0))
    every = []
    for place in clips:
        ((answer, number),) = Counter(said[:, place].tolist()).most_common(1)
        truth = labels[tested.truth[place]]
        sureness = float(sure[place])
        every.append(Doubt(tested.clips[place], truth, labels[answer], number, sureness))
    return sorted(every, key=lambda doubt: (-doubt.rows, -doubt.confidence, doubt.clip))


def pairs(found: Sequence[Stored]) -> list[Pair]:
    """Pairs of the best rows, those first that complete each other most."""
    rows = _asked(found)[:_PAIRED]
    right = [row.tested.probabilities.argmax(axis=1) == row.tested.truth for row in rows]
    every = [
        Pair(
            rows[i].record,
            rows[j].record,
            float((right[i] != right[j]).mean()),
            float((right[i] | right[j]).mean()),
        )
        for i, j in combinations(range(len(rows)), 2)
    ]
    return sorted(every, key=lambda pair: -pair.either)


def asked(found: Sequence[Stored]) -> int:
    """How many rows are asked."""
    return len(_asked(found))


def _asked(found: Sequence[Stored]) -> list[Stored]:
    own = [row for row in found if not row.record.folding.repeats]
    # of trainings there are no inner predictions, and they are asked too
    return alike(Stored(row.record, row.tested, None) for row in own)
