"""`voxgrid plan` says what a run does, how long it takes and what that rests on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench import machine as measure
from bench import paths
from bench.commands import plan as report
from bench.config.spec import RunSpec
from bench.planning import starts
from bench.planning.plan import (
    BackbonePlan,
    Finished,
    FoldedTask,
    Plan,
    ReadyBackbone,
    Skipped,
    SkippedBackbone,
    TaskPlan,
)
from bench.records import store as records
from tests.bench.commands.reading import WIDTHS, document, words
from tests.bench.planning.make_plans import INFO, make_backbone, make_folded, make_ready
from tests.bench.records.make_records import HARDWARE, make_record
from tests.conftest import Voxgrid


@pytest.fixture
def folded(tmp_path: Path) -> FoldedTask:
    return make_folded(tmp_path)


@pytest.fixture
def xlsr(folded: FoldedTask, tmp_path: Path) -> ReadyBackbone:
    return make_backbone(folded, tmp_path)


def done(number: int) -> Finished:
    return Finished(make_ready(number).cell)


@pytest.fixture
def planned(
    folded: FoldedTask, xlsr: ReadyBackbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Plan:
    """One backbone to run and one whose weights are not here, on a machine with one record."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("VOXGRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VOXGRID_OFFLINE", raising=False)
    monkeypatch.setattr(measure, "hardware", lambda device: HARDWARE)
    monkeypatch.setattr(measure, "processor", lambda: HARDWARE)
    records.write(tmp_path / "results", make_record("xlsr", head="mlp"))
    absent = SkippedBackbone(
        replace(INFO, name="wav2vec2", parameters=100_000_000),
        "wav2vec2: weights unavailable; get them with: hf download some/weights",
    )
    skipped = Skipped(replace(make_ready().cell, backbone="wav2vec2"), absent.reason)
    unfit = Skipped(make_ready(2).cell, "p2 pooling is learnt together with the head")
    rows = (
        BackbonePlan(folded, xlsr, (make_ready(0), done(1), unfit)),
        BackbonePlan(folded, absent, (skipped,)),
    )
    spec = RunSpec(results=tmp_path / "results", jobs=2)
    return Plan(spec, (TaskPlan(folded, 10, rows),), ("a note",))


@pytest.fixture
def shown(planned: Plan, capsys: pytest.CaptureFixture[str]) -> str:
    """What is printed of it at 80 columns."""
    report.render(planned)
    return capsys.readouterr().out


def test_a_plan_shows_clips_hours_folds_and_every_cell_by_state(shown: str) -> None:
    assert "ravdess: 100 clips, 1 left out, 1.0 hours of audio; speaker-6fold (6 folds)" in shown
    table = {line.split()[0]: line.split() for line in shown.splitlines() if line.strip()}
    figures = ["60", "min", "1", "1", "1", "25s", "?", "6m", "2m", "41", "MB"]
    assert table["xlsr"][1:] == figures
    assert "note: a note" in shown


def test_a_plan_names_what_each_estimate_rests_on(shown: str) -> None:
    assert "Time of extraction: earlier records on this hardware: xlsr." in shown
    assert "Time of tuning: earlier records on this hardware: xlsr." in shown
    # 6 min of extraction, 2 of tuning, 25 s of starts and 10 of the command
    assert "In all about 9 min ?: 1 cell to tune with 1 worker" in shown
    assert "assumed (?) for: extract xlsr, tune." in shown


def test_a_plan_says_why_a_backbone_is_skipped_and_that_a_run_would_download_it(
    shown: str,
) -> None:
    assert "wav2vec2: 1 cell skipped: weights unavailable; get them with: hf download" in shown
    assert "download the weights of wav2vec2 (about 400 MB)" in shown


