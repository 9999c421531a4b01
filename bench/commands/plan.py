"""`voxgrid plan`: what a run would do, skip, take and need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backbones.extras import missing_extra
from bench import machine, paths
from bench.commands.options import with_settings
from bench.commands.shell import interruptible, reporter
from bench.config.spec import RunSpec
from bench.planning import estimate
from bench.planning.estimate import Estimate, History, size
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
from bench.records import benchmarks
from bench.records import store as records
from bench.report.select import finished
from bench.report.values import plural

if TYPE_CHECKING:
    from rich.console import Console

_NOTHING = Estimate()
_STATES = {Ready: "todo", Finished: "done", Skipped: "skipped", Held: "held"}


@interruptible
@with_settings
def plan(spec: RunSpec) -> None:
    """Show the cells, what is skipped and why, and the time and disk a run would take."""
    render(make_plan(spec, reporter(), download=False))


@dataclass(frozen=True)
class _Row:
    """One backbone of one task: its cells by state and what they take."""

    backbone: ReadyBackbone | SkippedBackbone
    cells: Counter[str]
    extraction: Estimate = _NOTHING
    tuning: Estimate = _NOTHING
    disk: int = 0


def render(plan: Plan) -> None:
    """Print a plan with its estimates on standard output."""
    from rich.console import Console

    console = Console()
    history = _history(plan.spec)
    workers = plan.spec.jobs or machine.usable_cores()
    rows: list[_Row] = []
    for note in plan.notes:
        _say(console, f"note: {note}")
    for task in plan.tasks:
        own = [_row(backbone, history) for backbone in task.backbones]
        rows += own
        _say(console, f"\n{_headline(task)}")
        _table(console, own, workers)
        for line in _reasons(own):
            _say(console, line)
    for line in (*_totals(rows, workers), *_replacing(plan), *_downloads(rows, plan.spec)):
        _say(console, line)


def _history(spec: RunSpec) -> History:
    return History(
        hardware=machine.hardware(spec.device),
        processor=machine.processor(),
        cores=estimate.guessed_cores(spec.device, machine.usable_cores()),
        records=finished(records.read_all(spec.results)),
        benchmarks=benchmarks.read(spec.results),
    )


def _row(plan: BackbonePlan, history: History) -> _Row:
    backbone, cells = plan.backbone, Counter(_STATES[type(cell)] for cell in plan.cells)
    if isinstance(backbone, SkippedBackbone) or not plan.ready:
        return _Row(backbone, cells)  # a run extracts only for cells that still need it
    return _Row(
        backbone,
        cells,
        estimate.extraction(backbone, history),
        estimate.tuning(plan.ready, history),
        estimate.feature_bytes(backbone),
    )


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


def _table(console: Console, rows: list[_Row], workers: int) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("backbone", overflow="fold")  # an address may be long; figures must not wrap
    states = [s for s in _STATES.values() if s != "held" or any(row.cells[s] for row in rows)]
    for title in ("to extract", *states, "extract", "tune", "disk"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        values = [
            row.backbone.info.name,
            _features(row.backbone),
            *(str(row.cells[state]) for state in states),
            _time(row.extraction),
            _time(row.tuning, workers),
            size(row.disk) if row.disk else "–",
        ]
        table.add_row(*map(Text, values))
    console.print(table)


def _features(backbone: ReadyBackbone | SkippedBackbone) -> str:
    if isinstance(backbone, SkippedBackbone):
        return "skipped"
    if not backbone.pending_seconds:
        return "cached"
    return duration(backbone.pending_seconds)


def _time(value: Estimate, workers: int = 1) -> str:
    if value.basis is None:
        return "–"
    # short, so that the table fits 80 columns
    words = duration(value.seconds / workers).replace(" h ", "h").replace(" min", "m")
    return words + (" ?" if value.basis == "guess" else "")


def _reasons(rows: list[_Row]) -> Iterator[str]:
    for row in rows:
        if isinstance(row.backbone, SkippedBackbone):
            name, reason = row.backbone.info.name, row.backbone.reason
            yield f"{name}: skipped: {reason.removeprefix(f'{name}: ')}"


def _totals(rows: list[_Row], workers: int) -> Iterator[str]:
    todo = sum(row.cells["todo"] for row in rows)
    if not todo:
        yield "\nNothing to do."
        return
    extraction = sum((row.extraction for row in rows), Estimate())
    tuning = sum((row.tuning for row in rows), Estimate())
    used = min(workers, todo)
    disk = sum(row.disk for row in rows)
    stored = f", features of about {size(disk)} at most in {paths.cache_dir()}" if disk else ""
    yield (
        f"\nIn all about {duration(extraction.seconds + tuning.seconds / used)}: "
        f"{plural(todo, 'cell')} to tune with {plural(used, 'worker')}{stored}."
    )
    for what, estimates in (
        ("extraction", {row.backbone.info.name: row.extraction for row in rows}),
        ("tuning", {row.backbone.info.name: row.tuning for row in rows}),
    ):
        for basis, words in estimate.BASES.items():
            names = [name for name, value in estimates.items() if value.basis == basis]
            if names:
                mark = " (marked ?)" if basis == "guess" else ""
                yield f"Time of {what}: {words}{mark}: {', '.join(names)}."


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
        row.backbone.info.name: row.backbone.info.parameters * 4
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


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
