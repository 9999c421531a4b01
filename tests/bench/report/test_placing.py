"""Which rows get an interval and a rank, and how the page shows them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.records import store as records
from bench.records.schema import Record
from bench.report.leaderboard import Leaderboard
from bench.report.placing import places, standings
from bench.report.stored import stored
from tests.bench.records.make_records import make_record, store
from tests.bench.report.pages import render, rows, section

GROUPS = 20


def _confusion(right: int) -> list[list[int]]:
    """Of 100 clips in each of two classes so many are right."""
    return [[right, 100 - right], [100 - right, right]]


def _rows(results: Path, groups: int = GROUPS, **changes: object) -> list[Record]:
    """A good row, one hardly worse, one far behind, and a control."""
    found = [
        make_record(head="best", confusion=_confusion(90), **changes),
        make_record(head="near", confusion=_confusion(88), **changes),
        make_record(head="far", confusion=_confusion(55), **changes),
        make_record(head="random", confusion=_confusion(60), control="random-init", **changes),
    ]
    for record in found:
        store(results, record, groups)
    return found


def test_rows_that_cannot_be_told_apart_share_a_rank_and_controls_have_none(
    tmp_path: Path,
) -> None:
    found = _rows(tmp_path)
    placed = [
        places(standings(stored(tmp_path, found).values()))[str(record.cell)] for record in found
    ]
    assert [place.ranks for place in placed] == [(1, 2), (1, 2), (3, 3), None]
    for record, place in zip(found, placed, strict=True):
        interval = place.macro_f1
        assert interval.score == pytest.approx(record.scored.macro_f1)
        assert interval.low < interval.score < interval.high


def test_the_page_shows_ranks_and_intervals(tmp_path: Path) -> None:
    _rows(tmp_path / "results")
    shown = rows(section(render(tmp_path / "results"), "speaker-6fold"))
    assert [row[0] for row in shown] == ["1–2", "1–2", "–", "3"]
    for row in shown:
        score, low, high = (float(part) for part in re.findall(r"[\d.]+", row[4]))
        assert low < score < high


def test_the_same_predictions_give_the_same_page(tmp_path: Path) -> None:
    _rows(tmp_path / "results")
    assert render(tmp_path / "results") == render(tmp_path / "results")
    page = tmp_path / "leaderboard.md"
    Leaderboard.of(tmp_path / "results", page).write()
    assert Leaderboard.of(tmp_path / "results", page).difference() is None


@pytest.mark.parametrize(
    "changes",
    [
        {"groups": 7},
        {"protocol": "random-80-20"},
        {"protocol": "random-10x80-20", "picked": (3,)},
        {"task": "sample-emotion"},
    ],
    ids=str,
)
def test_where_an_interval_would_mislead_there_is_none(
    changes: dict[str, object], tmp_path: Path
) -> None:
    assert not places(standings(stored(tmp_path, _rows(tmp_path, **changes)).values()))


def test_a_row_without_sound_predictions_has_no_place(tmp_path: Path) -> None:
    found = _rows(tmp_path)
    records.predictions_path(tmp_path, found[1].cell).unlink()
    assert set(places(standings(stored(tmp_path, found).values()))) == {
        str(found[place].cell) for place in (0, 2, 3)
    }


def test_rows_tested_on_different_clips_are_not_ranked_together(tmp_path: Path) -> None:
    found = _rows(tmp_path)
    other = make_record(head="other", confusion=[[95, 5], [0, 50]])
    store(tmp_path, other, GROUPS)
    placed = places(standings(stored(tmp_path, [*found, other]).values()))
    assert placed[str(other.cell)].ranks == (1, 1)
    assert placed[str(found[0].cell)].ranks == (1, 2)


def test_presets_take_no_part_in_ranks(tmp_path: Path) -> None:
    found = _rows(tmp_path)
    before = places(standings(stored(tmp_path, found).values()))
    preset = make_record(head="preset", confusion=_confusion(99), preset="some")
    store(tmp_path, preset, GROUPS)
    assert places(standings(stored(tmp_path, [*found, preset]).values())) == before
