"""Pages beside the records go with the last of these, and nothing else goes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.report.leaderboard import Leaderboard
from tests.bench.records.make_records import make_record, make_trained
from tests.bench.report.pages import store

SAMPLE = {"task": "sample-emotion", "protocol": "speaker-3fold"}
FILES = (
    "leaderboard.csv",
    "published.md",
    "sample/leaderboard.csv",
    "sample/leaderboard.md",
    "trained.md",
)


def board(results: Path) -> Leaderboard:
    return Leaderboard.of(results, results.parent / "leaderboard.md")


def beside(results: Path) -> list[str]:
    """Pages and CSV in the results folder."""
    found = (path for path in results.rglob("*") if path.suffix in (".md", ".csv"))
    return sorted(path.relative_to(results).as_posix() for path in found)


@pytest.fixture
def emptied(results: Path) -> Path:
    """Every page, and no record of any."""
    store(results, make_trained(), make_record(**SAMPLE), make_record(preset="some"))
    board(results).write()
    assert beside(results) == sorted(FILES)
    for task in ("ravdess", "sample-emotion"):
        shutil.rmtree(results / task)
    return results


def test_pages_without_a_record_are_noticed_and_then_removed(emptied: Path) -> None:
    page = emptied.parent / "leaderboard.md"
    page.write_text(board(emptied).texts()[page], encoding="utf-8")
    difference = str(board(emptied).difference())
    assert difference.startswith("files belong to no record any more: ")
    assert all(str(emptied / name) in difference for name in FILES)
    board(emptied).write()
    assert beside(emptied) == []
    assert not (emptied / "sample").exists()
    assert board(emptied).difference() is None


def test_a_page_goes_alone_where_others_still_have_records(emptied: Path) -> None:
    store(emptied, make_trained())
    board(emptied).write()
    assert beside(emptied) == ["leaderboard.csv", "trained.md"]


def test_what_is_somebody_else_s_stays(emptied: Path) -> None:
    theirs = {name: f"# My own {name}\n" for name in FILES}
    for name, text in theirs.items():
        (emptied / name).write_text(text)
    (emptied / "sample" / "notes.txt").write_text("mine")
    board(emptied).write()
    assert {name: (emptied / name).read_text() for name in beside(emptied)} == theirs
    assert board(emptied).difference() is None


def test_a_folder_that_holds_something_else_stays(emptied: Path) -> None:
    (emptied / "sample" / "notes.txt").write_text("mine")
    board(emptied).write()
    assert [path.name for path in (emptied / "sample").iterdir()] == ["notes.txt"]


def test_the_page_that_was_asked_for_is_no_leftover(results: Path) -> None:
    page = results / "trained.md"
    store(results, make_record())
    Leaderboard.of(results, page).write()
    Leaderboard.of(results, page).write()
    assert page.read_text().startswith("# Leaderboard\n")


@pytest.mark.parametrize("name", ["published.md", "sample"])
def test_nothing_is_removed_behind_a_link(emptied: Path, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(emptied / name, elsewhere)
    (emptied / name).symlink_to(elsewhere)
    before = sorted(tmp_path.glob("elsewhere/*"))
    board(emptied).write()
    assert (emptied / name).is_symlink()
    assert elsewhere.exists()
    assert sorted(tmp_path.glob("elsewhere/*")) == before


def test_what_is_no_file_stays(emptied: Path) -> None:
    (emptied / "trained.md").unlink()
    (emptied / "trained.md").mkdir()
    board(emptied).write()
    assert (emptied / "trained.md").is_dir()
