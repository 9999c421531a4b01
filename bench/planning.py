"""What a run will do: tasks resolved, folds made, weights found, every cell with its state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from backbones import BackboneError, BackboneInfo, Weights
from backbones import registry as backbone_registry
from backbones import weights as backbone_weights
from bench import paths, protocols, records, tasks
from bench.audio.index import ScannedClip, scan
from bench.config import GridConfig
from bench.errors import DataUnavailable, UserError, VoxgridError
from bench.features.extract import Extraction, Source, pending
from bench.features.pooling import POOLINGS, get_pooling
from bench.features.store import FeatureSet, digest
from bench.grid import Cell, Control, expand
from bench.measure import usable_cores
from bench.progress import Reporter
from bench.protocols import Split
from bench.tasks.base import Exclusion, Task
from heads import HeadError
from heads import registry as head_registry

# Raise it when the way cells are tuned or tested changes their scores.
TUNING_VERSION = 1

State = Literal["done", "todo", "skipped"]


@dataclass(frozen=True)
class PlannedTask:
    """A task with its usable clips and their folds.

    Attributes:
        task: as resolved.
        clips: usable clips in the task's order.
        excluded: clips left out by the task, the scan or a protocol.
        splits: folds by protocol.
        unfit: protocols that cannot fold these clips, with the reason.
        notes: what a reader of the results should know about the clips.
    """

    task: Task
    clips: tuple[ScannedClip, ...]
    excluded: tuple[Exclusion, ...]
    splits: dict[str, Split]
    unfit: dict[str, str]
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Sound in all usable clips."""
        return sum(clip.seconds for clip in self.clips)


@dataclass(frozen=True)
class PlannedBackbone:
    """A backbone with its weights, or the reason it is skipped.

    Attributes:
        info: the metadata record.
        weights: resolved, or None where they cannot be had.
        reason: why the backbone is skipped, or None.
        extraction: what fills its feature set, or None where it is skipped.
        pending_seconds: sound not yet through the backbone.
    """

    info: BackboneInfo
    weights: Weights | None
    reason: str | None
    extraction: Extraction | None
    pending_seconds: float


@dataclass(frozen=True)
class PlannedCell:
    """A cell, its state, why it is skipped, and what identifies its outcome."""

    cell: Cell
    state: State
    reason: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True)
class TaskPlan:
    """Everything to do for one task."""

    planned: PlannedTask
    trials: int
    backbones: dict[str, PlannedBackbone]
    cells: tuple[PlannedCell, ...]


@dataclass(frozen=True)
class Plan:
    """Everything to do, and what the user should know beforehand."""

    tasks: tuple[TaskPlan, ...]
    notes: tuple[str, ...] = field(default=())


def choose(config: GridConfig) -> GridConfig:
    """The configuration with empty lists filled and every name checked.

    Raises:
        UserError: a name is unknown; the message offers the nearest.
    """
    known = list(tasks.names())
    for pooling in config.poolings:
        get_pooling(pooling)
    for protocol in config.protocols:
        protocols.find(protocol)
    for task in config.tasks:
        tasks.find(task)
    try:
        for backbone in config.backbones:
            backbone_registry.get(backbone)
        for head in config.heads:
            head_registry.get(head)
    except (BackboneError, HeadError) as error:
        raise UserError(str(error)) from error
    return config.model_copy(
        update={
            "tasks": config.tasks or tuple(known),
            "backbones": config.backbones or tuple(backbone_registry.infos()),
            "poolings": config.poolings or tuple(POOLINGS),
            "heads": config.heads or tuple(info.name for info in head_registry.infos()),
        }
    )


def make_plan(
    config: GridConfig,
    *,
    control: Control | None,
    allow_download: bool,
    reporter: Reporter,
) -> Plan:
    """Resolve everything a run needs.

    Args:
        config: as returned by `choose`.
        control: `random-init` to use random weights on purpose.
        allow_download: False keeps off the network (as `voxgrid plan` does).
        reporter: told of each download and of the scan's progress.

    Raises:
        UserError: no task can be folded as asked.
    """
    notes: list[str] = []
    plans: list[TaskPlan] = []
    for name in config.tasks:
        task = _resolve_task(name, allow_download and config.download, config, reporter, notes)
        if any(plan.planned.task.name == task.name for plan in plans):
            continue
        planned = _plan_task(task, config, reporter)
        plans.append(
            _plan_cells(planned, config, control, allow_download and config.download, reporter)
        )
        notes.extend(planned.notes)
        notes.extend(note for split in planned.splits.values() for note in split.notes)
        notes.extend(f"{protocol}: {reason}" for protocol, reason in planned.unfit.items())
    return Plan(tuple(plans), tuple(notes))


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


