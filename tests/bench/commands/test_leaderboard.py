"""`voxgrid leaderboard` needs records and two paths, and its advice mends what it finds."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bench.cli import app
from bench.commands.documents import LeaderboardDocument
from bench.records import store as records
from tests.bench.commands.reading import strict
from tests.bench.records.make_records import make_record, right_of_ten


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs, with records in it."""
    monkeypatch.chdir(tmp_path)
    records.write(Path("results"), make_record())
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["leaderboard", *arguments])


def advice(printed: str) -> list[str]:
    """The command that a message tells to run, as its words behind `voxgrid leaderboard`."""
    found = re.search(r"run `voxgrid leaderboard(.*?)`", printed)
    assert found is not None, printed
    return shlex.split(found[1])


@pytest.mark.parametrize(
    "asked",
    [
        [],
        ["--results", "some where"],
        ["--config", "own.toml"],
        ["--config", "own.toml", "--results", "results"],
    ],
)
@pytest.mark.parametrize("state", ["missing", "outdated", "without figures"])
def test_what_a_failed_check_tells_to_run_mends_it(asked: list[str], state: str) -> None:
    Path("own.toml").write_text('leaderboard = "board.md"\n')
    results = Path(asked[-1] if "--results" in asked else "results")
    records.write(results, make_record())
    if state != "missing":
        assert call(*asked).exit_code == 0
    if state == "outdated":
        records.write(results, make_record(confusion=right_of_ten(9, 9)))
    if state == "without figures":
        next((results / "figures").iterdir()).unlink()
    failed = call(*asked, "--check")
    assert failed.exit_code == 1
    assert call(*advice(failed.output)).exit_code == 0
    agreed = call(*asked, "--check")
    assert (agreed.exit_code, agreed.output.split(" agrees ")[-1]) == (
        0,
        f"with the records in {results}\n",
    )


def test_backbones_of_the_grid_are_not_looked_up() -> None:
    Path("grid.toml").write_text('backbones = ["hf:./absent", "hf:nobody/nothing"]\n')
    assert call().exit_code == 0
    assert call("--check").exit_code == 0
    assert "xlsr" in Path("leaderboard.md").read_text(encoding="utf-8")


def test_a_damaged_record_is_named_on_the_page() -> None:
    path = Path("results") / "ravdess" / "speaker-6fold" / "a__b__c.json"
    path.write_text("{")
    call()
    assert f"`{path.as_posix()}`" in Path("leaderboard.md").read_text(encoding="utf-8")


def test_records_are_printed_without_plugins_or_networks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("torch", "transformers", "bench.tasks", "bench.protocols.makers"):
        monkeypatch.setitem(sys.modules, name, None)
    assert call("--check").exit_code == 1


def test_the_rankings_are_one_json_document_with_or_without_a_check() -> None:
    made = call("--json")
    strict(made.stdout)
    document = LeaderboardDocument.model_validate_json(made.stdout)
    assert (document.path, document.agrees) == ("leaderboard.md", None)
    assert [row.backbone for row in document.rankings[0].rows] == ["xlsr"]
    assert LeaderboardDocument.model_validate_json(call("--check", "--json").stdout).agrees is True
    Path("leaderboard.md").write_text("other")
    differs = call("--check", "--json")
    document = LeaderboardDocument.model_validate_json(differs.stdout)
    assert (differs.exit_code, document.agrees) == (1, False)
    assert "differs from the records" in str(document.difference)
