"""`voxgrid plan`: what a run would do, skip, take and need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from backbones.extras import missing_extra
from bench import machine, paths
from bench.commands import documents
from bench.commands.options import ConfigOption, JsonOption, with_settings
from bench.commands.shell import echo, interruptible, reporter
from bench.commands.tables import say, show
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
    ReadyFusion,
    Skipped,
    SkippedBackbone,
    TaskPlan,
)
from bench.progress import duration
from bench.report.values import plural

if TYPE_CHECKING:
    from bench.terminal import Terminal

_STATES = {Ready: "todo", Finished: "done", Skipped: "skipped", Held: "held"}

# One backbone of one task and what it takes.
_Row = tuple[BackbonePlan, Times]


@interruptible
@with_settings
def plan(spec: RunSpec, *, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the cells, what is skipped and why, and the time and disk a run would take."""
    render(make_plan(spec, reporter(), download=False), as_json=as_json)


def render(plan: Plan, *, as_json: bool = False) -> None:
    """Print a plan with its estimates on standard output, as tables or as one JSON document.

    Raises:
        UserError: a file of `tox -e perf` beside the records is something else.
    """
    known = estimate.history(plan.spec)
    workers = plan.spec.jobs or machine.usable_cores()
    rows = [(row, estimate.times(row, known, workers)) for row in plan.rows()]
    if as_json:
        echo(_document(plan, rows, workers))
        return
    from bench.terminal import Terminal

    console = Terminal()
    for note in plan.notes:
        say(console, f"note: {note}")
    for task in plan.tasks:
        say(console, f"\n{_headline(task)}")
        _table(console, [row for row in rows if row[0].folded.task is task.folded.task])
    for line in _reasons(plan):
        say(console, line, whole=True)
    for line in (*_totals(rows), *_replacing(plan), *_downloads(plan)):
        say(console, line)


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


def _table(console: Terminal, rows: Sequence[_Row]) -> None:
    counts = [_count(row) for row, _ in rows]
    states = [s for s in _STATES.values() if s != "held" or any(count[s] for count in counts)]
    figures = ["to extract", *states, "start", "extract", "tune", "disk"]
    cells = [
        [
            row.backbone.name,
            _features(row),
            *(str(count[state]) for state in states),
            *map(_time, (times.start, times.extraction, times.tuned)),
            size(times.disk) if times.disk else "–",
        ]
        for (row, times), count in zip(rows, counts, strict=True)
    ]
    show(console, "|".join(["backbone", *(f"{each}>" for each in figures)]), cells)


def _count(row: BackbonePlan) -> Counter[str]:
    return Counter(_STATES[type(cell)] for cell in row.cells)


def _features(row: BackbonePlan) -> str:
    if isinstance(row.backbone, SkippedBackbone):
        return "skipped"
    if isinstance(row.backbone, ReadyFusion):
        return "of its parts"
    if row.encoder is None:
        return "–"
    return duration(row.encoder.pending_seconds) if row.encoder.pending_seconds else "cached"


def _time(value: Estimate) -> str:
    if value.basis is None:
        return "–"
    # short, so that the table fits 80 columns
    words = duration(value.seconds).replace(" h ", "h").replace(" min", "m").replace(" s", "s")
    return words + _mark(value)


def _mark(value: Estimate) -> str:
    return " ?" if value.basis == "guess" else ""


def _reasons(plan: Plan) -> Iterator[str]:
    """Why cells are skipped, each reason once with how many and what they have in common."""
    cells = {cell.cell for row in plan.rows() for cell in row.cells}
    for row in plan.rows():
        if isinstance(row.backbone, SkippedBackbone) and not row.cells:
            yield f"{row.backbone.name}: skipped: {row.backbone.reason}"
    for reason, skipped in plan.by_reason(Skipped).items():
        shared = []
        for part in ("protocol", "backbone", "pooling", "head", "task"):
            value = getattr(skipped[0], part)
            alike = {cell for cell in cells if getattr(cell, part) == value}
            if alike == set(skipped):
                shared = [value]  # this alone names them
                break
            if alike.issuperset(skipped) and len(alike) < len(cells):
                shared.append(value)
        named = " ".join(shared) or "all"
        why = reason.removeprefix(f"{named}: ")
        yield f"{named}: {plural(len(skipped), 'cell')} skipped: {why}"


