"""What a plan says: tasks with folds, backbones with weights, cells with their states."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from backbones import BackboneInfo, Weights
from bench.audio.index import ScannedClip
from bench.clips import Exclusion, Task
from bench.config.grid import Cell
from bench.features.extract import Extraction
from bench.protocols.fold import Split
from bench.tuning.fits.vectors import Draw
from heads.base import Wants

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

    @property
    def wanted(self) -> tuple[str, ...]:
        """Protocols that were to fold these clips, whether they could or not."""
        return (*self.splits, *self.unfit)


@dataclass(frozen=True)
class PlannedBackbone:
    """A backbone with its weights, or the reason it is skipped.

    Attributes:
        info: the metadata record.
        weights: resolved, or None where they cannot be had.
        reason: why the backbone is skipped, or None.
        extraction: what fills its feature set, or None where it is skipped.
        pending_seconds: sound not yet through the backbone.
        kept: layers whose frames may be read.
    """

    info: BackboneInfo
    weights: Weights | None
    reason: str | None
    extraction: Extraction | None
    pending_seconds: float
    kept: tuple[int, ...] = ()


@dataclass(frozen=True)
class PlannedCell:
    """A cell, its state, and what to do for it.

    Attributes:
        cell: which one.
        state: whether it is done, to be done or skipped.
        reason: why it is skipped.
        fingerprint: of everything that decides its outcome; None where it is skipped.
        wants: what its head is fitted on.
        trials: per fold.
        layers: those to choose from; all of them for heads on vectors.
        recipe: what to run instead of drawing trials, or None.
    """

    cell: Cell
    state: State
    reason: str | None = None
    fingerprint: str | None = None
    wants: Wants = "vectors"
    trials: int = 1
    layers: tuple[int, ...] = ()
    recipe: Draw | None = None


@dataclass(frozen=True)
class TaskPlan:
    """Everything to do for one task; `trials` are those of heads on vectors and frames."""

    planned: PlannedTask
    trials: int
    backbones: dict[str, PlannedBackbone]
    cells: tuple[PlannedCell, ...]


@dataclass(frozen=True)
class Plan:
    """Everything to do, and what the user should know beforehand."""

    tasks: tuple[TaskPlan, ...]
    notes: tuple[str, ...] = field(default=())
