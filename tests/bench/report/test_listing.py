"""The CSV of all rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.report.leaderboard import Leaderboard
from bench.report.listing import BEGINNING, NAME
from tests.bench.records.make_records import make_record, store
from tests.bench.report.pages import rows, section

_RIGHT = {"a": 90, "b": 88, "c": 55}


def _board(folder: Path) -> Leaderboard:
    results = folder / "results"
    for head, right in _RIGHT.items():
        confusion = [[right, 100 - right], [100 - right, right]]
        store(results, make_record(head=head, confusion=confusion), groups=20)
    store(results, make_record(protocol="random-80-20"))
    store(results, make_record("logmel", task="sample-emotion", protocol="speaker-3fold"))
    return Leaderboard.of(results, folder / "leaderboard.md")


def test_page_and_csv_say_the_same(tmp_path: Path) -> None:
    board = _board(tmp_path)
    board.write()
    table = pd.read_csv(tmp_path / "results" / NAME)
    assert len(table) == 4
    assert set(table.task) == {"ravdess"}
    own = table[table.protocol == "speaker-6fold"]
    shown = rows(section(board.texts()[board.path], "speaker-6fold"))
    assert len(own) == len(shown) == len(_RIGHT)
    for line, row in zip(own.itertuples(), shown, strict=True):
        assert [line.backbone, line.pooling, line.head] == row[1:4]
        ranks = [line.rank_first, line.rank_last]
        assert "–".join(str(int(rank)) for rank in dict.fromkeys(ranks)) == row[0]
        values = (line.macro_f1, line.macro_f1_low, line.macro_f1_high)
        assert "{:.1f} ({:.1f}–{:.1f})".format(*(100 * value for value in values)) == row[4]
    assert table[table.protocol == "random-80-20"].macro_f1_low.isna().all()


def test_a_csv_of_other_records_is_named(tmp_path: Path) -> None:
    board = _board(tmp_path)
    board.write()
    assert board.difference() is None
    path = tmp_path / "results" / NAME
    path.write_text(path.read_text().replace("0.9000", "0.9900"))
    assert str(board.difference()).startswith(f"{path} differs from the records in ")
    path.unlink()
    assert board.difference() == f"{path} does not exist"


def test_it_begins_as_what_is_ours_is_known_by(tmp_path: Path) -> None:
    board = _board(tmp_path)
    assert board.texts()[tmp_path / "results" / NAME].startswith(BEGINNING)


@pytest.mark.parametrize(
    ("hardware", "shown"), [("=1+1", "'=1+1"), ("a\x1b[2J\nb", r"a\x1b[2J\nb")]
)
def test_no_cell_is_a_formula_or_speaks_to_a_terminal(
    tmp_path: Path, hardware: str, shown: str
) -> None:
    results = tmp_path / "results"
    store(results, make_record(hardware=hardware))
    board = Leaderboard.of(results, tmp_path / "leaderboard.md")
    assert board.texts()[results / NAME].rstrip().endswith(f",{shown}")
