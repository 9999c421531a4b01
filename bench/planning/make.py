"""What a run will do: tasks resolved and folded, then every backbone and cell of each."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import chain

from backbones import BackboneError, fusion
from bench import machine, paths, tasks
from bench.clips import Task
from bench.config.spec import RunSpec
from bench.errors import DataUnavailable, UserError
from bench.features.pooling import POOLINGS, get_pooling
from bench.planning import named
from bench.planning.cells import plan_task
from bench.planning.folded import fold_task
from bench.planning.plan import FoldedTask, Plan, TaskPlan
from bench.plugins import BACKBONES, HEADS
from bench.progress import Reporter
from bench.protocols import table as protocols
from bench.records import store as records
from bench.tasks import checks
from bench.tasks.entry import Entry
from bench.tasks.own import task as own
from bench.tuning.storage import JournalStudies

# Below the results folder.
STUDIES = ".studies"
# How many clips that are left out are named.
_FIRST_LEFT_OUT = 3

_log = logging.getLogger(__name__)


def make_plan(spec: RunSpec, reporter: Reporter, *, download: bool) -> Plan:
    """Resolve everything a run needs.

    The reporter is told of each download and of the scan's progress; `download=False` keeps off
    the network, as `voxgrid plan` does.

    Raises:
        UserError: a name is unknown (the message offers the nearest), no task can be folded as
            asked, something that was named by an option cannot run, the device is not there,
            `VOXGRID_DATA` or `VOXGRID_WEIGHTS` names no folder, the run is strict and a clip is
            left out, or the results folder holds records of a newer schema.
    """
    machine.require(spec.device)
    own.declare(spec.data)
    records.Folder.read(spec.results)  # refuses what is newer, before anything else
    spec = _filled(spec, download)
    named.refuse_roots(spec)
    studies = JournalStudies(spec.results / STUDIES)
    notes: list[str] = []
    plans: list[TaskPlan] = []
    left_out: list[UserError] = []
    for name in spec.tasks:
        try:
            _refuse_other_protocols(tasks.find(name), spec)
            task = _resolve_task(name, download, spec, reporter, notes)
            if any(plan.folded.task.name == task.name for plan in plans):
                continue
            folded = fold_task(task, spec, reporter)
            _log.debug("%s: %d clips, first %s", name, len(folded.clips), folded.clips[0].clip.path)
        except UserError as error:
            if spec.strict or "tasks" in spec.named:
                raise
            left_out.append(error)  # the other tasks are run all the same
            continue
        if folded.left_out:
            notes.append(_left_out(folded, spec))
        plans.append(plan_task(folded, spec, studies, reporter, download=download))
        rows = (row.folded.notes for row in plans[-1].backbones)
        notes.extend(dict.fromkeys(note for own in (folded.notes, *rows) for note in own))
        notes.extend(note for split in folded.splits.values() for note in split.notes)
        notes.extend(f"{protocol}: {reason}" for protocol, reason in folded.unfit.items())
    if not plans:
        raise left_out[0]
    notes.extend(f"left out: {error}" for error in left_out)
    had = {protocol for plan in plans for protocol in plan.folded.protocols}
    notes.extend(
        f"left out: no task of this run has the protocol '{protocol}'"
        for protocol in spec.protocols
        if protocol not in had
    )
    made = Plan(spec, tuple(plans), tuple(notes))
    may_download = spec.download and not (download or paths.offline())
    if (why := named.unmet(spec, tuple(made.rows()), may_download=may_download)) is not None:
        raise UserError(why)
    return replace(made, notes=(*notes, *named.without_effect(made)))


def _filled(spec: RunSpec, download: bool) -> RunSpec:
    """The run with empty lists filled and every name checked.

    The settings of a model of the hub are fetched where they are not on this machine (a few
    kilobytes, and only where downloads are allowed): without them there is no plan.
    """
    for pooling in (*spec.poolings, *spec.fine_tune.poolings):
        get_pooling(pooling)
    for protocol in spec.protocols:
        protocols.find(protocol)
    for task in spec.tasks:
        tasks.find(task)
    try:
        found = [fusion.parse(name) for name in spec.backbones]
        for backbone in chain.from_iterable(each.backbones for each in found):
            BACKBONES.get(backbone, allow_download=download)
        spec = spec.altered(backbones=tuple(each.name for each in found))
        for head in spec.heads:
            HEADS.get(head)
    except BackboneError as error:
        other = "; or run the preset on another one with --backbone" if spec.preset else ""
        raise UserError(f"{error}{other}") from error
    every = {
        "tasks": tasks.names(),
        "backbones": BACKBONES.names(),
        "poolings": POOLINGS,
        "heads": HEADS.names(),
    }
    return spec.altered(
        **{key: tuple(dict.fromkeys(getattr(spec, key) or all_)) for key, all_ in every.items()}
    )


def _left_out(folded: FoldedTask, spec: RunSpec) -> str:
    """Say which of a task's clips are left out; a strict run ends here."""
    name, told = folded.task.name, [f"{each.clip}: {each.reason}" for each in folded.left_out]
    count = f"{len(told)} {'clips' if told[1:] else 'clip'} of {name} left out"
    if spec.strict:
        raise UserError(
            f"{count}, and --strict allows none: {'; '.join(told)}; mend or remove what is named"
        )
    rest = len(told) - _FIRST_LEFT_OUT
    more = f"; and {rest} more, all under 'excluded' in each record below {spec.results / name}"
    return f"{count}: {'; '.join(told[:_FIRST_LEFT_OUT])}{more if rest > 0 else ''}"


def _refuse_other_protocols(entry: Entry, spec: RunSpec) -> None:
    """Raise where a task has none of the protocols asked for.

    A sample task stands in for one that has, so only what an option names is asked of it.
    """
    asked = spec.protocols if "protocols" in spec.named or not entry.sample else ()
    if asked and not set(asked) & set(entry.protocols):
        raise UserError(
            f"task '{entry.name}' has no protocol {', '.join(asked)}; "
            f"it has: {', '.join(entry.protocols)}"
        )


def _resolve_task(
    name: str, download: bool, spec: RunSpec, reporter: Reporter, notes: list[str]
) -> Task:
    """The task's clips, downloaded where allowed, or its sample twin if it was not named."""
    entry = tasks.find(name)
    try:
        return checks.resolve(name, allow_download=False)
    except DataUnavailable as error:
        missing = error
    may_download = spec.download and not paths.offline()
    if download and entry.download:
        if may_download:
            reporter.say(f"{name}: no clips on this machine; trying to get {entry.download}")
        try:
            return checks.resolve(name, allow_download=True)
        except DataUnavailable as error:
            missing = error
    elif may_download and entry.download and "tasks" not in spec.named:
        notes.append(
            f"`voxgrid run` first tries to get {entry.download}; where that succeeds, it runs "
            f"{name} and this plan does not hold."
        )
    if entry.twin is None:
        raise missing
    if "tasks" in spec.named:
        fetched = may_download and not download and entry.download
        own = f"; `voxgrid run` first tries to get {entry.download}" if fetched else ""
        raise UserError(
            f"{str(missing).rstrip('.')}{own}; to see on generated clips that everything works, "
            f"ask for --task {entry.twin}"
        )
    _refuse_other_protocols(tasks.find(entry.twin), spec)
    notes.append(
        f"{str(missing).rstrip('.')}. Until then the generated sample task '{entry.twin}' runs in "
        "its place: it shows that everything works and says nothing about any backbone."
    )
    return checks.resolve(entry.twin, allow_download=False)
