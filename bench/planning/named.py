"""What an option names runs, or nothing does; and which options change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backbones.extras import missing_extra
from bench import paths, tasks
from bench.config.settings import settings_of
from bench.config.spec import RunSpec
from bench.errors import UserError
from bench.planning import pairs
from bench.planning.plan import BackbonePlan, Plan, PlannedCell, Skipped, SkippedBackbone

# Settings that name something, and which part of a cell that is.
_KINDS = {
    "protocols": "protocol",
    "backbones": "backbone",
    "poolings": "pooling",
    "heads": "head",
    "tasks": "task",
}
_TRAINS = "no head of this run trains the backbone"
_FRAMES = "no head of this run reads frames"
# Of settings that not every run heeds: what heads have to read, on sample tasks or on real ones
# (None: on either), and what is said where none does.
_HEEDED_BY: dict[str, tuple[set[str], bool | None, str]] = {
    "frames_gb": ({"frames", "backbone"}, None, _FRAMES),
    "inner": ({"vectors"}, None, "this run fits no head on vectors"),
    "seeds": ({"vectors"}, False, "this run fits no head on vectors of a real task"),
    "trainings": ({"frames"}, False, f"{_FRAMES} on a real task"),
    "sample.trials": ({"vectors"}, True, "this run fits no head on vectors on a sample task"),
    "sample.trainings": ({"frames", "backbone"}, True, f"{_FRAMES} on a sample task"),
    "fine_tune.trials": ({"backbone"}, False, f"{_TRAINS} on a real task"),
    "fine_tune.seeds": ({"frames", "backbone"}, False, f"{_FRAMES} on a real task"),
    "fine_tune.poolings": ({"backbone"}, None, _TRAINS),
    "fine_tune.augment": ({"backbone"}, None, _TRAINS),
    "fine_tune.cache": ({"backbone"}, None, _TRAINS),
    "fine_tune.crop_seconds": ({"frames", "backbone"}, None, _FRAMES),
}


def refuse_roots(spec: RunSpec) -> None:
    """Raise a `UserError` where a variable names a folder for data or weights that is not there.

    Sample tasks and controls heed neither.
    """
    if all(tasks.find(name).sample for name in spec.tasks):
        return
    for variable in ("VOXGRID_DATA", *(() if spec.control else ("VOXGRID_WEIGHTS",))):
        if missing := paths.missing_folder(variable):
            raise UserError(missing)


def unmet(spec: RunSpec, rows: Sequence[BackbonePlan], *, may_download: bool) -> str | None:
    """Say what an option names and no cell can run of, and why, as its row would; None if none.

    `rows` are all of a plan, or what became of them; `may_download` says whether a run would first
    look for weights that these rows do without.
    """
    refused = []
    for setting, kind in _KINDS.items():
        for value in getattr(spec, setting) if setting in spec.named else ():
            own = [(r, c) for r in rows for c in r.cells if getattr(c.cell, kind) == value]
            reasons = [_reason(row, cell, spec, may_download) for row, cell in own]
            elsewhere = spec.share is not None and not own
            if None not in reasons and not elsewhere:
                why = next(iter(reasons), None) or _without_cells(kind, spec, rows)
                refused.append((kind, value, why))
    if not refused:
        return None
    # one backbone without weights takes head and pooling along: reasons begin with the culprit
    culprits = [each for each in refused if each[2].startswith(each[1])]
    kind, value, reason = (culprits or refused)[0]
    return f"{kind} '{value}' cannot run: {reason.removeprefix(f'{value}: ')}"


def _reason(row: BackbonePlan, cell: PlannedCell, spec: RunSpec, may_download: bool) -> str | None:
    """Why a cell cannot run, None where it may."""
    if not isinstance(cell, Skipped):
        return None
    backbone = row.backbone
    lacks_weights = (
        isinstance(backbone, SkippedBackbone)
        and cell.reason == backbone.reason  # and not one of the protocol or the pair
        and backbone.info.needs_weights
        and missing_extra(backbone.info) is None
        and spec.dtype in backbone.info.dtypes
    )
    return None if may_download and lacks_weights else cell.reason


def _without_cells(kind: str, spec: RunSpec, rows: Sequence[BackbonePlan]) -> str:
    if kind == "protocol":
        had = {row.folded.task.name: ", ".join(row.folded.protocols) for row in rows}
        there = "; ".join(f"{name} has {protocols}" for name, protocols in had.items())
        return f"no task of this run has it; {there}"
    if kind == "backbone" and spec.control:
        return "a control has random weights in place of its own, and it has none: leave it out"
    return f"no combination of this run has it; choose other {kind}s, or leave it out"


def without_effect(plan: Plan) -> Iterator[str]:
    """Say which options change nothing in a run, and why."""
    spec = plan.spec
    named = {s.name: s for s in settings_of(RunSpec) if s.name in spec.named}
    if "download" in named and paths.offline():
        yield f"{named['download'].flags[0]} has no effect: VOXGRID_OFFLINE is set"
    if spec.share is not None:
        return  # what it changes may be of another share
    there = {
        (pairs.reads(cell.cell.pooling, cell.cell.head), task.folded.task.sample)
        for task in plan.tasks
        for row in task.backbones
        for cell in row.cells
    }
    for name, (reads, sample, why) in _HEEDED_BY.items():
        if name not in named or any(
            own in reads and sample in (None, of_sample) for own, of_sample in there
        ):
            continue
        table, _, key = name.rpartition(".")
        value = getattr(getattr(spec, table) if table else spec, key)
        yield f"{named[name].flags[value is False]} has no effect: {why}"
