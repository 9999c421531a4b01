"""Real tasks and generated clips have a leaderboard each, and neither changes the other."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from bench.errors import StorageError
from bench.records.store import Folder, record_files
from bench.report.leaderboard import Leaderboard
from bench.run.clean import unneeded
from tests.bench.records.make_records import make_record, unfinished
from tests.bench.report.pages import store

SAMPLE = {"task": "sample-emotion", "protocol": "speaker-3fold", "weights": "random-init"}


def made(results: Path) -> Leaderboard:
    board = Leaderboard.of(results, results.parent / "leaderboard.md")
    board.write()
    return board


def files(results: Path) -> dict[Path, bytes]:
    """What was made from the records."""
    return {
        path.relative_to(results.parent): path.read_bytes()
        for path in results.parent.rglob("*")
        if path.suffix in (".md", ".csv", ".png")
    }


def backbones(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return [row["backbone"] for row in csv.DictReader(file)]


def test_generated_clips_change_one_line_of_the_leaderboard_and_no_other_file(
    results: Path,
) -> None:
    store(results, make_record("real"), make_record("leaky", protocol="random-80-20"))
    made(results)
    before = files(results)
    store(
        results,
        make_record("tiny", **SAMPLE),
        make_record("tiny", **SAMPLE, preset="some"),
        unfinished("no such layer", backbone="odd", task="sample-topic"),
    )
    made(results)
    after = files(results)
    page = Path("leaderboard.md")
    old, new = (text[page].decode().splitlines() for text in (before, after))
    more = [line for line in new if line not in old]
    assert more == ["More: [sample tasks, on generated clips](results/sample/leaderboard.md)."]
    assert [line for line in old if line not in new] == []
    added = {Path("results/sample/leaderboard.md"), Path("results/sample/leaderboard.csv")}
    assert after.keys() - before.keys() == added
    assert all(after[path] == before[path] for path in before.keys() - {page})
    assert backbones(results / "leaderboard.csv") == ["real", "leaky"]
    assert set(backbones(results / "sample" / "leaderboard.csv")) == {"tiny"}


def test_the_page_of_generated_clips_says_where_its_rows_are_and_its_records(
    results: Path,
) -> None:
    store(results, *(make_record(head=f"head{place}", **SAMPLE) for place in range(21)))
    board = made(results)
    text = board.boards.sample.page.read_text(encoding="utf-8")
    assert "all of them are in `leaderboard.csv` beside this page." in text
    assert "from the records in `..`;" in text
    assert not re.search(r"\]\(", text)


def test_what_was_made_is_no_record_and_nothing_to_clean(results: Path, tmp_path: Path) -> None:
    # of a task of one's own, in the same folder
    own = make_record("mine", task="sample", sample=False)
    store(results, make_record(**SAMPLE), own)
    before, paths = Folder.read(results), record_files(results)
    board = made(results)
    assert (results / "sample" / "leaderboard.md").is_file()
    assert Folder.read(results) == before
    assert record_files(results) == paths
    assert not before.copies
    assert unneeded([results], tmp_path / "features", unfinished=True) == []
    assert {record.task for record in board.boards.real.records} == {"sample"}


def test_a_check_looks_at_both_boards(results: Path) -> None:
    store(results, make_record(), make_record(**SAMPLE))
    board = made(results)
    assert board.difference() is None
    for name in ("leaderboard.md", "leaderboard.csv"):
        path = results / "sample" / name
        path.write_text(path.read_text().replace("60", "61"))
        assert str(board.difference()).startswith(f"{path} differs from the records in ")
        board.write()
        assert board.difference() is None


def test_nothing_is_written_behind_a_link(results: Path, tmp_path: Path) -> None:
    store(results, make_record(), make_record(**SAMPLE))
    (tmp_path / "elsewhere").mkdir()
    (results / "sample").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="sample is a link"):
        made(results)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not (tmp_path / "leaderboard.md").exists()