def _totals(rows: Sequence[_Row]) -> Iterator[str]:
    todo = sum(len(row.ready) for row, _ in rows)
    if not todo:
        yield "\nNothing to do."
        return
    total, disk = _total(rows), sum(times.disk for _, times in rows)
    stored = f", features of about {size(disk)} at most in {paths.cache_dir()}" if disk else ""
    yield (
        f"\nIn all about {duration(total.seconds)}{_mark(total)}: {plural(todo, 'cell')} to tune "
        f"with {plural(max(times.workers for _, times in rows), 'worker')}{stored}."
    )
    for what in ("extraction", "tuning"):
        for basis, words in estimate.BASES.items():
            names = {
                row.backbone.name: None
                for row, times in rows
                if (times.extraction if what == "extraction" else times.tuned).basis == basis
            }
            if names:
                mark = " (marked ?)" if basis == "guess" else ""
                yield f"Time of {what}: {words}{mark}: {', '.join(names)}."
    starting = {phase: each for _, times in rows for phase, each in times.starts.items()}
    assumed = [phase for phase, each in starting.items() if each.basis == "guess"]
    yield (
        "Start: processes, what they import and load, measured in earlier runs here"
        + (f"; assumed (?) for: {', '.join(assumed)}" if assumed else "")
        + f". The command itself is taken to need {starts.PROGRAM:.0f} s."
    )


def _total(rows: Sequence[_Row]) -> Estimate:
    """Wall time of all rows and of the command around them; nothing where there is none to do."""
    whole = sum((times.whole for _, times in rows), Estimate())
    return whole + Estimate(starts.PROGRAM, "records") if whole.basis else whole


def _replacing(plan: Plan) -> Iterator[str]:
    """Which finished records a run replaces, and which only with `--replace`."""
    for reason, cells in plan.by_reason(Ready).items():
        yield f"To run, replaces {plural(len(cells), 'result')}, first {cells[0]}: {reason}."
    for reason, cells in (held := plan.by_reason(Held)).items():
        yield f"Would be replaced: {plural(len(cells), 'result')}, first {cells[0]}: {reason}."
    if held:
        yield "`voxgrid run` refuses that; add --replace, or name another folder with --results."


def _downloads(plan: Plan) -> Iterator[str]:
    """What a plan counts as skipped only because it keeps off the network."""
    if not plan.spec.download or paths.offline():
        return
    backbones = [row.backbone for row in plan.rows() if isinstance(row.backbone, SkippedBackbone)]
    wanted = {
        each.info.name: each.info.parameters * 4
        for each in backbones
        if each.info.needs_weights and missing_extra(each.info) is None
    }
    if wanted:
        yield (
            f"`voxgrid run` first tries to download the weights of {', '.join(wanted)} (about "
            f"{size(sum(wanted.values()))}); their cells would then run too and take more time."
        )


def _document(plan: Plan, rows: Sequence[_Row], workers: int) -> str:
    cells = [
        {
            **asdict(cell.cell),
            "state": _STATES[type(cell)],
            "reason": getattr(cell, "reason", None) or None,
        }
        for row, _ in rows
        for cell in row.cells
    ]
    backbones = [
        {
            "task": row.folded.task.name,
            "backbone": row.backbone.name,
            "reason": getattr(row.backbone, "reason", None),
            "pending_audio_seconds": getattr(row.backbone, "pending_seconds", 0.0),
            "starts": asdict(times.start),
            "extraction": asdict(times.extraction),
            "tuning": asdict(times.tuned),
            "disk_bytes": times.disk,
        }
        for row, times in rows
    ]
    tasks = [
        {
            "task": task.folded.task.name,
            "sample": task.folded.task.sample,
            "clips": len(task.folded.clips),
            "left_out": len(task.folded.excluded),
            "audio_seconds": task.folded.seconds,
            "protocols": {name: len(split.folds) for name, split in task.folded.splits.items()},
            "trials": task.trials,
        }
        for task in plan.tasks
    ]
    return documents.text(
        "plan",
        notes=plan.notes,
        workers=workers,
        time=asdict(_total(rows)),
        disk_bytes=sum(times.disk for _, times in rows),
        tasks=tasks,
        backbones=backbones,
        cells=cells,
    )
