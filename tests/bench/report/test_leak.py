"""How much higher a row reads where groups are on both sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.records.store import predictions_path
from bench.report.leak import leaks_of
from bench.report.stored import stored
from tests.bench.records.make_records import make_record, store


def _confusion(right: int) -> list[list[int]]:
    return [[right, 100 - right], [100 - right, right]]


def test_the_same_row_under_both_protocols_is_compared_with_an_interval(tmp_path: Path) -> None:
    fair = make_record(confusion=_confusion(60))
    leaky = make_record(confusion=_confusion(80), protocol="random-80-20")
    others = [
        make_record(head="lda", protocol="random-80-20"),  # ran under one of them only
        make_record("w", control="random-init"),
        make_record("w", control="random-init", protocol="random-80-20"),
    ]
    for record in (fair, leaky, *others):
        store(tmp_path, record, groups=20)
    (leak,) = leaks_of([fair, leaky, *others], stored(tmp_path, [fair, leaky, *others]))
    assert (leak.fair, leak.leaky) == (fair, leaky)
    assert leak.points == pytest.approx(0.2)
    assert leak.difference is not None
    assert leak.difference.score == pytest.approx(0.2)
    assert 0.05 < leak.difference.low < 0.2 < leak.difference.high < 0.35


def test_without_sound_predictions_there_is_no_interval(tmp_path: Path) -> None:
    found = [make_record(), make_record(protocol="random-80-20")]
    for record in found:
        store(tmp_path, record, groups=20)
    predictions_path(tmp_path, found[1].cell).unlink()
    (leak,) = leaks_of(found, stored(tmp_path, found))
    assert leak.difference is None
    assert leak.points == 0


def test_few_groups_give_no_interval(tmp_path: Path) -> None:
    found = [make_record(), make_record(protocol="random-80-20")]
    for record in found:
        store(tmp_path, record, groups=4)
    (leak,) = leaks_of(found, stored(tmp_path, found))
    assert leak.difference is None
