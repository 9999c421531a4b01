"""`voxgrid report` writes a page for each board that has rows, or says why there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bench.cli import app
from bench.records import store as records
from tests.bench.records.make_records import make_record, store, unfinished
from tests.conftest import Voxgrid

SAMPLE = {"task": "sample-emotion", "protocol": "speaker-3fold", "weights": "random-init"}
REAL, GENERATED = Path("results/site/index.html"), Path("results/sample/site/index.html")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs."""
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["report", *arguments])


def test_each_board_with_rows_has_a_page_and_is_named() -> None:
    store(Path("results"), make_record())
    done = call()
    assert (done.exit_code, done.output) == (0, f"wrote {REAL}; open it in a browser\n")
    store(Path("results"), make_record(**SAMPLE))
    done = call()
    assert [line.partition(";")[0] for line in done.output.splitlines()] == [
        f"wrote {REAL}",
        f"wrote {GENERATED}",
    ]
    # the leaderboard is another command's
    assert not Path("leaderboard.md").exists()
    before = {path: path.read_bytes() for path in (REAL, GENERATED)}
    assert call().exit_code == 0
    assert {path: path.read_bytes() for path in before} == before


def test_another_results_folder_is_named_or_in_the_settings() -> None:
    store(Path("other"), make_record())
    Path("own.toml").write_text('results = "other"\n')
    for asked in (("--results", "other"), ("--config", "own.toml")):
        assert call(*asked).output.startswith("wrote other/site/index.html;")
    assert not REAL.exists()


@pytest.mark.parametrize("found", [(), (unfinished("no weights"),)], ids=["none", "a skip"])
def test_without_a_finished_row_there_is_no_page_and_it_says_what_makes_one(
    found: tuple[object, ...],
) -> None:
    for record in found:
        records.write(Path("results"), record)  # type: ignore[arg-type]
    done = call()
    assert (done.exit_code, done.output) == (
        0,
        "no row is finished yet: `voxgrid run` makes some\n",
    )
    assert not Path("results/site").exists()


@pytest.mark.parametrize("harm", ["no predictions", "other predictions", "a damaged record"])
def test_no_page_is_made_of_records_that_their_predictions_do_not_bear_out(harm: str) -> None:
    store(Path("results"), make_record("sound"))
    store(Path("results"), make_record())
    path = records.predictions_path(Path("results"), make_record().cell)
    if harm == "no predictions":
        path.unlink()
    elif harm == "other predictions":
        path.write_bytes(b"garbage")
    else:
        path = path.with_suffix(".json")
        path.write_text("{")
    done = call()
    assert (done.exit_code, done.stdout) == (1, "")
    assert str(path) in done.stderr
    assert "sound" not in done.stderr
    assert "`voxgrid run` makes those cells again, with --replace" in done.stderr
    assert not Path("results/site").exists()


def test_a_results_folder_that_is_not_there_is_the_users_mistake(voxgrid: Voxgrid) -> None:
    done = voxgrid("report", "--results", "typo")
    assert done.returncode == 2
    assert "there is no results folder typo; name it with --results" in done.stderr


def test_nothing_is_written_behind_a_link(voxgrid: Voxgrid, tmp_path: Path) -> None:
    store(Path("results"), make_record())
    (tmp_path / "elsewhere").mkdir()
    Path("results/site").symlink_to(tmp_path / "elsewhere")
    done = voxgrid("report")
    assert done.returncode != 0
    assert "site is a link" in " ".join(done.stderr.split())
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_it_needs_neither_plugins_nor_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    store(Path("results"), make_record())
    for name in ("torch", "transformers", "bench.tasks", "bench.protocols.makers"):
        monkeypatch.setitem(sys.modules, name, None)
    assert call().exit_code == 0
