"""`voxgrid run` counts over the whole run, and ends with what was best and what comes next."""

from __future__ import annotations

from pathlib import Path

from tests.bench.commands.reading import document
from tests.conftest import Voxgrid

CELLS = ("--backbone", "logmel", "--pooling", "mean", "--head", "logistic_regression")
TWO_TASKS = ("--task", "sample-emotion", "--task", "sample-topic", *CELLS)
PROTOCOLS = ("--protocol", "speaker-3fold", "--protocol", "channel-5fold")


def test_cells_are_counted_over_all_tasks_and_a_rerun_ends_in_the_same_words(
    voxgrid: Voxgrid,
) -> None:
    first = voxgrid("run", *TWO_TASKS, *PROTOCOLS, COLUMNS="80")
    assert first.returncode == 0, first.stderr
    counted = [line.split()[:2] for line in first.stderr.splitlines() if "macro-F1" in line]
    assert counted == [["[1/2]", "sample-emotion"], ["[2/2]", "sample-topic"]]
    assert "Best of 1, sample-emotion, speaker-3fold (generated clips):" in first.stdout
    assert "Best of 1, sample-topic, channel-5fold (generated clips):" in first.stdout
    assert first.stdout.count("1. logmel, mean, logistic_regression ") == 2
    assert "See results/sample/leaderboard.md. Next:" in first.stdout
    assert "voxgrid plan" in first.stdout
    assert "'voxgrid fetch ravdess'" in first.stdout
    again = voxgrid("run", *TWO_TASKS, *PROTOCOLS, COLUMNS="80")
    assert "0 cells ran, 2 were done before, 0 skipped, 0 failed" in again.stderr
    assert again.stdout == first.stdout


def test_what_a_run_says_to_do_next_finds_its_results(voxgrid: Voxgrid, tmp_path: Path) -> None:
    run = ("run", "--task", "sample-emotion", *CELLS, "--results", "on the side")
    (line,) = [line for line in voxgrid(*run).stdout.splitlines() if "voxgrid plan" in line]
    assert line.split("  # ")[0].strip() == "voxgrid plan --results 'on the side'"
    command = document(voxgrid(*run, "--json").stdout)["next"][0]
    assert command == "voxgrid leaderboard --check --results 'on the side'"
    assert voxgrid("leaderboard", "--check", "--results", "on the side").returncode == 0
    assert (tmp_path / "on the side" / "leaderboard.md").is_file()


def test_what_a_run_says_to_do_next_finds_its_page_too(voxgrid: Voxgrid, tmp_path: Path) -> None:
    elsewhere = ("--results", "on the side", "--leaderboard", "page.md")
    done = voxgrid("run", "--task", "sample-emotion", *CELLS, *elsewhere, "--json")
    command = document(done.stdout)["next"][0]
    assert command == ("voxgrid leaderboard --check --results 'on the side' --leaderboard page.md")
    record = next((tmp_path / "on the side" / "sample-emotion").rglob("*.json"))
    record.with_name(f"{record.stem} copy.json").write_bytes(record.read_bytes())
    again = voxgrid("leaderboard", *elsewhere)
    assert "note: 1 file away from its cell's address left out: on the side/" in again.stderr
    assert voxgrid("leaderboard", "--check", *elsewhere).returncode == 0


def test_a_run_prints_one_json_document_and_its_progress_elsewhere(voxgrid: Voxgrid) -> None:
    done = voxgrid("run", "--task", "sample-emotion", *CELLS, "--json")
    assert done.returncode == 0, done.stderr
    found = document(done.stdout)
    assert found["cells"]["ok"] + found["cells"]["done_before"] == 2
    assert [(row["task"], row["protocol"], row["leaks"]) for row in found["rows"]] == [
        ("sample-emotion", "speaker-3fold", False),
        ("sample-emotion", "random-80-20", True),
    ]
    assert 0 < found["rows"][0]["macro_f1"] <= 1
    assert found["next"] == ["voxgrid leaderboard --check", "voxgrid plan"]
    assert "cells ran" in done.stderr


def test_a_run_without_a_result_says_so_and_what_to_do(voxgrid: Voxgrid) -> None:
    done = voxgrid("run", "--task", "sample-emotion", *CELLS, "--budget", "0s")
    assert done.stdout.startswith("No cell of this run has a result. See leaderboard.md. Next:")
    assert "voxgrid plan" in done.stdout
