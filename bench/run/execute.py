"""Carry a plan out: extract what is missing, tune every cell, store every record."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.errors import UserError, crashes_of, said
from bench.executors.base import Executor
from bench.features.extract import ExtractJob, dealt
from bench.features.store import FeatureSet
from bench.planning import named
from bench.planning.cells import without_unusable
from bench.planning.plan import (
    BackbonePlan,
    Finished,
    Held,
    Plan,
    PlannedCell,
    Ready,
    ReadyBackbone,
    ReadyFusion,
    Skipped,
    SkippedBackbone,
)
from bench.plugins import HEADS
from bench.progress import Reporter
from bench.records import store as records
from bench.records.schema import Record
from bench.run import compose
from bench.run.watch import Watch
from bench.tuning.cell import CellOutcome
from bench.tuning.search import BudgetSpent

_log = logging.getLogger(__name__)


@dataclass
class Summary:
    """How many cells ended how in one run."""

    ok: int = 0
    done_before: int = 0
    skipped: int = 0
    failed: int = 0
    unfinished: int = 0
    unmet: str | None = None  # what an option names and, as it turned out, could not run

    def __str__(self) -> str:
        return (
            f"{self.ok} cells ran, {self.done_before} were done before, {self.skipped} skipped, "
            f"{self.failed} failed, {self.unfinished} left for the next run"
        )


def execute(plan: Plan, reporter: Reporter, executor: Executor) -> Summary:
    """Run every cell of a plan that is not done. What its records say it replaces is named first.

    Args:
        plan: made while holding its results folder (`files.exclusive`).
        reporter: where progress goes.
        executor: where jobs run; see `bench.run.place`.

    Raises:
        UserError: a result that was made otherwise would be replaced; nothing was run.
        StorageError: results cannot be written; what is stored stays.
    """
    if held := plan.by_reason(Held):
        reason, cells = next(iter(held.items()))
        raise UserError(
            f"finished results would be replaced ({sum(map(len, held.values()))}), first of all "
            f"{cells[0]}: {reason}; allow it with --replace, or keep them and name another folder "
            "with --results"
        )
    for reason, cells in plan.by_reason(Ready).items():
        reporter.say(f"results made again ({len(cells)}), first {cells[0]}: {reason}")
    workers = plan.spec.jobs or executor.slots
    run = _Run(plan, reporter, executor, workers, Watch(plan, workers))
    ended = []
    with reporter.whole(run.watch.standing):
        for planned in plan.rows():
            row = planned
            for cell in row.cells:
                run.note(row, cell)
            if row.encoder is not None:
                run.extract(row, row.encoder)
            if row.ready and not isinstance(row.backbone, SkippedBackbone):
                passed = run.passed(row, row.backbone)
                if passed is not None:
                    features = [each.extraction.features() for each in row.backbone.encoders]
                    row = run.without_unusable(row)
                    run.tune(row, features, cache_hit=not passed)
            run.watch.over(planned)
            ended.append(row)
    run.summary.unmet = named.unmet(plan.spec, ended, may_download=False)
    return run.summary


@dataclass(frozen=True)
class _Run:
    """One run under way; its summary is counted up as cells end.

    Attributes:
        workers: most cells at once.
        watch: knows how far it is.
        extracted: by task and backbone whether anything passed through it, or why not all did;
            None where the budget ended it.
    """

    plan: Plan
    reporter: Reporter
    executor: Executor
    workers: int
    watch: Watch
    summary: Summary = field(default_factory=Summary)
    extracted: dict[tuple[str, str], bool | Exception | None] = field(default_factory=dict)

    def note(self, row: BackbonePlan, cell: PlannedCell) -> None:
        """Count and record what is not run: finished before, or skipped."""
        if isinstance(cell, Finished):
            self.summary.done_before += 1
        elif isinstance(cell, Skipped):
            self.summary.skipped += 1
            self._store(compose.skipped_record(cell, row, self.plan.spec))

    def extract(self, row: BackbonePlan, encoder: ReadyBackbone) -> None:
        """Fill the feature set of a row's backbone."""
        key = row.folded.task.name, encoder.name
        if not encoder.pending_seconds:
            self.extracted[key] = False
            return
        began = time.perf_counter()
        with encoder.extraction.features().filling(lambda: self._waits(encoder)):
            places = min(self.executor.places, self.workers)
            jobs = [ExtractJob(part) for part in dealt(encoder.extraction, places)]
            outcomes = [
                done.outcome
                for done in self.executor.run(
                    jobs,
                    workers=places,
                    accelerator=self.plan.spec.accelerator,
                    on_event=self.watch.extracting(row, encoder),
                )
            ]
        if failed := next((o for o in outcomes if isinstance(o, Exception)), None):
            self.reporter.say(f"extract {encoder.name}: failed: {said(failed)}")
            self.extracted[key] = failed
            return
        self.extracted[key] = True if all(outcomes) else None
        if all(outcomes):
            self.reporter.say(
                f"extract {encoder.name}: {encoder.pending_seconds:.0f} s of audio in "
                f"{time.perf_counter() - began:.0f} s ({encoder.weights.kind})"
            )

    def _waits(self, encoder: ReadyBackbone) -> None:
        self.reporter.say(f"extract {encoder.name}: waiting, since another run is at it")

    def passed(self, row: BackbonePlan, backbone: ReadyBackbone | ReadyFusion) -> bool | None:
        """Whether anything passed through the backbones of a row in this run.

        None where its cells cannot run, since an extraction failed or the budget ended it.
        """
        states = [self.extracted[row.folded.task.name, each.name] for each in backbone.encoders]
        for state in states:
            if isinstance(state, Exception):
                for cell in row.ready:
                    self._fail(row, cell, state)
                return None
        if None in states:
            self.summary.unfinished += len(row.ready)
            return None
        return True in states

    def without_unusable(self, row: BackbonePlan) -> BackbonePlan:
        """The row without the clips that its backbone could not use, each said with its reason."""
        usable = without_unusable(row, self.plan.spec)
        if usable is not row:
            self.reporter.say(usable.folded.notes[-1])
            kept = {cell.cell for cell in usable.ready}
            self.watch.dropped(cell.cell for cell in row.ready if cell.cell not in kept)
            for cell in usable.cells:
                self.note(usable, cell)
        return usable

    def tune(self, row: BackbonePlan, features: Sequence[FeatureSet], *, cache_hit: bool) -> None:
        """Tune every ready cell of a backbone, and store its record as it ends."""
        on_event = self.watch.tuning(row)
        for cells, workers, alone in self._crews(row.ready):
            jobs = [cell.job for cell in cells]
            for done in self.executor.run(
                jobs, workers=workers, accelerator=alone, on_event=on_event
            ):
                cell = cells[done.index]
                said = self._settle(row, cell, done.outcome, features, cache_hit)
                self.reporter.say(f"{self.watch.ended(cell.cell)} {cell.cell}: {said}")

    def _crews(self, cells: tuple[Ready, ...]) -> Iterator[tuple[list[Ready], int, bool]]:
        """Cells that may run side by side, how many at once, and whether on accelerators."""
        # one accelerator holds one training at a time
        alone = [c for c in cells if self.plan.spec.accelerator and c.reads == "backbone"]
        others = [c for c in cells if c not in alone]
        for crew, workers in ((others, self.workers), (alone, self.executor.places)):
            if crew:
                yield self.watch.longest_first(crew), min(workers, len(crew)), crew is alone

    def _settle(
        self,
        row: BackbonePlan,
        cell: Ready,
        outcome: CellOutcome | Exception,
        features: Sequence[FeatureSet],
        cache_hit: bool,
    ) -> str:
        """Store what came of a cell and return it in a few words."""
        if isinstance(outcome, BudgetSpent):
            self.summary.unfinished += 1
            return str(outcome)
        if isinstance(outcome, Exception):
            self._fail(row, cell, outcome)
            return f"failed: {said(outcome)}"
        spec = self.plan.spec
        try:
            with crashes_of("its outcome makes no record: ", HEADS.origins):
                done = compose.finished_record(
                    cell, row, spec, outcome, features, cache_hit=cache_hit
                )
        except Exception as error:  # noqa: BLE001 whatever a plugin makes of it is its cells' affair
            cell.job.studies.discard(cell.job.name)  # so that the next run does not only read it
            return self._settle(row, cell, error, features, cache_hit)
        self._store(done.record, done.predictions, done.inner)
        # outcomes of single folds have served their time
        cell.job.studies.discard(cell.job.name)
        self.summary.ok += 1
        scores = done.record.scored
        return (
            f"macro-F1 {scores.macro_f1:.3f}, accuracy {scores.accuracy:.3f}, "
            f"{outcome.seconds:.0f} s"
        )

    def _fail(self, row: BackbonePlan, cell: Ready, error: Exception) -> None:
        self.summary.failed += 1
        _log.debug("%s failed:", cell.cell, exc_info=error)
        self._store(compose.failed_record(cell, row, self.plan.spec, error))

    def _store(
        self, record: Record, predictions: bytes | None = None, inner: bytes | None = None
    ) -> None:
        records.write(self.plan.spec.results, record, predictions, inner)
