"""`voxgrid leaderboard` needs records and two paths, and its advice mends what it finds."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bench.cli import app
from bench.records import store as records
from tests.bench.commands.reading import document
from tests.bench.records.make_records import make_record, right_of_ten, store
from tests.conftest import Voxgrid


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs, with records in it."""
    monkeypatch.chdir(tmp_path)
    store(Path("results"), make_record())
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
    store(results, make_record())
    if state != "missing":
        assert call(*asked).exit_code == 0
    if state == "outdated":
        store(results, make_record(confusion=right_of_ten(9, 9)))
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


CELL = "ravdess / speaker-6fold / xlsr / mean / mlp"


def damaged() -> str:
    path = Path("results") / "ravdess" / "speaker-6fold" / "a__b__c.json"
    path.write_text("{")
    return f"{path} cannot be read (it is no JSON)"


def of_garbage() -> str:
    path = records.predictions_path(Path("results"), make_record().cell)
    path.write_bytes(b"garbage")
    return f"{CELL}: its predictions {path} cannot be read"


def of_others() -> str:
    path = records.predictions_path(Path("results"), make_record().cell)
    whole = path.read_bytes()
    store(Path("results"), make_record(confusion=right_of_ten(9, 9)))
    path.write_bytes(whole)
    return f"{CELL}: its predictions {path} do not give its scores"


def gone() -> str:
    path = records.predictions_path(Path("results"), make_record().cell)
    path.unlink()
    return f"{CELL}: its predictions {path} are not there"


def files() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("harm", [damaged, of_garbage, of_others, gone])
def test_no_page_is_written_of_records_that_their_predictions_do_not_bear_out(
    harm: Callable[[], str], written: bool
) -> None:
    if written:
        assert call().exit_code == 0
    said, before = harm(), files()
    for asked in ((), ("--check",), ("--json",), ("--check", "--json")):
        refused = call(*asked)
        assert refused.exit_code == 1
        assert said in refused.stderr
        assert "`voxgrid run` makes those cells again, with --replace" in refused.stderr
        if "--json" in asked:
            found = document(refused.stdout)
            assert (len(found["unfounded"]), said in found["unfounded"][0]) == (1, True)
            assert found["agrees"] is (False if "--check" in asked else None)
        else:
            assert refused.stdout == ""
    assert files() == before


@pytest.mark.parametrize("copy", ["xlsr__mean__mlp copy.json", "backup/xlsr__mean__mlp.json"])
def test_a_copy_is_not_ranked_but_named(copy: str) -> None:
    page = Path("leaderboard.md")
    call()
    before = page.read_text(encoding="utf-8")
    path = Path("results") / "ravdess" / "speaker-6fold"
    (path / copy).parent.mkdir(exist_ok=True)
    (path / copy).write_bytes((path / "xlsr__mean__mlp.json").read_bytes())
    call()
    after = page.read_text(encoding="utf-8")
    assert [line for line in after.splitlines() if "|" in line] == [
        line for line in before.splitlines() if "|" in line
    ]
    assert f"`{(path / copy).as_posix()}`" in after


@pytest.mark.parametrize("check", [(), ("--check",)])
def test_a_results_folder_that_is_not_there_is_the_users_mistake(
    voxgrid: Voxgrid, tmp_path: Path, check: tuple[str, ...]
) -> None:
    done = voxgrid("leaderboard", "--results", "typo", *check)
    assert done.returncode == 2
    assert "there is no results folder typo; name it with --results" in done.stderr
    assert not (tmp_path / "typo").exists()


def test_a_newer_record_is_refused_and_no_page_is_written(voxgrid: Voxgrid) -> None:
    path = next(Path("results").rglob("*__*.json"))
    path.write_text(path.read_text().replace('"schema_version": 2', '"schema_version": 3'))
    done = voxgrid("leaderboard")
    assert done.returncode == 2
    assert f"{path} is a record of schema 3" in done.stderr
    assert not Path("leaderboard.md").exists()


def test_home_is_known_behind_options_and_in_the_file(voxgrid: Voxgrid, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text('results = "~/results"\nleaderboard = "~/other.md"\n')
    for options, page in (
        ((), "other.md"),
        (("--results=~/results",), "results/leaderboard.md"),
        (("--config", "~/grid.toml", "--results", "~/results"), "results/leaderboard.md"),
    ):
        done = voxgrid("leaderboard", *options, HOME=str(tmp_path))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"wrote {tmp_path / page}\n"


def test_records_are_printed_without_plugins_or_networks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("torch", "transformers", "bench.tasks", "bench.protocols.makers"):
        monkeypatch.setitem(sys.modules, name, None)
    assert call("--check").exit_code == 1


def test_the_rows_are_one_json_document_with_or_without_a_check() -> None:
    made = document(call("--json").stdout)
    assert (made["path"], made["agrees"]) == ("leaderboard.md", None)
    assert [row["backbone"] for row in made["rows"]] == ["xlsr"]
    assert document(call("--check", "--json").stdout)["agrees"] is True
    Path("leaderboard.md").write_text("other")
    differs = call("--check", "--json")
    found = document(differs.stdout)
    assert (differs.exit_code, found["agrees"]) == (1, False)
    assert "differs from the records" in found["difference"]
