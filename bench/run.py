"""Carry out a plan: extract what is missing, tune every cell, store every record."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bench import compose, records, throughput
from bench.cells import CellJob, CellOutcome, FeatureSource, TrialsKnown
from bench.config import GridConfig, parse_duration
from bench.errors import UserError
from bench.executors import Emit, run_jobs
from bench.features.extract import Extraction, extract
from bench.measure import usable_cores
from bench.planning import Plan, PlannedBackbone, PlannedCell, TaskPlan, feature_set
from bench.progress import Reporter
from bench.tuning import BudgetSpent

STUDIES = ".studies"


@dataclass
class Summary:
    """How many cells ended how in one run."""

    ok: int = 0
    done_before: int = 0
    skipped: int = 0
    failed: int = 0
    unfinished: int = 0


@dataclass(frozen=True)
class AudioDone:
    """Progress event: so many more seconds of audio are through the backbone."""

    seconds: float


@dataclass(frozen=True)
class ExtractJob:
    """Fills a feature set in a child process, so that its memory goes back when it is done."""

    extraction: Extraction

    def __call__(self, emit: Emit) -> None:
        """Run the extraction."""
        extract(self.extraction, lambda seconds: emit(AudioDone(seconds)))


def execute(plan: Plan, config: GridConfig, reporter: Reporter) -> Summary:
    """Run every cell of a plan that is not done.

    Args:
        plan: from `planning.make_plan`.
        config: of the run.
        reporter: where progress goes.

    Raises:
        StorageError: results cannot be written.
        UserError: another run holds the results folder.
    """
    summary = Summary()
    deadline = time.time() + parse_duration(config.budget) if config.budget else None
    with exclusive(config.results):
        for task_plan in plan.tasks:
            _execute_task(task_plan, config, reporter, deadline, summary)
    return summary


@contextmanager
def exclusive(results: Path) -> Iterator[None]:
    """Only one run at a time writes a results folder; the lock ends with the process."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        lock = FileLock(results / ".lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"another voxgrid run is writing to {results}; wait for it, or use --results"
        ) from error
    except OSError as error:
        raise UserError(
            f"the results folder {results} cannot be written ({error.strerror}); make it "
            "writable or choose another with --results"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _execute_task(
    plan: TaskPlan,
    config: GridConfig,
    reporter: Reporter,
    deadline: float | None,
    summary: Summary,
) -> None:
    benchmarks = throughput.read(config.results)
    extracted: set[str] = set()
    failed: dict[str, str] = {}
    for name, backbone in plan.backbones.items():
        waiting = [c for c in plan.cells if c.cell.backbone == name and c.state == "todo"]
        if backbone.extraction is None or not waiting or not backbone.pending_seconds:
            continue
        if deadline is not None and time.time() > deadline:
            continue
        error = _extract(backbone, backbone.extraction, plan.planned.seconds, reporter)
        if error is None:
            extracted.add(name)
        else:
            failed[name] = str(error)
    todo = []
    for planned in plan.cells:
        if planned.state == "done":
            summary.done_before += 1
            benchmark = _benchmark_of(plan.backbones[planned.cell.backbone], benchmarks)
            if benchmark is not None:
                _refresh_throughput(planned, config, benchmark)
        elif planned.state == "skipped":
            summary.skipped += 1
            _store(
                compose.unfinished(planned, plan, config, "skipped", planned.reason or ""), config
            )
        elif planned.cell.backbone in failed:
            summary.failed += 1
            reason = failed[planned.cell.backbone]
            _store(compose.unfinished(planned, plan, config, "failed", reason), config)
        elif _missing_features(plan.backbones[planned.cell.backbone]):
            summary.unfinished += 1
        else:
            todo.append(planned)
    _tune(todo, plan, config, reporter, deadline, summary, extracted, benchmarks)


def _missing_features(backbone: PlannedBackbone) -> bool:
    """Whether the budget ended before the backbone's features were complete."""
    features = feature_set(backbone)
    sources = backbone.extraction.sources if backbone.extraction else ()
    return any(source.pcm_sha256 not in features for source in sources)


def _extract(
    backbone: PlannedBackbone, job: Extraction, total: float, reporter: Reporter
) -> Exception | None:
    name = backbone.info.name
    began = time.perf_counter()
    label = f"extract {name} (seconds of audio)"
    with reporter.phase(label, total, done=total - backbone.pending_seconds) as advance:

        def on_event(event: object) -> None:
            if isinstance(event, AudioDone):
                advance(event.seconds)

        for done in run_jobs([ExtractJob(job)], workers=1, threads=job.threads, on_event=on_event):
            if done.error is not None:
                reporter.say(f"extract {name}: failed: {done.error}")
                return done.error
    elapsed = time.perf_counter() - began
    reporter.say(
        f"extract {name}: {backbone.pending_seconds:.0f} s of audio in {elapsed:.0f} s "
        f"({job.weights.kind})"
    )
    return None


def _tune(
    todo: Sequence[PlannedCell],
    plan: TaskPlan,
    config: GridConfig,
    reporter: Reporter,
    deadline: float | None,
    summary: Summary,
    extracted: set[str],
    benchmarks: dict[tuple[str, str], throughput.Benchmark],
) -> None:
    workers = min(config.jobs or usable_cores(), max(1, len(todo)))
    threads = max(1, usable_cores() // workers)
    jobs = [_cell_job(planned, plan, config, deadline, threads) for planned in todo]
    total = sum(plan.trials * len(job.folds) for job in jobs)
    with reporter.phase(f"tune {plan.planned.task.name} (trials)", total) as advance:

        def on_event(event: object) -> None:
            if isinstance(event, TrialsKnown):
                advance(event.trials)

        finished = 0
        for done in run_jobs(jobs, workers=workers, threads=threads, on_event=on_event):
            planned = todo[done.index]
            backbone = plan.backbones[planned.cell.backbone]
            if isinstance(done.error, BudgetSpent):
                summary.unfinished += 1
                continue
            finished += 1
            position = f"[{finished}/{len(todo)}] {planned.cell}"
            if done.error is not None or done.result is None:
                summary.failed += 1
                reason = f"{type(done.error).__name__}: {done.error}"
                _store(compose.unfinished(planned, plan, config, "failed", reason), config)
                reporter.say(f"{position}: failed: {done.error}")
                continue
            record = _store_finished(
                planned,
                plan,
                config,
                done.result,
                backbone,
                cache_hit=planned.cell.backbone not in extracted,
                benchmarks=benchmarks,
            )
            summary.ok += 1
            if record.scores is not None:
                reporter.say(
                    f"{position}: macro-F1 {record.scores.macro_f1:.3f}, "
                    f"accuracy {record.scores.accuracy:.3f}, {done.result.seconds:.0f} s"
                )


def _cell_job(
    planned: PlannedCell,
    plan: TaskPlan,
    config: GridConfig,
    deadline: float | None,
    threads: int,
) -> CellJob:
    cell = planned.cell
    clips = plan.planned.clips
    index = {label: position for position, label in enumerate(plan.planned.task.labels)}
    features = feature_set(plan.backbones[cell.backbone])
    # the fingerprint in the path keeps a study from going on with other features or folds
    name = f"{cell.relative_path.name}.{(planned.fingerprint or '')[:16]}.journal"
    return CellJob(
        cell=cell,
        source=FeatureSource(
            root=features.folder.parent.parent,
            settings=features.settings,
            clips=tuple(clip.pcm_sha256 for clip in clips),
        ),
        classes=tuple(index[clip.clip.label] for clip in clips),
        n_classes=len(index),
        folds=plan.planned.splits[cell.protocol].folds,
        trials=plan.trials,
        seed=config.seed,
        journal=config.results / STUDIES / cell.relative_path.parent / name,
        deadline=deadline,
        threads=threads,
    )


def _store_finished(
    planned: PlannedCell,
    plan: TaskPlan,
    config: GridConfig,
    outcome: CellOutcome,
    backbone: PlannedBackbone,
    *,
    cache_hit: bool,
    benchmarks: dict[tuple[str, str], throughput.Benchmark],
) -> records.Record:
    record, predictions = compose.finished(
        planned,
        plan,
        config,
        outcome,
        feature_set(backbone),
        cache_hit=cache_hit,
        benchmark=_benchmark_of(backbone, benchmarks),
    )
    # predictions first: a record on disk means that its predictions are there
    records.write_atomically(records.predictions_path(config.results, planned.cell), predictions)
    _store(record, config)
    return record


def _store(record: records.Record, config: GridConfig) -> None:
    records.write(config.results, record)


def _benchmark_of(
    backbone: PlannedBackbone, benchmarks: dict[tuple[str, str], throughput.Benchmark]
) -> throughput.Benchmark | None:
    weights = backbone.weights
    if weights is None or weights.size != "full":
        return None  # the small models of the sample tasks are not what was benchmarked
    return benchmarks.get((backbone.info.name, weights.kind))


def _refresh_throughput(
    planned: PlannedCell, config: GridConfig, benchmark: throughput.Benchmark
) -> None:
    """Add the figures of a `tox -e perf` run after the record was written."""
    record = records.read(records.record_path(config.results, planned.cell))
    if record is not None:
        records.write(config.results, compose.with_benchmark(record, benchmark))
