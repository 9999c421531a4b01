"""`voxgrid plan`: what a run would do, skip, take and need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backbones.extras import missing_extra
from bench import machine as measure
from bench import paths
from bench.config.spec import GridConfig
from bench.planning import estimate
from bench.planning.estimate import Estimate, History, duration, size
from bench.planning.plan import Plan, PlannedBackbone, TaskPlan
from bench.records import benchmarks as throughput
from bench.records import store as records
from bench.report.markdown import plural
from bench.report.ranking import finished

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class _Row:
    """One backbone of one task: its cells by state and what they take."""

    backbone: PlannedBackbone
    cells: Counter[str]
    extraction: Estimate
    tuning: Estimate
    disk: int


def render(plan: Plan, config: GridConfig) -> None:
    """Print a plan with its estimates on standard output.

    Args:
        plan: made without touching the network.
        config: the run it is for.
    """
    from rich.console import Console

    console = Console()
    history = _history(config)
    workers = config.jobs or measure.usable_cores()
    rows: list[_Row] = []
    for note in plan.notes:
        _say(console, f"note: {note}")
    for task_plan in plan.tasks:
        own = [_row(task_plan, backbone, history) for backbone in task_plan.backbones.values()]
        rows += own
        _say(console, f"\n{_headline(task_plan)}")
        _table(console, own, workers)
        for line in _reasons(own):
            _say(console, line)
    for line in (*_totals(rows, workers), *_downloads(rows, config)):
        _say(console, line)


def _history(config: GridConfig) -> History:
    return History(
        hardware=measure.hardware(config.device),
        cores=estimate.guessed_cores(config.device, measure.usable_cores()),
        records=finished(records.read_all(config.results)),
        benchmarks=throughput.read(config.results),
    )


def _row(plan: TaskPlan, backbone: PlannedBackbone, history: History) -> _Row:
    cells = [c for c in plan.cells if c.cell.backbone == backbone.info.name]
    waiting = any(c.state == "todo" for c in cells)
    return _Row(
        backbone,
        Counter(c.state for c in cells),
        # a run extracts only for cells that still need it
        estimate.extraction(backbone, history) if waiting else Estimate(),
        estimate.tuning(cells, plan.planned, history),
        estimate.feature_bytes(backbone, plan.planned) if waiting else 0,
    )


def _headline(plan: TaskPlan) -> str:
    planned = plan.planned
    folds = ", ".join(
        f"{name} ({plural(len(split.folds), 'fold')})" for name, split in planned.splits.items()
    )
    left_out = f", {len(planned.excluded)} left out" if planned.excluded else ""
    return (
        f"{planned.task.name}: {plural(len(planned.clips), 'clip')}{left_out}, "
        f"{_audio(planned.seconds)} of audio; {folds}; {plural(plan.trials, 'trial')} per fold"
    )


def _audio(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"


def _table(console: Console, rows: list[_Row], workers: int) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("backbone", overflow="fold")  # an address may be long; figures must not wrap
    for title in ("to extract", "todo", "done", "skipped", "extract", "tune", "disk"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        values = [
            row.backbone.info.name,
            _features(row.backbone),
            *(str(row.cells[state]) for state in ("todo", "done", "skipped")),
            _time(row.extraction),
            _time(row.tuning, workers),
            size(row.disk) if row.disk else "–",
        ]
        table.add_row(*map(Text, values))
    console.print(table)


def _features(backbone: PlannedBackbone) -> str:
    if backbone.reason is not None:
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
        reason = row.backbone.reason
        if reason is not None:
            name = row.backbone.info.name
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


def _downloads(rows: list[_Row], config: GridConfig) -> Iterator[str]:
    """What a plan counts as skipped only because it keeps off the network."""
    if not config.download or paths.offline():
        return
    wanted = {
        row.backbone.info.name: row.backbone.info.parameters * 4
        for row in rows
        if row.backbone.reason is not None
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
