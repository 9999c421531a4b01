"""`voxgrid plan` says what a run does, how long it takes and what that rests on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench import machine as measure
from bench.commands import plan as report
from bench.config.spec import RunSpec
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
def shown(
    folded: FoldedTask,
    xlsr: ReadyBackbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """What is printed for one backbone to run and one whose weights are not here."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("VOXGRID_OFFLINE", raising=False)
    monkeypatch.setattr(measure, "hardware", lambda device: HARDWARE)
    monkeypatch.setattr(measure, "processor", lambda: HARDWARE)
    records.write(tmp_path / "results", make_record("xlsr", head="mlp"))
    absent = SkippedBackbone(
        replace(INFO, name="wav2vec2", parameters=100_000_000),
        "wav2vec2: weights unavailable; get them with: hf download some/weights",
    )
    skipped = Skipped(replace(make_ready().cell, backbone="wav2vec2"), absent.reason)
    rows = (
        BackbonePlan(folded, xlsr, (make_ready(0), done(1))),
        BackbonePlan(folded, absent, (skipped,)),
    )
    spec = RunSpec(results=tmp_path / "results", jobs=2)
    report.render(Plan(spec, (TaskPlan(folded, 10, rows),), ("a note",)))
    return capsys.readouterr().out


def test_a_plan_shows_clips_hours_folds_and_every_cell_by_state(shown: str) -> None:
    assert "ravdess: 100 clips, 1 left out, 1.0 hours of audio; speaker-6fold (6 folds)" in shown
    table = {line.split()[0]: line.split() for line in shown.splitlines() if line.strip()}
    assert table["xlsr"][1:] == [*["60", "min", "1", "1", "0", "6m"], *["60", "s", "41", "MB"]]
    assert "note: a note" in shown


def test_a_plan_names_what_each_estimate_rests_on(shown: str) -> None:
    assert "Time of extraction: earlier records on this hardware: xlsr." in shown
    assert "Time of tuning: earlier records on this hardware: xlsr." in shown
    assert "In all about 8 min: 1 cell to tune with 1 worker" in shown


def test_a_plan_says_why_a_backbone_is_skipped_and_that_a_run_would_download_it(
    shown: str,
) -> None:
    assert "wav2vec2: skipped: weights unavailable; get them with: hf download" in shown
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
        "whisper-base: skipped: its vectors in bfloat16 are too far from those in float32" in said
    )
    assert "choose --dtype float32 or float16" in said
    assert "logmel: skipped" not in said
