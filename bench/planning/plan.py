"""What a plan says: tasks with folds, backbones with weights, cells with their jobs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from backbones import BackboneInfo, Weights
from backbones.fusion import Fusion, joined
from bench.audio.index import ScannedClip
from bench.clips import Exclusion, Task
from bench.config.grid import Cell
from bench.config.spec import RunSpec
from bench.features.extract import Extraction
from bench.features.key import digest
from bench.protocols.fold import Split
from bench.tuning.cell import CellJob
from heads import Reads


@dataclass(frozen=True)
class FoldedTask:
    """A task with its usable clips and their folds.

    Attributes:
        clips: usable clips in the task's order.
        excluded: clips left out by the task or the scan.
        splits: folds by protocol.
        unfit: protocols that cannot fold these clips, with the reason.
        notes: what a reader of the results should know about the clips.
        data: digest of all usable clips, whatever a backbone leaves out of them.
    """

    task: Task
    clips: tuple[ScannedClip, ...]
    excluded: tuple[Exclusion, ...]
    splits: dict[str, Split]
    unfit: dict[str, str]
    notes: tuple[str, ...] = ()
    data: str = ""

    @property
    def left_out(self) -> list[Exclusion]:
        """Every clip or file that some protocol does without, by name."""
        return sorted({*self.excluded}.union(*(split.excluded for split in self.splits.values())))

    @property
    def seconds(self) -> float:
        """Sound in all usable clips."""
        return sum(clip.seconds for clip in self.clips)

    @property
    def protocols(self) -> tuple[str, ...]:
        """Protocols that were to fold these clips, whether they could or not."""
        return (*self.splits, *self.unfit)


@dataclass(frozen=True)
class ReadyBackbone:
    """A backbone that can run.

    Attributes:
        extraction: what fills its feature set, with the frames that its cells read.
        kept: layers whose frames may be read.
        pending_seconds: sound not yet through the backbone.
    """

    info: BackboneInfo
    extraction: Extraction
    kept: tuple[int, ...] = ()
    pending_seconds: float = 0.0

    @property
    def name(self) -> str:
        """The backbone's."""
        return self.info.name

    @property
    def infos(self) -> tuple[BackboneInfo, ...]:
        """Its own; a fusion has several."""
        return (self.info,)

    @property
    def encoders(self) -> tuple[ReadyBackbone, ...]:
        """Itself; a fusion has several."""
        return (self,)

    @property
    def weights(self) -> Weights:
        """Those that run."""
        return self.extraction.settings.weights

    @property
    def dtype(self) -> str:
        """What it computes in."""
        return self.extraction.settings.dtype

    @property
    def feature_key(self) -> str:
        """Digest of all that decides its vectors."""
        return self.extraction.settings.key

    @property
    def layers(self) -> dict[str, int]:
        """How many layers it returns, by its name."""
        return {self.name: self.info.layers_of(self.weights.size)}

    @property
    def last(self) -> int:
        """Its last layer."""
        return self.layers[self.name] - 1


@dataclass(frozen=True)
class ReadyFusion:
    """A fusion whose backbones can run; their own rows extract what it reads.

    Attributes:
        encoders: its backbones, each once.
    """

    fusion: Fusion
    encoders: tuple[ReadyBackbone, ...]

    @property
    def name(self) -> str:
        """The fusion's."""
        return self.fusion.name

    @property
    def infos(self) -> tuple[BackboneInfo, ...]:
        """Those of its backbones."""
        return tuple(encoder.info for encoder in self.encoders)

    @property
    def weights(self) -> Weights:
        """Those of all its backbones."""
        return joined([encoder.weights for encoder in self.encoders])

    @property
    def dtype(self) -> str:
        """What its backbones compute in."""
        return self.encoders[0].dtype

    @property
    def feature_key(self) -> str:
        """Digest of all that decides its vectors; which layers are joined says its name."""
        return digest({encoder.name: encoder.feature_key for encoder in self.encoders})

    @property
    def layers(self) -> dict[str, int]:
        """How many layers each of its backbones returns."""
        return {name: count for e in self.encoders for name, count in e.layers.items()}

    @property
    def last(self) -> tuple[int, ...]:
        """Of each part the layer that is fixed, or the last one."""
        parts = self.fusion.parts
        return tuple(self.layers[p.backbone] - 1 if p.layer is None else p.layer for p in parts)


@dataclass(frozen=True)
class SkippedBackbone:
    """A backbone or fusion that cannot run here, and why.

    Attributes:
        info: of the backbone, the first that cannot run of a fusion.
        fusion: its name, None of a backbone by itself.
    """

    info: BackboneInfo
    reason: str
    fusion: str | None = None

    @property
    def name(self) -> str:
        """The backbone's or fusion's."""
        return self.fusion or self.info.name

    @property
    def infos(self) -> tuple[BackboneInfo, ...]:
        """Of what cannot run."""
        return (self.info,)


PlannedBackbone = ReadyBackbone | ReadyFusion | SkippedBackbone


@dataclass(frozen=True)
class Ready:
    """A cell to be run.

    Attributes:
        reads: what its head is fitted on.
        fingerprint: of what decides its scores.
        reason: why its finished record is made again; empty where there is none.
    """

    job: CellJob
    reads: Reads
    fingerprint: str
    reason: str = ""

    @property
    def cell(self) -> Cell:
        """Which one."""
        return self.job.cell


@dataclass(frozen=True)
class Finished:
    """A cell whose record stands, and is never computed again."""

    cell: Cell


@dataclass(frozen=True)
class Held:
    """A cell whose record is a result made otherwise, or may be: only `--replace` runs it."""

    cell: Cell
    reason: str


@dataclass(frozen=True)
class Skipped:
    """A cell that cannot run, and why."""

    cell: Cell
    reason: str


PlannedCell = Ready | Finished | Held | Skipped


@dataclass(frozen=True)
class BackbonePlan:
    """What one backbone does for a task: it is extracted once, then all its cells run.

    Attributes:
        feeds: whether cells of fusions read its features.
    """

    folded: FoldedTask
    backbone: PlannedBackbone
    cells: tuple[PlannedCell, ...]
    feeds: bool = False

    @property
    def encoder(self) -> ReadyBackbone | None:
        """The backbone, where a cell to be run needs its features; a fusion has none of its own."""
        own = self.backbone
        return own if isinstance(own, ReadyBackbone) and (self.ready or self.feeds) else None

    @property
    def ready(self) -> tuple[Ready, ...]:
        """The cells to be run."""
        return tuple(cell for cell in self.cells if isinstance(cell, Ready))


@dataclass(frozen=True)
class TaskPlan:
    """Everything to do for one task; `trials` are those of heads on vectors and frames."""

    folded: FoldedTask
    trials: int
    backbones: tuple[BackbonePlan, ...]


@dataclass(frozen=True)
class Plan:
    """Everything to do for a run, and what its user should know beforehand."""

    spec: RunSpec
    tasks: tuple[TaskPlan, ...]
    notes: tuple[str, ...] = ()

    def rows(self) -> Iterator[BackbonePlan]:
        """Task by task, backbone by backbone: a run cut short leaves whole rows behind."""
        for task in self.tasks:
            yield from task.backbones

    def by_reason(self, kind: type[Ready | Held | Skipped]) -> dict[str, list[Cell]]:
        """The cells of a kind that say why they are of it."""
        found: defaultdict[str, list[Cell]] = defaultdict(list)
        for row in self.rows():
            for cell in row.cells:
                if isinstance(cell, kind) and cell.reason:
                    found[cell.reason].append(cell.cell)
        return dict(found)
