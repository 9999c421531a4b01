"""`voxgrid plan`: what a run would do, skip, take and need."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backbones.extras import missing_extra
from bench import machine, paths
from bench.commands import documents
from bench.commands.options import JsonOption, with_settings
from bench.commands.shell import interruptible, reporter
from bench.commands.tables import say, say_whole, show
from bench.config.grid import Cell
from bench.config.spec import RunSpec
from bench.planning import estimate, starts
from bench.planning.estimate import Estimate, Times, size
from bench.planning.make import make_plan
from bench.planning.plan import (
    BackbonePlan,
    Finished,
    Held,
    Plan,
    Ready,
    ReadyBackbone,
    Skipped,
    SkippedBackbone,
    TaskPlan,
)
from bench.progress import duration
from bench.report.values import plural

if TYPE_CHECKING:
    from rich.console import Console

_STATES = {Ready: "todo", Finished: "done", Skipped: "skipped", Held: "held"}


@interruptible
@with_settings
def plan(spec: RunSpec, *, as_json: JsonOption = False) -> None:
    """Show the cells, what is skipped and why, and the time and disk a run would take."""
    render(make_plan(spec, reporter(), download=False), as_json=as_json)


@dataclass(frozen=True)
class _Row:
    """One backbone of one task: its cells by state and what they take."""

    plan: BackbonePlan
    cells: Counter[str]
    times: Times
    disk: int

    @property
    def backbone(self) -> ReadyBackbone | SkippedBackbone:
        """The backbone."""
        return self.plan.backbone

    @property
    def name(self) -> str:
        """Its name."""
        return self.backbone.info.name


def render(plan: Plan, *, as_json: bool = False) -> None:
    """Print a plan with its estimates on standard output, as tables or as one JSON document.

    Raises:
        UserError: a file of `tox -e perf` beside the records is something else.
    """
    known = estimate.history(plan.spec)
    workers = plan.spec.jobs or machine.usable_cores()
    by_task = [
        (task, [_row(backbone, known, workers) for backbone in task.backbones])
        for task in plan.tasks
    ]
    rows = [row for _, own in by_task for row in own]
    if as_json:
        print(_document(plan, by_task, workers))
        return
    from rich.console import Console

    console = Console()
    for note in plan.notes:
        say(console, f"note: {note}")
    for task, own in by_task:
        say(console, f"\n{_headline(task)}")
        _table(console, own)
        for line in _reasons(task):
            say_whole(console, line)
    for line in (*_totals(rows, workers), *_replacing(plan), *_downloads(rows, plan.spec)):
        say(console, line)


def _row(plan: BackbonePlan, known: estimate.History, workers: int) -> _Row:
    cells = Counter(_STATES[type(cell)] for cell in plan.cells)
    disk = 0
    if isinstance(plan.backbone, ReadyBackbone) and plan.ready:
        disk = estimate.feature_bytes(plan.backbone)  # a run extracts for cells that need it
    return _Row(plan, cells, estimate.times(plan, known, workers), disk)


def _headline(plan: TaskPlan) -> str:
    folded = plan.folded
    folds = ", ".join(
        f"{name} ({plural(len(split.folds), 'fold')})" for name, split in folded.splits.items()
    )
    left_out = f", {len(folded.excluded)} left out" if folded.excluded else ""
    return (
        f"{folded.task.name}: {plural(len(folded.clips), 'clip')}{left_out}, "
        f"{_audio(folded.seconds)} of audio; {folds}; {plural(plan.trials, 'trial')} per fold"
    )


def _audio(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"


def _table(console: Console, rows: list[_Row]) -> None:
    states = [s for s in _STATES.values() if s != "held" or any(row.cells[s] for row in rows)]
    figures = ["to extract", *states, "start", "extract", "tune", "disk"]
    cells = [
        [
            row.name,
            _features(row.backbone),
            *(str(row.cells[state]) for state in states),
            *map(_time, (row.times.start, row.times.extraction, row.times.tuned)),
            size(row.disk) if row.disk else "–",
        ]
        for row in rows
    ]
    show(console, "|".join(["backbone", *(f"{each}>" for each in figures)]), cells)


def _features(backbone: ReadyBackbone | SkippedBackbone) -> str:
    if isinstance(backbone, SkippedBackbone):
        return "skipped"
    if not backbone.pending_seconds:
        return "cached"
    return duration(backbone.pending_seconds)


def _time(value: Estimate) -> str:
    if value.basis is None:
        return "–"
    # short, so that the table fits 80 columns
    words = duration(value.seconds).replace(" h ", "h").replace(" min", "m").replace(" s", "s")
    return words + _mark(value)


def _mark(value: Estimate) -> str:
    return " ?" if value.basis == "guess" else ""


def _reasons(task: TaskPlan) -> Iterator[str]:
    """Why cells are skipped, each reason once with how many and what they have in common."""
    cells = [cell.cell for row in task.backbones for cell in row.cells]
    reasons: defaultdict[str, list[Cell]] = defaultdict(list)
    for row in task.backbones:
        for cell in row.cells:
            if isinstance(cell, Skipped):
                reasons[cell.reason].append(cell.cell)
        if isinstance(row.backbone, SkippedBackbone) and not row.cells:
            yield f"{row.backbone.info.name}: skipped: {row.backbone.reason}"
    for reason, skipped in reasons.items():
        shared = []
        for part in ("protocol", "backbone", "pooling", "head"):
            value = getattr(skipped[0], part)
            alike = {cell for cell in cells if getattr(cell, part) == value}
            if alike == set(skipped):
                shared = [value]  # this alone names them
                break
            if alike.issuperset(skipped) and len(alike) < len(cells):
                shared.append(value)
        named = " ".join(shared) or task.folded.task.name
        why = reason.removeprefix(f"{named}: ")
        yield f"{named}: {plural(len(skipped), 'cell')} skipped: {why}"


def _totals(rows: list[_Row], workers: int) -> Iterator[str]:
    todo = sum(row.cells["todo"] for row in rows)
    if not todo:
        yield "\nNothing to do."
        return
    total = _total(rows)
    used = max(row.times.workers for row in rows)
    disk = sum(row.disk for row in rows)
    stored = f", features of about {size(disk)} at most in {paths.cache_dir()}" if disk else ""
    yield (
        f"\nIn all about {duration(total.seconds)}{_mark(total)}: "
        f"{plural(todo, 'cell')} to tune with {plural(used, 'worker')}{stored}."
    )
    for what, estimates in (
        ("extraction", {row.name: row.times.extraction for row in rows}),
        ("tuning", {row.name: row.times.tuned for row in rows}),
    ):
        for basis, words in estimate.BASES.items():
            names = [name for name, value in estimates.items() if value.basis == basis]
            if names:
                mark = " (marked ?)" if basis == "guess" else ""
                yield f"Time of {what}: {words}{mark}: {', '.join(names)}."
    phases = {phase: each for row in rows for phase, each in row.times.starts.items()}
    assumed = [phase for phase, each in phases.items() if each.basis == "guess"]
    yield (
        "Start: processes, what they import and load, measured in earlier runs here"
        + (f"; assumed (?) for: {', '.join(assumed)}" if assumed else "")
        + f". The command itself is taken to need {starts.PROGRAM:.0f} s."
    )


def _total(rows: Sequence[_Row]) -> Estimate:
    """Wall time of all rows and of the command around them; nothing where there is none to do."""
    parts = [each for row in rows for each in (row.times.start, row.times.extraction)]
    whole = sum([*parts, *(row.times.tuned for row in rows)], Estimate())
    return Estimate(whole.seconds + starts.PROGRAM, whole.basis) if whole.basis else whole


def _replacing(plan: Plan) -> Iterator[str]:
    """Which finished records a run replaces, and which only with `--replace`."""
    for reason, cells in plan.by_reason(Ready).items():
        yield f"To run, replaces {plural(len(cells), 'result')}, first {cells[0]}: {reason}."
    for reason, cells in (held := plan.by_reason(Held)).items():
        yield f"Would be replaced: {plural(len(cells), 'result')}, first {cells[0]}: {reason}."
    if held:
        yield "`voxgrid run` refuses that; add --replace, or name another folder with --results."


def _downloads(rows: list[_Row], spec: RunSpec) -> Iterator[str]:
    """What a plan counts as skipped only because it keeps off the network."""
    if not spec.download or paths.offline():
        return
    wanted = {
        row.name: row.backbone.info.parameters * 4
        for row in rows
        if isinstance(row.backbone, SkippedBackbone)
        and row.backbone.info.needs_weights
        and missing_extra(row.backbone.info) is None
    }
    if wanted:
        yield (
            f"`voxgrid run` first tries to download the weights of {', '.join(wanted)} (about "
            f"{size(sum(wanted.values()))}); their cells would then run too and take more time."
        )


def _document(
    plan: Plan, by_task: Sequence[tuple[TaskPlan, list[_Row]]], workers: int
) -> documents.PlanDocument:
    rows = [row for _, own in by_task for row in own]
    return documents.PlanDocument(
        notes=list(plan.notes),
        tasks=[
            documents.PlannedTask(
                task=task.folded.task.name,
                sample=task.folded.task.sample,
                clips=len(task.folded.clips),
                left_out=len(task.folded.excluded),
                audio_seconds=round(task.folded.seconds, 3),
                protocols={name: len(split.folds) for name, split in task.folded.splits.items()},
                trials=task.trials,
                backbones=list(map(_planned, own)),
            )
            for task, own in by_task
        ],
        cells={state: sum(row.cells[state] for row in rows) for state in _STATES.values()},
        workers=workers,
        time=_seconds(_total(rows)),
        disk_bytes=sum(row.disk for row in rows),
    )


def _planned(row: _Row) -> documents.PlannedBackbone:
    backbone = row.backbone
    return documents.PlannedBackbone(
        backbone=row.name,
        reason=None if isinstance(backbone, ReadyBackbone) else backbone.reason,
        pending_audio_seconds=round(getattr(backbone, "pending_seconds", 0.0), 3),
        starts=_seconds(row.times.start),
        extraction=_seconds(row.times.extraction),
        tuning=_seconds(row.times.tuned),
        disk_bytes=row.disk,
        cells=[
            documents.PlannedCell(
                protocol=cell.cell.protocol,
                pooling=cell.cell.pooling,
                head=cell.cell.head,
                state=_STATES[type(cell)],
                reason=getattr(cell, "reason", None) or None,
            )
            for cell in row.plan.cells
        ],
    )


def _seconds(value: Estimate) -> documents.Seconds:
    return documents.Seconds(seconds=round(value.seconds, 1), basis=value.basis)
