"""How long a plan will take and how much disk it needs, and what each estimate rests on."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench import machine
from bench.config.spec import RunSpec
from bench.features.frames import frames_bytes
from bench.planning import starts
from bench.planning.plan import BackbonePlan, Ready, ReadyBackbone
from bench.plugins import HEADS
from bench.records import benchmarks
from bench.records import store as records
from bench.records.benchmarks import Benchmark
from bench.records.store import Record

Basis = Literal["records", "benchmark", "guess"]

# the strongest first
BASES: dict[Basis, str] = {
    "records": "earlier records on this hardware",
    "benchmark": "`tox -e perf` on this hardware, encoder time alone",
    "guess": "a rough guess, as nothing was measured on this hardware",
}

# Phases whose start is measured; the first by backbone.
EXTRACT_START = "extract {}"
TUNE_START = "tune"

_MOST_SECONDS = 1e12
_STATISTICS = 4
_FLOAT32_BYTES = 4
# Orders of magnitude only: a transformer of 100 M parameters runs at about 6 × real time per core.
_GUESSED_RTFX_PER_CORE = 600.0  # divided by millions of parameters
_GUESSED_FASTEST_PER_CORE = 40.0  # hand-made features and small networks
_GUESSED_CORES_OF_GPU = 100
# by what the head is fitted on; a trained backbone passes each clip through several epochs
_GUESSED_SECONDS_PER_TRIAL_AND_CLIP = {"vectors": 3e-4, "frames": 0.01, "backbone": 0.2}
# of a head whose settings are all tried, and many of them fitted at once
_GUESSED_SECONDS_PER_SETTING_AND_CLIP = 5e-5


@dataclass(frozen=True)
class Estimate:
    """Seconds, and the weakest thing they rest on (None where there is nothing to do)."""

    seconds: float = 0.0
    basis: Basis | None = None

    def __post_init__(self) -> None:
        # of numbers out of all reason too, what is shown and written as JSON is a number
        object.__setattr__(self, "seconds", max(0.0, min(_MOST_SECONDS, self.seconds)))

    def __add__(self, other: Estimate) -> Estimate:
        known = [basis for basis in (self.basis, other.basis) if basis is not None]
        weakest = max(known, key=list(BASES).index, default=None)
        return Estimate(self.seconds + other.seconds, weakest)


@dataclass(frozen=True)
class Times:
    """What one backbone of a task takes.

    Attributes:
        starts: from the start of its processes to their first step, by phase; wall time.
        extraction: wall time.
        tuning: of each cell to be run, in seconds of one worker.
        workers: how many cells run at once.
        disk: bytes that are stored for its features, at most.
    """

    starts: Mapping[str, Estimate] = field(default_factory=dict)
    extraction: Estimate = Estimate()
    tuning: tuple[Estimate, ...] = ()
    workers: int = 1
    disk: int = 0

    @property
    def start(self) -> Estimate:
        """Of all its processes."""
        return sum(self.starts.values(), Estimate())

    @property
    def tuned(self) -> Estimate:
        """Wall time of tuning, all workers at work to the end."""
        whole = sum(self.tuning, Estimate())
        return Estimate(whole.seconds / self.workers, whole.basis)

    @property
    def whole(self) -> Estimate:
        """Wall time of all of it."""
        return self.start + self.extraction + self.tuned


@dataclass(frozen=True)
class History:
    """What was measured before.

    Attributes:
        hardware: what backbones would run on; only its own measurements count.
        processor: what heads on vectors and frames would be tuned on, likewise.
        cores: usable ones; for a GPU, how many it stands for in a guess.
        starts: seconds that processes took to start, by phase.
    """

    hardware: str
    processor: str
    cores: int
    records: Sequence[Record]
    benchmarks: Sequence[Benchmark]
    starts: Mapping[str, float] = field(default_factory=dict)


def history(spec: RunSpec) -> History:
    """What this machine and the records of a run's results folder know.

    Raises:
        UserError: a file of `tox -e perf` beside the records is something else.
    """
    return History(
        hardware=machine.hardware(spec.device),
        processor=machine.processor(),
        cores=_GUESSED_CORES_OF_GPU if spec.accelerator else machine.usable_cores(),
        records=list(records.read_all(spec.results)),
        benchmarks=benchmarks.read(spec.results),
        starts=starts.measured(),
    )


def times(row: BackbonePlan, known: History, workers: int) -> Times:
    """What a backbone with cells to run takes; a run extracts only for cells that need it."""
    encoder, assumed = row.encoder, {}
    if encoder and encoder.pending_seconds:
        network = starts.WEIGHTS if encoder.info.needs_weights else 0.0
        assumed[EXTRACT_START.format(encoder.name)] = starts.EXTRACTION + network
    if row.ready:
        assumed[TUNE_START] = starts.TUNING
    return Times(
        {
            phase: Estimate(known.starts[phase], "records")
            if phase in known.starts
            else Estimate(seconds, "guess")
            for phase, seconds in assumed.items()
        },
        extraction(encoder, known) if encoder else Estimate(),
        tuple(tuning(cell, known) for cell in row.ready),
        max(1, min(workers, len(row.ready))),
        feature_bytes(encoder) if encoder else 0,
    )


def extraction(backbone: ReadyBackbone, history: History) -> Estimate:
    """Time to take the pending audio of a backbone through it.

    Records go first: they hold the end-to-end speed, decoding included, which is what an
    extraction takes; a benchmark times the encoder alone.
    """
    pending, info = backbone.pending_seconds, backbone.info
    weights, hardware = backbone.extraction.settings.weights, history.hardware
    if pending <= 0:
        return Estimate()
    seen = [
        record.throughput.end_to_end_rtfx
        for record in history.records
        if record.throughput is not None
        and record.throughput.hardware == hardware
        and (record.backbone, record.weights.size) == (info.name, weights.size)
    ]
    if seen and min(seen) > 0:
        return Estimate(pending / statistics.median(seen), "records")
    for own in history.benchmarks if weights.size == "full" else ():
        measured = (own.backbone, own.weights, own.hardware)
        if measured == (info.name, weights.kind, hardware) and own.best_rtfx > 0:
            return Estimate(pending / own.best_rtfx, "benchmark")
    per_core = _GUESSED_FASTEST_PER_CORE
    if weights.size == "full" and info.parameters:
        per_core = min(per_core, _GUESSED_RTFX_PER_CORE / (info.parameters / 1e6))
    return Estimate(pending / (per_core * history.cores), "guess")


def tuning(ready: Ready, history: History) -> Estimate:
    """Time of one worker to tune a cell, its final fits included.

    Heads on vectors take about as long whatever the backbone; the others are compared with
    trainings on the same one.
    """
    cell, vectors = ready.cell, ready.reads == "vectors"
    hardware = history.hardware if ready.reads == "backbone" else history.processor
    trials = ready.job.trials * len(ready.job.folds)
    seen = [
        record.throughput.tuning_seconds / _trials(record)
        for record in history.records
        if record.throughput is not None
        and record.throughput.tuning_hardware == hardware
        and (record.task, record.head) == (cell.task, cell.head)
        and (record.training is None) == vectors
        and (vectors or record.backbone == cell.backbone)
        and _trials(record)
    ]
    if seen:
        return Estimate(statistics.median(seen) * trials, "records")
    per_clip = _GUESSED_SECONDS_PER_TRIAL_AND_CLIP[ready.reads]
    if ready.job.inner and HEADS.reading(cell.head, "vectors").grid() is not None:
        per_clip = _GUESSED_SECONDS_PER_SETTING_AND_CLIP
    return Estimate(per_clip * len(ready.job.classes) * trials, "guess")


def _trials(record: Record) -> int:
    return sum(f.trials.complete + f.trials.pruned + f.trials.failed for f in record.folds)


def feature_bytes(backbone: ReadyBackbone) -> int:
    """Disk for what is still to be stored, at most: narrower layers need less."""
    sources = backbone.extraction.sources
    seconds = sum(source.seconds for source in sources)
    if not seconds:
        return 0
    clips = len(sources) * backbone.pending_seconds / seconds
    statistics_per_clip = backbone.info.layers * backbone.info.width * _STATISTICS * _FLOAT32_BYTES
    layers = len(backbone.extraction.frames)
    frames = frames_bytes(backbone.info, backbone.pending_seconds, layers)
    return round(clips * statistics_per_clip) + frames


def size(count: float) -> str:
    """A number of bytes in decimal units."""
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 1 or not count else f"<1 {unit}"
    return f"{count / 1000:.1f} GB"
