"""Terminals that lack characters, and disks that are full, end no command with a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.commands.shell import at_home, plain
from bench.records import store as records

CELL = ("--task=sample-emotion", "--protocol=speaker-3fold", "--backbone=logmel", "--pooling=mean")
RUN = ("run", *CELL, "--head=logistic_regression", "--trials=1")


def process(
    environment: dict[str, str], folder: Path, *arguments: str, out: str, err: str = "err"
) -> tuple[int, str]:
    """Run the command with its streams in files; its exit code and what it said of errors."""
    said = folder / "err"
    with (folder / out).open("w") as stdout, (folder / err).open("w") as stderr:
        done = subprocess.run(
            [sys.executable, "-m", "bench.cli", *arguments],
            cwd=folder,
            env=environment,
            stdout=stdout,
            stderr=stderr,
            timeout=300,
        )
    return done.returncode, said.read_text(errors="replace") if said.exists() else ""


@pytest.mark.parametrize(
    ("encoding", "command"),
    [("ascii", ("plan", *CELL)), ("cp1252", ("plan", *CELL)), ("ascii", ("list", "poolings"))],
)
def test_output_to_a_terminal_of_another_encoding(
    environment: dict[str, str], tmp_path: Path, encoding: str, command: tuple[str, ...]
) -> None:
    there = environment | {"PYTHONIOENCODING": encoding}
    code, said = process(there, tmp_path, *command, out="out")
    assert (code, "Error" in said) == (0, False), said
    assert (tmp_path / "out").read_bytes().decode(encoding)


def test_what_an_encoding_lacks_is_written_plainly() -> None:
    error = UnicodeEncodeError("latin-1", "a → b – c … \u4e2d", 2, 14, "not in it")
    assert plain(error) == ("-> b - c ... \\u4e2d", 14)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_full_disk_under_the_output_is_one_sentence(
    environment: dict[str, str], tmp_path: Path
) -> None:
    # a table, and JSON
    for command in (("plan", *CELL), ("list", "--json")):
        code, said = process(environment, tmp_path, *command, out="/dev/full")
        assert code == 1
        sentence = "voxgrid: standard output cannot be written (No space left on device); "
        assert said.startswith(sentence)
        assert said.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_full_disk_under_all_that_a_run_says_loses_no_result(
    environment: dict[str, str], tmp_path: Path
) -> None:
    code, _ = process(environment, tmp_path, *RUN, out="out", err="/dev/full")
    assert code == 0
    assert [record.status for record in records.read_all(tmp_path / "results")] == ["ok"]
    assert (tmp_path / "leaderboard.md").exists()
    code, _ = process(environment, tmp_path, "run", "--head=mpl", out="out", err="/dev/full")
    assert code == 2


def test_home_is_what_a_shell_would_have_made_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    made = {
        "~/a": "/home/me/a",
        "--results=~/a=b": "--results=/home/me/a=b",
        "--results=a~": "--results=a~",
        "~nobody-of-this-name/a": "~nobody-of-this-name/a",
        "hf:~/a": "hf:~/a",
        "-": "-",
    }
    assert {argument: at_home(argument) for argument in made} == made
