"""`voxgrid doubts` names clips that no row gets right, or says why it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bench.cli import app
from tests.bench.records.make_records import make_record, store
from tests.conftest import Voxgrid


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs."""
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doubts", *arguments])


def test_clips_are_named_that_every_row_gets_wrong() -> None:
    # of ten clips of a class the same three are wrong in both
    for backbone, right in (("a", 7), ("b", 6)):
        confusion = [[right, 10 - right], [10 - right, right]]
        store(Path("results"), make_record(backbone, confusion=confusion))
    done = call("ravdess")
    assert done.exit_code == 0
    assert "ravdess, speaker-6fold: 6 clips that none of 2 rows gets right." in done.output
    named = {line.split()[0] for line in done.output.splitlines() if line.startswith(" clip0-")}
    assert len(named) == 6


def test_a_protocol_can_be_named(voxgrid: Voxgrid) -> None:
    for backbone in "ab":
        for protocol in ("speaker-6fold", "random-80-20"):
            store(Path("results"), make_record(backbone, protocol=protocol))
    assert call("ravdess", "--protocol", "random-80-20").output.startswith("ravdess, random-80-20:")
    wrong = voxgrid("doubts", "ravdess", "--protocol", "random-80")
    assert wrong.returncode == 2
    assert "did you mean 'random-80-20'?" in wrong.stderr


def test_a_task_without_rows_is_the_users_mistake_and_one_row_is_too_few(voxgrid: Voxgrid) -> None:
    store(Path("results"), make_record())
    wrong = voxgrid("doubts", "ravdes")
    assert wrong.returncode == 2
    assert "no row of task 'ravdes' is in results; did you mean 'ravdess'?" in wrong.stderr
    few = voxgrid("doubts", "ravdess")
    assert few.returncode == 2
    assert "doubts need two rows of ravdess, speaker-6fold" in few.stderr
