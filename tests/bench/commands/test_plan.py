"""`voxgrid plan` says what a run does, how long it takes and what that rests on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backbones import BackboneInfo, Weights
from bench import machine as measure
from bench.audio.index import ScannedClip
from bench.clips import Clip, Exclusion, Task
from bench.commands import plan as report
from bench.config.grid import Cell
from bench.config.spec import RunSpec
from bench.features.extract import Extraction
from bench.features.key import FeatureSettings
from bench.features.source import Source
from bench.planning import estimate
from bench.planning.estimate import Estimate, History
from bench.planning.plan import (
    BackbonePlan,
    Finished,
    FoldedTask,
    Plan,
    Ready,
    ReadyBackbone,
    Skipped,
    SkippedBackbone,
    TaskPlan,
)
from bench.progress import duration
from bench.protocols.fold import Fold, Split
from bench.records import store as records
from bench.records.benchmarks import Benchmark
from bench.tuning.cell import CellJob
from bench.tuning.fits.vectors import VectorFits
from bench.tuning.storage import JournalStudies
from heads import Reads
from tests.bench.records.make_records import HARDWARE, make_record
from tests.conftest import Voxgrid

INFO = BackboneInfo(
    name="xlsr",
    summary="",
    weights_id="some/weights",
    revision="0",
    licence="MIT",
    sample_rate=16000,
    layers=25,
    width=1024,
    frame_rate=50.0,
    max_seconds=30.0,
    attention_mask=True,
    normalised=True,
    parameters=300_000_000,
)
PRETRAINED = Weights("pretrained", id="some/weights", sha="0" * 64)
FOLDS = tuple(
    Fold(i, np.arange(60), np.arange(60, 80), np.arange(80, 100), ("g",)) for i in range(6)
)
EMPTY = History(HARDWARE, HARDWARE, 2, (), ())
BENCHMARK = Benchmark("xlsr", "pretrained", "ravdess", HARDWARE, 5.0, 20.0, 8)


@pytest.fixture
def folded(tmp_path: Path) -> FoldedTask:
    """100 clips of 36 seconds: one hour in all."""
    clips = tuple(
        ScannedClip(Clip(f"c{i}", tmp_path / f"{i}.wav", "a", "g"), "f", f"p{i}", 36.0, 1, 16000)
        for i in range(100)
    )
    task = Task("ravdess", ("a", "b"), tuple(c.clip for c in clips), ("speaker-6fold",))
    splits = {"speaker-6fold": Split("speaker-6fold", True, FOLDS, (), ())}
    return FoldedTask(task, clips, (Exclusion("bad", "no sound"),), splits, {})


@pytest.fixture
def xlsr(folded: FoldedTask, tmp_path: Path) -> ReadyBackbone:
    sources = tuple(Source(c.clip.id, c.clip.path, c.pcm_sha256, c.seconds) for c in folded.clips)
    extraction = Extraction(FeatureSettings(INFO, PRETRAINED), sources, tmp_path / "features")
    return ReadyBackbone(INFO, extraction, pending_seconds=3600.0)


def ready(number: int = 0, reads: Reads = "vectors") -> Ready:
    job = CellJob(
        cell=Cell("ravdess", "speaker-6fold", "xlsr", f"p{number}", "mlp"),
        name="a-cell",
        fits=VectorFits(Path("features"), FeatureSettings(INFO, PRETRAINED), ()),
        classes=(0,) * 100,
        n_classes=2,
        folds=FOLDS,
        trials=10,
        seed=0,
        studies=JournalStudies(Path("studies")),
    )
    return Ready(job, reads, "f" * 64)


def done(number: int) -> Finished:
    return Finished(ready(number).cell)


def test_extraction_time_rests_on_records_first_then_benchmarks_then_a_guess(
    xlsr: ReadyBackbone,
) -> None:
    benchmarked = replace(EMPTY, benchmarks=[replace(BENCHMARK, hardware="Other"), BENCHMARK])
    assert estimate.extraction(xlsr, benchmarked) == Estimate(180.0, "benchmark")
    recorded = replace(benchmarked, records=[make_record("xlsr")])  # end to end 10 × real time
    assert estimate.extraction(xlsr, recorded) == Estimate(360.0, "records")
    assert estimate.extraction(xlsr, EMPTY).basis == "guess"


def test_other_machines_backbones_and_sizes_say_nothing(xlsr: ReadyBackbone) -> None:
    benchmarks = [replace(BENCHMARK, hardware="Other CPU")]
    small = make_record("xlsr", task="sample-emotion").model_copy(
        update={"weights": make_record().weights.model_copy(update={"size": "small"})}
    )
    elsewhere = [make_record("xlsr", hardware="Other CPU"), make_record("wav2vec2"), small]
    found = estimate.extraction(xlsr, replace(EMPTY, records=elsewhere, benchmarks=benchmarks))
    assert found == estimate.extraction(xlsr, EMPTY)


def test_a_guess_grows_with_parameters_and_shrinks_with_cores(xlsr: ReadyBackbone) -> None:
    light = replace(xlsr, info=replace(INFO, parameters=20_000_000))
    slow, fast = estimate.extraction(xlsr, EMPTY), estimate.extraction(light, EMPTY)
    assert slow.seconds > fast.seconds > 0
    assert estimate.extraction(xlsr, replace(EMPTY, cores=4)).seconds < slow.seconds


def test_nothing_pending_takes_no_time(xlsr: ReadyBackbone) -> None:
    assert estimate.extraction(replace(xlsr, pending_seconds=0.0), EMPTY) == Estimate()


def test_tuning_time_counts_cells_to_do_at_the_pace_of_their_head() -> None:
    # 40 seconds for 2 folds of 10 trials: 2 seconds per trial
    history = replace(EMPTY, records=[make_record(head="mlp"), make_record(head="other")])
    found = estimate.tuning([ready(0), ready(1)], history)
    assert found == Estimate(2 * 6 * 10 * 2.0, "records")
    assert estimate.tuning([ready()], EMPTY).basis == "guess"
    assert estimate.tuning([], EMPTY) == Estimate()


def test_a_training_of_the_backbone_takes_no_hint_from_heads_on_vectors() -> None:
    history = replace(EMPTY, records=[make_record(head="mlp")])
    trained = [ready(reads="backbone")]
    assert estimate.tuning(trained, history).basis == "guess"
    assert estimate.tuning(trained, history).seconds > 60 * 6


def test_tuning_times_count_on_what_heads_are_tuned_on_whatever_encoded() -> None:
    history = replace(EMPTY, hardware="Test GPU", records=[make_record(hardware="Test GPU")])
    assert estimate.tuning([ready()], history).basis == "guess"
    throughput = make_record().throughput
    assert throughput is not None
    encoded_on_gpu = throughput.model_copy(update={"hardware": "Test GPU"})
    record = make_record().model_copy(update={"throughput": encoded_on_gpu})
    assert estimate.tuning([ready()], replace(history, records=[record])) == Estimate(
        6 * 10 * 2.0, "records"
    )


def test_a_sum_rests_on_its_weakest_part() -> None:
    assert Estimate(1, "records") + Estimate(2, "guess") == Estimate(3, "guess")
    assert Estimate(1, "benchmark") + Estimate() == Estimate(1, "benchmark")


def test_disk_is_four_float32_statistics_per_layer_and_pending_clip(xlsr: ReadyBackbone) -> None:
    assert estimate.feature_bytes(xlsr) == 100 * 25 * 1024 * 16
    half = replace(xlsr, pending_seconds=1800.0)
    assert estimate.feature_bytes(half) == 50 * 25 * 1024 * 16


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "<1 s"), (75, "75 s"), (600, "10 min"), (5400, "1 h 30 min"), (7199, "2 h 0 min")],
)
def test_durations_read_as_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(400, "<1 kB"), (338_000, "338 kB"), (83e6, "83 MB"), (1.26e9, "1.3 GB")]
)
def test_sizes_read_as_words(count: float, words: str) -> None:
    assert estimate.size(count) == words


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
    skipped = Skipped(replace(ready().cell, backbone="wav2vec2"), absent.reason)
    rows = (BackbonePlan(xlsr, (ready(0), done(1))), BackbonePlan(absent, (skipped,)))
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
    rows = (BackbonePlan(xlsr, (done(0), done(1))),)
    report.render(Plan(RunSpec(results=tmp_path), (TaskPlan(folded, 10, rows),)))
    printed = capsys.readouterr().out
    assert "Nothing to do." in printed
    assert "In all" not in printed


def test_dtype_that_a_backbone_does_not_state_is_a_skipped_row(
    voxgrid: Voxgrid, tmp_path: Path
) -> None:
    (tmp_path / "grid.toml").write_text('dtype = "bfloat16"\n')
    asked = ("--task", "sample-emotion", "--pooling", "mean", "--head", "logistic_regression")
    done = voxgrid("plan", *asked, "--backbone", "whisper-base", "--backbone", "logmel")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    assert (
        "whisper-base: skipped: its vectors in bfloat16 are too far from those in float32" in said
    )
    assert "choose --dtype float32 or float16" in said
    assert "logmel: skipped" not in said
