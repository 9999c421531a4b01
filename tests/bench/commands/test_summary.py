"""A run ends with the best rows of its leaderboards, where these lie, and what comes next."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bench import tasks
from bench.clips import Task
from bench.commands import summary
from bench.records.schema import Record
from bench.report.leaderboard import Leaderboard
from tests.bench.records.make_records import make_record, right_of_ten, store, unfinished

SAMPLE = {"task": "sample-topic", "protocol": "channel-5fold", "weights": "random-init"}


@pytest.fixture(autouse=True)
def without_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("VOXGRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VOXGRID_DATA", raising=False)


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    """What is printed at the end of a run of some records, others being there before."""

    def shown(*own: Record, before: tuple[Record, ...] = ()) -> str:
        for record in (*before, *own):
            store(Path("results"), record, groups=20)
        made = Leaderboard.of(Path("results"), Path("leaderboard.md"))
        summary.show(made, {record.cell for record in own}, "voxgrid plan")
        return capsys.readouterr().out

    return shown


def table(printed: str) -> list[list[str]]:
    """Rows, of which each begins with its number."""
    lines = [re.split("  +", line.strip()) for line in printed.splitlines()]
    return [line for line in lines if line[0][:1].isdigit()]


def head(place: int, right: int) -> Record:
    return make_record(head=f"head{place}", confusion=right_of_ten(right, right))


def test_no_more_than_five_rows_of_a_task_and_protocol_are_shown(shown: Any) -> None:
    own = [head(place, place) for place in range(1, 8)]
    text = shown(*own, make_record(protocol="random-80-20"))
    assert "Best of 7, ravdess, speaker-6fold:" in text
    assert "Best of 1, ravdess, random-80-20 (leaks speakers):" in text
    first, second = text.split("Best of 1")
    assert [row[0] for row in table(first)] == [
        f"{number}. xlsr, mean, head{8 - number}" for number in range(1, 6)
    ]
    assert [row[1:] for row in table(second)] == [["60.0", "6.0"]]


def test_rows_of_earlier_runs_are_compared_with_and_the_best_of_this_run_is_among_them(
    shown: Any,
) -> None:
    before = tuple(head(place, 9) for place in range(6))
    text = shown(head(8, 3), head(7, 2), before=before)
    assert "Best of 8," in text
    rows = [row[0] for row in table(text)]
    assert rows == [*(f"{n}. xlsr, mean, head{n - 1}" for n in range(1, 5)), "7. xlsr, mean, head8"]


def test_tasks_and_kinds_that_the_run_had_no_cell_of_are_left_out(shown: Any) -> None:
    before = (
        make_record(task="youtube", protocol="channel-5fold"),
        make_record(control="random-init", weights="random-init"),
        make_record("tiny", **SAMPLE),
        make_record(preset="some"),
    )
    text = shown(make_record("mine"), before=before)
    assert len(table(text)) == 1
    assert "See leaderboard.md. Next:" in text
    preset = shown(make_record(preset="some"))
    assert "Best of 1, ravdess, speaker-6fold, preset:" in preset
    assert [row[0] for row in table(preset)] == ["1. some: xlsr, mean, mlp"]


def test_scores_have_their_intervals_and_speeds_their_machines(shown: Any) -> None:
    confusion = [[80, 20], [20, 80]]
    one = make_record("one", confusion=confusion, hardware="A CPU")
    text = shown(one, make_record("two", confusion=confusion, hardware="Other CPU"))
    rows = table(text)
    assert all(re.fullmatch(r"80\.0 \(7\d\.\d–8\d\.\d\)", row[1]) for row in rows)
    assert [row[2] for row in rows] == ["6.0 A", "6.0 B"]
    assert "A: A CPU; B: Other CPU" in text


@pytest.mark.parametrize("columns", ["40", "80"])
def test_the_longest_names_of_ours_fit_a_terminal(
    shown: Any, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    own = make_record("whisper-base", "logistic_regression", pooling="mean_std")
    assert max(map(len, shown(own).split("The best of")[0].splitlines())) <= int(columns)


def test_a_run_on_generated_clips_names_its_page_and_how_to_get_real_ones(shown: Any) -> None:
    text = shown(make_record("tiny", **SAMPLE), before=(make_record(),))
    assert "Best of 1, sample-topic, channel-5fold (generated clips):" in text
    assert "See results/sample/leaderboard.md. Next:" in text
    assert "instead of sample-topic: no sound of the YouTube videos" in text
    assert "'voxgrid fetch youtube TABLE.csv'" in text
    assert "RAVDESS" not in text
    both = shown(make_record("tiny", **SAMPLE | {"task": "sample-emotion"}), make_record())
    assert "See leaderboard.md and results/sample/leaderboard.md. Next:" in both
    assert "'voxgrid fetch ravdess'" in both
    assert "VOXGRID_DATA" in both


def test_a_run_on_real_clips_says_nothing_of_generated_ones(shown: Any) -> None:
    text = shown(make_record(), before=(make_record("tiny", **SAMPLE),))
    assert text.splitlines()[-1] == "  voxgrid plan  # what of the grid is done, and what is left?"


def test_where_the_real_clips_are_it_says_how_to_run_on_them(
    shown: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "resolve", lambda name: Task)
    text = shown(make_record("tiny", **SAMPLE))
    assert "  voxgrid run --task youtube  # instead of sample-topic: its clips are on" in text


def test_a_run_without_a_result_says_so(shown: Any, capsys: pytest.CaptureFixture[str]) -> None:
    gone = unfinished("no weights")
    made = Leaderboard.of(Path("results"), Path("leaderboard.md"))
    summary.show(made, {gone.cell}, "voxgrid plan")
    text = capsys.readouterr().out
    assert text.startswith("No cell of this run has a result. See leaderboard.md. Next:")
