"""Clips that no row gets right, and rows that complete each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bench.report.doubts import doubts, pairs
from bench.report.stored import Said, Stored
from tests.bench.records.make_records import make_record

TRUTH = np.array([0, 0, 1, 1])


def _row(name: str, said: Sequence[int], sure: float = 0.9, **changes: object) -> Stored:
    probabilities = np.full((len(said), 2), 1 - sure)
    probabilities[np.arange(len(said)), list(said)] = sure
    zeros = np.zeros(len(said), dtype=np.int64)
    names = tuple("abcd"[: len(said)])
    tested = Said(names, zeros, TRUTH[: len(said)], zeros, ("g",), (np.array(said),), probabilities)
    return Stored(make_record(name, **changes), tested, None)


def test_a_clip_is_doubted_that_every_row_gets_wrong() -> None:
    found = doubts([_row("x", [0, 1, 1, 0]), _row("y", [1, 1, 1, 0], 0.7)])
    assert [(d.clip, d.label, d.said, d.rows) for d in found] == [
        ("b", "class0", "class1", 2),
        ("d", "class1", "class0", 2),
    ]
    assert found[0].confidence == pytest.approx(0.8)


def test_one_row_doubts_nothing_and_rows_of_other_clips_or_repeats_are_not_asked() -> None:
    one = _row("x", [1, 1, 0, 0])
    assert doubts([one]) == []
    assert doubts([one, _row("y", [1, 1, 0])]) == []
    assert doubts([one, _row("y", [1, 1, 0, 0], protocol="random-10x80-20")]) == []
    assert len(doubts([one, _row("y", [1, 1, 0, 0])])) == 4


def test_rows_that_are_right_elsewhere_complete_each_other() -> None:
    rows = [_row("x", [0, 0, 0, 0]), _row("y", [1, 1, 1, 1]), _row("z", [0, 1, 0, 1])]
    found = pairs(rows)
    names = [(p.first.backbone, p.second.backbone, p.apart, p.either) for p in found]
    assert names[0] == ("x", "y", 1.0, 1.0)
    assert ("x", "z", 0.5, 0.75) in names