def test_a_plan_with_all_done_says_so_and_promises_no_time(
    folded: FoldedTask,
    xlsr: ReadyBackbone,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = (BackbonePlan(folded, xlsr, (done(0), done(1))),)
    report.render(Plan(RunSpec(results=tmp_path), (TaskPlan(folded, 10, rows),)))
    printed = capsys.readouterr().out
    assert "Nothing to do." in printed
    assert "In all" not in printed


def test_dtype_that_a_backbone_does_not_state_is_a_skipped_row(
    voxgrid: Voxgrid, tmp_path: Path
) -> None:
    backbones = 'backbones = ["whisper-base", "logmel"]'
    (tmp_path / "grid.toml").write_text(f'dtype = "bfloat16"\n{backbones}\n')
    asked = ("--task", "sample-emotion", "--pooling", "mean", "--head", "logistic_regression")
    done = voxgrid("plan", *asked)
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    assert (
        "whisper-base: 2 cells skipped: its vectors in bfloat16 are too far from those in float32"
        in said
    )
    assert "choose --dtype float32 or float16" in said
    assert "logmel: 2 cells skipped" not in said


def test_a_plan_says_why_every_cell_is_skipped_with_how_many_there_are(shown: str) -> None:
    assert "p2: 1 cell skipped: p2 pooling is learnt together with the head" in shown
    assert "wav2vec2: 1 cell skipped: weights unavailable" in shown


def test_a_reason_of_many_cells_is_said_once(voxgrid: Voxgrid) -> None:
    asked = ("--task=sample-emotion", "--backbone=logmel", "--pooling=attention", "--pooling=mean")
    done = voxgrid("plan", *asked, "--head", "logistic_regression", "--head", "mlp")
    why = "2 cells skipped: attention pooling is learnt together with the head"
    assert f"attention logistic_regression: {why}" in done.stdout
    assert done.stdout.count("skipped: ") == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_every_name_and_number_of_a_plan_is_whole_at_any_width(
    planned: Plan, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    report.render(planned)
    whole = words(capsys.readouterr().out)
    monkeypatch.setenv("COLUMNS", str(width))
    report.render(planned)
    printed = capsys.readouterr().out
    assert whole - words(printed) <= {"backbone"}  # the head of the column that blocks begin with
    commands = ("wav2vec2: 1 cell skipped", "p2: 1 cell skipped")
    if width < 80:
        path = str(planned.spec.results.parent / "cache")  # a path is never broken
        lines = [
            li for li in printed.splitlines() if not li.startswith(commands) and path not in li
        ]
        assert max(map(len, lines)) <= width


def test_starts_that_were_measured_are_no_guess(
    planned: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    starts.remember("extract xlsr", 40.0)
    starts.remember("tune", 3.0)
    report.render(planned, as_json=True)
    found = document(capsys.readouterr().out)
    assert found["backbones"][0]["starts"] == {"seconds": 43.0, "basis": "records"}
    # 360 s of extraction, 120 s of tuning with one worker, and the command itself
    assert found["time"] == {"seconds": 533.0, "basis": "records"}
    (paths.cache_dir() / "starts.json").write_text("{")
    report.render(planned, as_json=True)
    found = document(capsys.readouterr().out)
    assert found["backbones"][0]["starts"] == {"seconds": 25.0, "basis": "guess"}
    assert found["time"]["basis"] == "guess"


def test_a_plan_is_one_json_document(planned: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    report.render(planned, as_json=True)
    found = document(capsys.readouterr().out)
    assert (found["document"], found["version"], found["notes"]) == ("plan", 1, ["a note"])
    assert found["tasks"][0]["protocols"] == {"speaker-6fold": 6}
    states = [(cell["backbone"], cell["state"]) for cell in found["cells"]]
    assert states == [
        ("xlsr", "todo"),
        ("xlsr", "done"),
        ("xlsr", "skipped"),
        ("wav2vec2", "skipped"),
    ]
    xlsr, absent = found["backbones"]
    assert (xlsr["extraction"], xlsr["tuning"]) == (
        {"seconds": 360.0, "basis": "records"},
        {"seconds": 120.0, "basis": "records"},
    )
    assert xlsr["reason"] is None
    assert "weights unavailable" in absent["reason"]
    assert found["cells"][-1]["reason"] == absent["reason"]


def test_a_run_measures_what_starting_takes(voxgrid: Voxgrid, tmp_path: Path) -> None:
    cell = ("--task", "sample-emotion", "--protocol", "speaker-3fold", "--backbone", "logmel")
    cell = (*cell, "--pooling", "mean", "--head", "logistic_regression")
    here = {"VOXGRID_CACHE": str(tmp_path / "cache")}
    before = document(voxgrid("plan", *cell, "--json", **here).stdout)["backbones"][0]
    assert before["starts"] == {"seconds": 15.0, "basis": "guess"}
    assert voxgrid("run", *cell, **here).returncode == 0
    other = voxgrid("plan", *cell, "--json", "--results", "other", **here)
    after = document(other.stdout)["backbones"][0]
    assert after["pending_audio_seconds"] == 0.0
    assert after["starts"]["basis"] == "records"
