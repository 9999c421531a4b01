"""Carry out a plan: extract what is missing, tune every cell, store every record."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from bench.config.spec import GridConfig, parse_duration
from bench.errors import UserError
from bench.executors.local import Done, Emit, run_jobs
from bench.features.extract import Extraction, extract, pending
from bench.features.store import FeatureSet
from bench.machine import usable_cores
from bench.planning.plan import Plan, PlannedBackbone, PlannedCell, TaskPlan
from bench.progress import Reporter
from bench.records import store as records
from bench.records.schema import Record
from bench.run import compose
from bench.tuning.cell import (
    CellJob,
    CellOutcome,
    EpochKnown,
    ProblemSource,
    TrialsKnown,
    VectorSource,
)
from bench.tuning.fits.sources import BackboneSource, FramesSource
from bench.tuning.search import BudgetSpent

STUDIES = ".studies"
# Raise it when what trials store changes: older studies then begin anew instead of being misread.
STUDY_SCHEMA = 2


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
    deadline: float | None

    def __call__(self, emit: Emit) -> None:
        """Run the extraction."""
        extract(self.extraction, lambda seconds: emit(AudioDone(seconds)), self.deadline)


@dataclass(frozen=True)
class _Run:
    """What stays the same for all cells of a task.

    Attributes:
        plan: of the task.
        config: of the run.
        reporter: where progress goes.
        deadline: `time.time()` to stop at, or None.
        summary: counted up as cells end.
    """

    plan: TaskPlan
    config: GridConfig
    reporter: Reporter
    deadline: float | None
    summary: Summary = field(default_factory=Summary)

    @property
    def out_of_time(self) -> bool:
        return self.deadline is not None and time.time() > self.deadline

    def store(self, record: Record) -> None:
        records.write(self.config.results, record)


def execute(plan: Plan, config: GridConfig, reporter: Reporter) -> Summary:
    """Run every cell of a plan that is not done.

    Args:
        plan: from `planning.make_plan`, made while holding `exclusive`.
        config: of the run.
        reporter: where progress goes.

    Raises:
        StorageError: results cannot be written; what is stored stays.
    """
    summary = Summary()
    deadline = time.time() + parse_duration(config.budget) if config.budget else None
    for task_plan in plan.tasks:
        run = _Run(task_plan, config, reporter, deadline, summary)
        # backbone by backbone, so that a run cut short leaves whole rows behind
        for backbone in task_plan.backbones.values():
            _run_backbone(run, backbone)
    return summary


@contextmanager
def exclusive(results: Path) -> Iterator[None]:
    """Hold a results folder: only one run at a time writes it.

    The lock ends with the process, however it ends.

    Raises:
        UserError: another run holds the folder, or it cannot be written.
    """
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


def _run_backbone(run: _Run, backbone: PlannedBackbone) -> None:
    cells = [c for c in run.plan.cells if c.cell.backbone == backbone.info.name]
    todo = []
    for planned in cells:
        if planned.state == "done":
            run.summary.done_before += 1
        elif planned.state == "skipped":
            run.summary.skipped += 1
            reason = planned.reason or ""
            run.store(compose.unfinished(planned, run.plan, run.config, "skipped", reason))
        else:
            todo.append(planned)
    if not todo or backbone.extraction is None:
        return
    extracts = backbone.pending_seconds > 0
    if extracts and not run.out_of_time:
        error = _extract(run, backbone, backbone.extraction)
        if error is not None:
            for planned in todo:
                _fail(run, planned, error)
            return
    features = backbone.extraction.features()
    if pending(features, backbone.extraction.sources, backbone.extraction.frames):
        run.summary.unfinished += len(todo)  # the budget ended before the features did
        return
    # one accelerator holds one training at a time
    alone = [c for c in todo if run.config.accelerator and c.wants == "backbone"]
    for cells, workers in (([c for c in todo if c not in alone], run.config.jobs), (alone, 1)):
        if cells:
            _tune(run, backbone, features, cells, workers, cache_hit=not extracts)


def _fail(run: _Run, planned: PlannedCell, error: Exception | None) -> None:
    run.summary.failed += 1
    reason = f"{type(error).__name__}: {error}"
    run.store(compose.unfinished(planned, run.plan, run.config, "failed", reason))


def _extract(run: _Run, backbone: PlannedBackbone, job: Extraction) -> Exception | None:
    name = backbone.info.name
    began = time.perf_counter()
    total = run.plan.planned.seconds
    label = f"extract {name} (seconds of audio)"
    with run.reporter.phase(label, total, done=total - backbone.pending_seconds) as advance:

        def on_event(event: object) -> None:
            if isinstance(event, AudioDone):
                advance(event.seconds)

        (done,) = run_jobs(
            [ExtractJob(job, run.deadline)], workers=1, threads=job.threads, on_event=on_event
        )
    if done.error is not None:
        run.reporter.say(f"extract {name}: failed: {done.error}")
        return done.error
    elapsed = time.perf_counter() - began
    run.reporter.say(
        f"extract {name}: {backbone.pending_seconds:.0f} s of audio in {elapsed:.0f} s "
        f"({job.weights.kind})"
    )
    return None


def _tune(
    run: _Run,
    backbone: PlannedBackbone,
    features: FeatureSet,
    todo: Sequence[PlannedCell],
    workers: int,
    *,
    cache_hit: bool,
) -> None:
    workers = min(workers or usable_cores(), len(todo))
    threads = max(1, usable_cores() // workers)
    jobs = [_cell_job(run, backbone, planned, features, threads) for planned in todo]
    total = sum(job.trials * len(job.folds) for job in jobs)
    label = f"tune {run.plan.planned.task.name} on {backbone.info.name} (trials)"
    with run.reporter.phase(label, total) as advance:

        def on_event(event: object) -> None:
            if isinstance(event, TrialsKnown):
                advance(event.trials)
            elif isinstance(event, EpochKnown):
                advance.detail(_in_words(event))

        for count, done in enumerate(
            run_jobs(jobs, workers=workers, threads=threads, on_event=on_event), start=1
        ):
            position = f"[{count}/{len(todo)}] {todo[done.index].cell}"
            said = _settle(run, backbone, features, todo[done.index], done, cache_hit=cache_hit)
            if done.result is not None:
                # the record is stored: outcomes of single folds have served their time
                shutil.rmtree(jobs[done.index].folder, ignore_errors=True)
            run.reporter.say(f"{position}: {said}")


def _in_words(event: EpochKnown) -> str:
    """An epoch on one line."""
    what = "refit" if event.trial is None else f"trial {event.trial + 1}"
    epoch = event.epoch
    words = (
        f"{event.cell}: fold {event.fold + 1}, {what}, epoch {epoch.index + 1} "
        f"({epoch.seconds:.0f} s): loss {epoch.train_loss:.3f}"
    )
    if epoch.validation_macro_f1 is not None:
        words += f", validation macro-F1 {epoch.validation_macro_f1:.3f}"
    return words


def _settle(
    run: _Run,
    backbone: PlannedBackbone,
    features: FeatureSet,
    planned: PlannedCell,
    done: Done[CellOutcome],
    *,
    cache_hit: bool,
) -> str:
    """Store what came of a cell and return it in a few words."""
    if isinstance(done.error, BudgetSpent):
        run.summary.unfinished += 1
        return str(done.error)
    if done.result is None:
        _fail(run, planned, done.error)
        return f"failed: {done.error}"
    record, predictions = compose.finished(
        planned,
        run.plan,
        run.config,
        done.result,
        features,
        cache_hit=cache_hit,
    )
    # predictions first: a record on disk means that its predictions are there
    path = records.predictions_path(run.config.results, planned.cell)
    records.write_atomically(path, predictions)
    run.store(record)
    run.summary.ok += 1
    scores = compose.scores_of(record)
    return (
        f"macro-F1 {scores.macro_f1:.3f}, accuracy {scores.accuracy:.3f}, "
        f"{done.result.seconds:.0f} s"
    )


def _cell_job(
    run: _Run, backbone: PlannedBackbone, planned: PlannedCell, features: FeatureSet, threads: int
) -> CellJob:
    cell = planned.cell
    clips = run.plan.planned.clips
    index = {label: position for position, label in enumerate(run.plan.planned.task.labels)}
    # the fingerprint in the path keeps a study from going on with other features or folds
    name = f"{cell.relative_path.name}.{(planned.fingerprint or '')[:16]}.{STUDY_SCHEMA}.journal"
    return CellJob(
        cell=cell,
        source=_source(run, backbone, planned, features),
        classes=tuple(index[clip.clip.label] for clip in clips),
        n_classes=len(index),
        folds=run.plan.planned.splits[cell.protocol].folds,
        trials=planned.trials,
        seed=run.config.seed,
        journal=run.config.results / STUDIES / cell.relative_path.parent / name,
        deadline=run.deadline,
        threads=threads,
        recipe=planned.recipe,
    )


def _source(
    run: _Run, backbone: PlannedBackbone, planned: PlannedCell, features: FeatureSet
) -> ProblemSource:
    vectors = VectorSource(
        root=features.folder.parent.parent,
        settings=features.settings,
        clips=tuple(clip.pcm_sha256 for clip in run.plan.planned.clips),
    )
    if planned.wants == "vectors" or backbone.extraction is None:
        return vectors
    settings = run.config.fine_tune
    if planned.wants == "frames":
        return FramesSource(backbone.extraction, planned.layers, settings.crop_seconds)
    return BackboneSource(
        backbone.extraction,
        planned.layers,
        settings.crop_seconds,
        cached=settings.cache,
        augment=settings.augment,
    )