def _plan_task(task: Task, config: GridConfig, reporter: Reporter) -> PlannedTask:
    wanted = [p for p in config.protocols if p in task.protocols] or list(task.protocols)
    if config.protocols and not task.sample and not set(config.protocols) & set(task.protocols):
        raise UserError(
            f"task '{task.name}' has no protocol {', '.join(config.protocols)}; "
            f"it has: {', '.join(task.protocols)}"
        )
    with reporter.phase(f"scan {task.name} (clips)", len(task.clips)) as phase:
        found = scan(task.clips, paths.cache_dir() / "audio.sqlite3", phase.at)
    clips = found.usable
    if not clips:
        raise UserError(f"task '{task.name}' has no usable clip: {found.excluded[0].reason}")
    splits: dict[str, Split] = {}
    unfit: dict[str, str] = {}
    for protocol in wanted:
        try:
            splits[protocol] = protocols.make_folds(
                protocol, [c.clip for c in clips], [c.pcm_sha256 for c in clips], task.labels
            )
        except UserError as error:
            unfit[protocol] = str(error)
    if not splits:
        raise UserError(next(iter(unfit.values())))
    notes = (*task.notes, *task.altered({c.clip.id: c.pcm_sha256 for c in clips}))
    return PlannedTask(task, clips, (*task.excluded, *found.excluded), splits, unfit, notes)


def _plan_cells(
    planned: PlannedTask,
    config: GridConfig,
    control: Control | None,
    allow_download: bool,
    reporter: Reporter,
) -> TaskPlan:
    trials = config.sample.trials if planned.task.sample else config.trials
    resolved = {
        name: _plan_backbone(name, planned, config, control, allow_download, reporter)
        for name in config.backbones
    }
    cells = expand(
        planned.task.name,
        [*planned.splits, *planned.unfit],
        config.backbones,
        config.poolings,
        config.heads,
        control,
    )
    keys = {
        name: backbone.extraction.features().key
        for name, backbone in resolved.items()
        if backbone.extraction is not None
    }
    return TaskPlan(
        planned,
        trials,
        resolved,
        tuple(
            _plan_cell(cell, planned, resolved[cell.backbone], keys, config, trials)
            for cell in cells
            # a control is a stand-in for weights; a backbone without any has no control
            if not (control and not resolved[cell.backbone].info.needs_weights)
        ),
    )


def _plan_backbone(
    name: str,
    planned: PlannedTask,
    config: GridConfig,
    control: Control | None,
    allow_download: bool,
    reporter: Reporter,
) -> PlannedBackbone:
    info = backbone_registry.infos()[name]
    missing = backbone_registry.missing_extra(info)
    if missing:
        return PlannedBackbone(info, None, f"{name}: {missing}", None, 0.0)
    pretrained = control is None and not planned.task.sample
    if allow_download and pretrained and backbone_weights.availability(info)[0] == "missing":
        size = info.parameters * 4 / 1e9
        reporter.say(
            f"{name}: no weights on this machine; trying {info.weights_id} ({size:.1f} GB)"
        )
    try:
        weights = backbone_weights.resolve(
            info,
            control=control,
            sample=planned.task.sample,
            allow_download=allow_download,
            seed=config.seed,
        )
    except BackboneError as error:
        return PlannedBackbone(info, None, str(error), None, 0.0)
    extraction = Extraction(
        backbone=name,
        weights=weights,
        sources=tuple(_sources(planned.clips)),
        root=paths.cache_dir() / "features",
        device=config.device,
        dtype=config.dtype,
        batch=config.batch,
        threads=usable_cores(),
    )
    todo = pending(extraction.features(), extraction.sources)
    return PlannedBackbone(info, weights, None, extraction, sum(s.seconds for s in todo))


def _sources(clips: Sequence[ScannedClip]) -> list[Source]:
    return [Source(c.clip.id, c.clip.path, c.pcm_sha256, c.seconds) for c in clips]


def _plan_cell(
    cell: Cell,
    planned: PlannedTask,
    backbone: PlannedBackbone,
    keys: dict[str, str],
    config: GridConfig,
    trials: int,
) -> PlannedCell:
    if cell.protocol in planned.unfit:
        return PlannedCell(cell, "skipped", reason=planned.unfit[cell.protocol])
    if backbone.reason is not None:
        return PlannedCell(cell, "skipped", reason=backbone.reason)
    mark = fingerprint(cell, planned, keys[cell.backbone], config.seed)
    stored = _stored(config.results, cell)
    done = (
        stored is not None
        and stored.status == "ok"
        and stored.provenance.fingerprint == mark
        and stored.trials >= trials
        and records.predictions_path(config.results, cell).exists()
    )
    return PlannedCell(cell, "done" if done else "todo", fingerprint=mark)


def _stored(results: Path, cell: Cell) -> records.Record | None:
    path = records.record_path(results, cell)
    return records.read(path) if path.exists() else None


def fingerprint(cell: Cell, planned: PlannedTask, feature_key: str, seed: int) -> str:
    """Digest of everything but the number of trials that decides a cell's scores."""
    split = planned.splits[cell.protocol]
    return digest(
        {
            "features": feature_key,
            "clips": [clip.pcm_sha256 for clip in planned.clips],
            "labels": [clip.clip.label for clip in planned.clips],
            "classes": list(planned.task.labels),
            "folds": [
                [part.tolist() for part in (fold.train, fold.validation, fold.test)]
                for fold in split.folds
            ],
            "pooling": cell.pooling,
            "head": cell.head,
            "head_version": head_registry.get(cell.head).info.version,
            "seed": seed,
            "cell": str(cell),
            "tuning": TUNING_VERSION,
        }
    )


def feature_set(backbone: PlannedBackbone) -> FeatureSet:
    """The feature set of a backbone that is not skipped.

    Raises:
        VoxgridError: the backbone is skipped.
    """
    if backbone.extraction is None:
        raise VoxgridError(f"backbone '{backbone.info.name}' is skipped: {backbone.reason}")
    return backbone.extraction.features()
