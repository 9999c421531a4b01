"""What a run will do: tasks resolved and folded, then every backbone and cell of each."""

from __future__ import annotations

from backbones import BackboneError
from bench import tasks
from bench.clips import Task
from bench.config.grid import Control
from bench.config.presets import Preset
from bench.config.spec import GridConfig
from bench.errors import DataUnavailable, UserError
from bench.features.pooling import POOLINGS, get_pooling
from bench.planning import cells as cell_plans
from bench.planning.folded import plan_task
from bench.planning.plan import Plan, TaskPlan
from bench.plugins import BACKBONES, HEADS
from bench.progress import Reporter
from bench.protocols import table as protocols


def choose(config: GridConfig) -> GridConfig:
    """The configuration with empty lists filled and every name checked.

    The settings of a model of the hub are fetched where they are not on this machine (a few
    kilobytes, and only where the configuration allows downloads): without them there is no plan.

    Raises:
        UserError: a name is unknown; the message offers the nearest.
    """
    for pooling in (*config.poolings, *config.fine_tune.poolings):
        get_pooling(pooling)
    for protocol in config.protocols:
        protocols.find(protocol)
    for task in config.tasks:
        tasks.find(task)
    try:
        for backbone in config.backbones:
            BACKBONES.get(backbone, allow_download=config.download)
    except BackboneError as error:
        raise UserError(str(error)) from error
    for head in config.heads:
        HEADS.get(head)
    return config.model_copy(
        update={
            "tasks": config.tasks or tuple(tasks.names()),
            "backbones": config.backbones or tuple(BACKBONES.names()),
            "poolings": config.poolings or tuple(POOLINGS),
            "heads": config.heads or tuple(HEADS.names()),
        }
    )


def make_plan(
    config: GridConfig,
    *,
    control: Control | None,
    preset: Preset | None = None,
    allow_download: bool,
    reporter: Reporter,
) -> Plan:
    """Resolve everything a run needs.

    Args:
        config: as returned by `choose`.
        control: `random-init` to use random weights on purpose.
        preset: a published set-up to reproduce, already applied to `config`.
        allow_download: False keeps off the network (as `voxgrid plan` does).
        reporter: told of each download and of the scan's progress.

    Raises:
        UserError: no task can be folded as asked.
    """
    notes: list[str] = []
    plans: list[TaskPlan] = []
    left_out: list[UserError] = []
    for name in config.tasks:
        try:
            _refuse_other_protocols(name, config)
            task = _resolve_task(name, allow_download and config.download, config, reporter, notes)
            if any(plan.planned.task.name == task.name for plan in plans):
                continue
            planned = plan_task(task, config, reporter)
        except UserError as error:
            left_out.append(error)  # the other tasks are run all the same
            continue
        plans.append(
            cell_plans.plan_task(
                planned,
                config,
                control=control,
                preset=preset,
                allow_download=allow_download and config.download,
                reporter=reporter,
            )
        )
        notes.extend(planned.notes)
        notes.extend(note for split in planned.splits.values() for note in split.notes)
        notes.extend(f"{protocol}: {reason}" for protocol, reason in planned.unfit.items())
    if not plans:
        raise left_out[0]
    notes.extend(f"left out: {error}" for error in left_out)
    folded = {protocol for plan in plans for protocol in plan.planned.wanted}
    notes.extend(
        f"left out: no task of this run has the protocol '{protocol}'"
        for protocol in config.protocols
        if protocol not in folded
    )
    return Plan(tuple(plans), tuple(notes))


def _refuse_other_protocols(name: str, config: GridConfig) -> None:
    """Raise where a task has none of the protocols asked for, unless it is a sample task."""
    entry = tasks.find(name)
    if config.protocols and entry.twin and not set(config.protocols) & set(entry.protocols):
        raise UserError(
            f"task '{name}' has no protocol {', '.join(config.protocols)}; "
            f"it has: {', '.join(entry.protocols)}"
        )


def _resolve_task(
    name: str, allow_download: bool, config: GridConfig, reporter: Reporter, notes: list[str]
) -> Task:
    """The task's clips, downloaded if need be and allowed, or its sample twin."""
    entry = tasks.find(name)
    try:
        return tasks.resolve(name, allow_download=False)
    except DataUnavailable as error:
        missing = error
    if allow_download and entry.download:
        reporter.say(f"{name}: no clips on this machine; trying to get {entry.download}")
        try:
            return tasks.resolve(name, allow_download=True)
        except DataUnavailable as error:
            missing = error
    elif config.download and entry.download:
        notes.append(
            f"`voxgrid run` first tries to get {entry.download}; where that succeeds, it runs "
            f"{name} and this plan does not hold."
        )
    if entry.twin is None:
        raise missing
    notes.append(
        f"{str(missing).rstrip('.')}. Until then the generated sample task '{entry.twin}' runs in "
        "its place: it shows that everything works and says nothing about any backbone."
    )
    return tasks.resolve(entry.twin, allow_download=False)
