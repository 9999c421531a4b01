"""The backbones and cells of a task: ready, finished before, or skipped with the reason."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from backbones import BackboneError
from backbones import weights as backbone_weights
from backbones.extras import missing_extra
from backbones.fusion import Fusion, parse
from bench import paths
from bench.config import presets
from bench.config.grid import Cell
from bench.config.spec import RunSpec
from bench.features.extract import Extraction, pending
from bench.features.key import FeatureSettings
from bench.features.source import Source
from bench.planning import frames, pairs
from bench.planning.fingerprint import fingerprint
from bench.planning.folded import without
from bench.planning.plan import (
    BackbonePlan,
    FoldedTask,
    Held,
    PlannedBackbone,
    PlannedCell,
    Ready,
    ReadyBackbone,
    ReadyFusion,
    Skipped,
    SkippedBackbone,
    TaskPlan,
)
from bench.planning.standing import standing
from bench.plugins import BACKBONES, HEADS
from bench.progress import Reporter
from bench.tuning.cell import CellJob
from bench.tuning.fits.backbone import BackboneFits
from bench.tuning.fits.base import Draw, Fits
from bench.tuning.fits.frames import FrameFits
from bench.tuning.fits.fusion import JOINED, PER_PART, FusionFits, tried
from bench.tuning.fits.vectors import PROBE, VectorFits
from bench.tuning.inner import GO_ON
from bench.tuning.probing import LAYERS
from bench.tuning.storage import StudyStore
from heads import Head, Reads

# Raise it when what trials store changes: older studies then begin anew instead of being misread.
STUDY_VERSION = 4

_log = logging.getLogger(__name__)


def plan_task(
    folded: FoldedTask, spec: RunSpec, studies: StudyStore, reporter: Reporter, *, download: bool
) -> TaskPlan:
    """Every backbone and every cell of a task, of a run whose lists are filled.

    The reporter is told of each download; `download=False` keeps off the network.
    """
    trials = spec.sample.trials if folded.task.sample else spec.trials
    fusions = [found for found in map(parse, spec.backbones) if not found.alone]
    wanted = _wanted(folded, spec)
    rows: dict[str, BackbonePlan] = {}
    for name in spec.backbones:
        if parse(name).alone:
            backbone = _resolve(name, folded, spec, reporter, download)
            rows[name] = _planned(folded, backbone, wanted[name], spec, studies)
    for fusion in fusions:  # after the rows of their backbones, which extract for them
        for name in fusion.backbones:
            if name not in rows:
                backbone = _resolve(name, folded, spec, reporter, download)
                rows[name] = _planned(folded, backbone, (), spec, studies)
        parts = [rows[name].backbone for name in fusion.backbones]
        joined = _joined(fusion, parts)
        row = _planned(folded, joined, wanted[fusion.name], spec, studies)
        rows[fusion.name] = row
        for name in fusion.backbones if row.ready else ():
            rows[name] = replace(rows[name], feeds=True)
    return TaskPlan(folded, trials, tuple(rows.values()))


def _joined(fusion: Fusion, parts: Sequence[PlannedBackbone]) -> ReadyFusion | SkippedBackbone:
    """The fusion of these backbones, or why there is none."""
    ready = []
    for part in parts:
        if not isinstance(part, ReadyBackbone):
            assert isinstance(part, SkippedBackbone)
            return replace(part, fusion=fusion.name)
        ready.append(part)
    made = ReadyFusion(fusion, tuple(ready))
    for part in ready:
        last = made.layers[part.name] - 1
        wrong = [layer for layer in fusion.fixed(part.name) if layer > last]
        if wrong or not tried(fusion, {part.name: last + 1}):
            asked = f"layer {wrong[0]}" if wrong else "more layers than there are"
            reason = f"{fusion.name} asks for {asked}: {part.name} has layers 0 to {last} here"
            return SkippedBackbone(part.info, reason, fusion.name)
    return made


def without_unusable(row: BackbonePlan, spec: RunSpec) -> BackbonePlan:
    """What is ready of a row, without the clips that its backbone could not use.

    They are known once it is extracted; where there are none it is the row itself.
    """
    backbone = row.backbone
    if isinstance(backbone, SkippedBackbone) or not row.ready or not _unusable(backbone):
        return row
    studies = row.ready[0].job.studies
    return _planned(row.folded, backbone, [ready.cell for ready in row.ready], spec, studies)


def _planned(
    folded: FoldedTask,
    backbone: PlannedBackbone,
    cells: Sequence[Cell],
    spec: RunSpec,
    studies: StudyStore,
) -> BackbonePlan:
    """The row of a backbone, without the clips that it is known not to use."""
    if not isinstance(backbone, SkippedBackbone) and (reasons := _unusable(backbone)):
        folded = without(folded, reasons, backbone.name)
        if isinstance(backbone, ReadyBackbone):
            sources = tuple(s for s in backbone.extraction.sources if s.pcm_sha256 not in reasons)
            backbone = replace(backbone, extraction=replace(backbone.extraction, sources=sources))
    maker = _Maker(folded, spec, studies, backbone)
    planned = tuple(maker.plan(cell) for cell in cells)
    return BackbonePlan(folded, _with_frames(backbone, planned, spec), planned)


def _unusable(backbone: ReadyBackbone | ReadyFusion) -> dict[str, str]:
    """Why clips of a task are left out for a backbone, by the sha256 of their samples."""
    found: dict[str, str] = {}
    for encoder in backbone.encoders:
        known = encoder.extraction.features().unusable
        own = {source.pcm_sha256 for source in encoder.extraction.sources}
        found |= {clip: reason for clip, reason in known.items() if clip in own}
    return found


def _wanted(folded: FoldedTask, spec: RunSpec) -> dict[str, list[Cell]]:
    """The cells of a run by backbone or fusion; of a share, those of its part of all.

    Shares are made of the grid alone, whatever is finished, so that all runs make the same ones.
    Cells of one backbone lie together, since each share extracts what its cells read.
    """
    every = sorted(map(parse, spec.backbones), key=lambda fusion: not fusion.alone)
    cells = {fusion.name: _cells(folded, spec, fusion) for fusion in every}
    if spec.share is None:
        return cells
    number, of = spec.share
    whole = [cell for own in cells.values() for cell in own]
    mine = set(whole[(number - 1) * len(whole) // of : number * len(whole) // of])
    return {name: [cell for cell in own if cell in mine] for name, own in cells.items()}


def _cells(folded: FoldedTask, spec: RunSpec, fusion: Fusion) -> list[Cell]:
    infos = [BACKBONES.get(backbone).info for backbone in fusion.backbones]
    if spec.control and not any(info.needs_weights for info in infos):
        return []  # a control stands in for weights; a backbone without any has no control
    task, name = folded.task.name, fusion.name
    tuned = spec.fine_tune.poolings
    every = dict.fromkeys((*spec.poolings, *tuned))
    return [
        Cell(task, protocol, name, pooling, head, spec.control, spec.preset)
        for protocol, pooling, head in product(folded.protocols, every, spec.heads)
        if pooling in (tuned if pairs.reads(pooling, head) == "backbone" else spec.poolings)
    ]


def _resolve(
    name: str, folded: FoldedTask, spec: RunSpec, reporter: Reporter, download: bool
) -> ReadyBackbone | SkippedBackbone:
    info = BACKBONES.get(name).info
    missing = missing_extra(info)
    if missing:
        return SkippedBackbone(info, f"{name}: {missing}")
    if spec.dtype not in info.dtypes:
        return SkippedBackbone(
            info,
            f"{name}: its vectors in {spec.dtype} are too far from those in float32 (`voxgrid "
            f"check` measures it); choose --dtype {' or '.join(info.dtypes)}",
        )
    sample = folded.task.sample
    pretrained = spec.control is None and not sample
    fetched = download and pretrained and not paths.offline()
    if fetched and backbone_weights.availability(info)[0] == "missing":
        size = info.parameters * 4 / 1e9
        reporter.say(
            f"{name}: no weights on this machine; trying {info.weights_id} ({size:.1f} GB)"
        )
    try:
        weights = backbone_weights.resolve(
            info, control=spec.control, sample=sample, allow_download=download, seed=spec.seed
        )
    except BackboneError as error:
        return SkippedBackbone(info, str(error))
    extraction = Extraction(
        settings=FeatureSettings(info, weights, spec.dtype, spec.device),
        sources=tuple(
            Source(c.clip.id, c.clip.path, c.pcm_sha256, c.seconds) for c in folded.clips
        ),
        root=paths.cache_dir() / "features",
        batch=spec.batch,
    )
    _log.debug("%s: %s weights, %s", name, weights.kind, weights.path or "no file of them")
    _log.debug("%s: features in %s, as %s", name, extraction.root, extraction.settings.key)
    kept = frames.kept(info, weights, folded.seconds, spec.frames_gb)
    return ReadyBackbone(info, extraction, kept)


def _with_frames(
    backbone: PlannedBackbone, cells: tuple[PlannedCell, ...], spec: RunSpec
) -> PlannedBackbone:
    """The backbone with the frames that its cells read, and how much sound is yet to pass."""
    if not isinstance(backbone, ReadyBackbone):
        return backbone
    wanted = {
        layer
        for cell in cells
        if isinstance(cell, Ready)
        for layer in frames.frames_read(
            cell.cell.head, cell.reads, backbone.kept, cell.job.recipe, spec
        )
    }
    extraction = replace(backbone.extraction, frames=tuple(sorted(wanted)))
    todo = pending(extraction.features(), extraction.sources, extraction.frames)
    seconds = sum(source.seconds for source in todo)
    return replace(backbone, extraction=extraction, pending_seconds=seconds)


class _Maker:
    """Makes the cells of one backbone of a task."""

    def __init__(
        self,
        folded: FoldedTask,
        spec: RunSpec,
        studies: StudyStore,
        backbone: PlannedBackbone,
    ) -> None:
        self.folded = folded
        self.spec = spec
        self.studies = studies
        self.backbone = backbone
        self.preset = presets.find(spec.preset) if spec.preset else None
        index = {label: position for position, label in enumerate(folded.task.labels)}
        self.classes = tuple(index[clip.clip.label] for clip in folded.clips)

    def plan(self, cell: Cell) -> PlannedCell:
        """The cell with its job, or why there is none."""
        backbone = self.backbone
        reason = self.folded.unfit.get(cell.protocol)
        reason = reason or pairs.skip(backbone.infos, backbone.name, cell.pooling, cell.head)
        if reason is not None:
            return Skipped(cell, reason)
        if isinstance(backbone, SkippedBackbone):
            return Skipped(cell, backbone.reason)
        reads = pairs.reads(cell.pooling, cell.head)
        kept = backbone.kept if isinstance(backbone, ReadyBackbone) else ()
        if reads == "frames" and not kept:
            return Skipped(
                cell,
                f"the frames of a single layer of {backbone.name} take more disk than "
                f"frames_gb allows ({self.spec.frames_gb:g}): raise --frames-gb",
            )
        recipe = None
        if self.preset is not None:
            recipe = Draw(backbone.last, dict(self.preset.params))
        head = HEADS.reading(cell.head, reads)
        inner = self.spec.inner == "folds" and reads == "vectors" and self.preset is None
        mark = fingerprint(
            cell,
            self.folded,
            self.spec,
            feature_key=backbone.feature_key,
            reads=reads,
            head_version=head.version,
            layers=kept,
            recipe=recipe,
            inner=_searched(head, backbone) if inner else None,
        )
        trials = self._trials(reads)
        if inner:
            grid = head.grid()
            trials = min(trials, head.tries) if grid is None else len(grid) * _choices(backbone)
        seeds = self._seeds(head)
        stands = standing(cell, mark, (trials, seeds), self.folded, self.spec, backbone)
        if isinstance(stands, Held) and self.spec.replace:
            stands = stands.reason
        if not isinstance(stands, str):
            return stands
        job = CellJob(
            cell=cell,
            name=f"{cell.relative_path.as_posix()}.{mark[:16]}.{STUDY_VERSION}",
            fits=self._fits(backbone, reads),
            classes=self.classes,
            n_classes=len(self.folded.task.labels),
            folds=self.folded.splits[cell.protocol].folds,
            trials=trials,
            seed=self.spec.seed,
            studies=self.studies,
            recipe=recipe,
            inner=inner,
            seeds=seeds,
            device=self.spec.device if reads == "backbone" else "cpu",
        )
        return Ready(job, reads, mark, stands)

    def _trials(self, reads: Reads) -> int:
        if self.preset is not None:
            return 1
        if self.folded.task.sample:
            sample = self.spec.sample
            return sample.trials if reads == "vectors" else sample.trainings
        if reads == "vectors":
            return self.spec.trials
        return self.spec.fine_tune.trials if reads == "backbone" else self.spec.trainings

    def _seeds(self, head: type[Head]) -> int:
        # a preset is one fit per fold
        if self.folded.task.sample or self.preset is not None or not head.random:
            return 1
        return self.spec.seeds if head.reads == "vectors" else self.spec.fine_tune.seeds

    def _fits(self, backbone: ReadyBackbone | ReadyFusion, reads: Reads) -> Fits:
        clips = tuple(clip.pcm_sha256 for clip in self.folded.clips)
        if isinstance(backbone, ReadyFusion):
            extractions = [encoder.extraction for encoder in backbone.encoders]
            settings = tuple(extraction.settings for extraction in extractions)
            return FusionFits(extractions[0].root, backbone.fusion, settings, clips)
        extraction, training = backbone.extraction, self.spec.fine_tune
        if reads == "frames":
            return FrameFits(extraction, backbone.kept, training.crop_seconds)
        if reads == "backbone":
            return BackboneFits(
                extraction, training.crop_seconds, cached=training.cache, augment=training.augment
            )
        return VectorFits(extraction.root, extraction.settings, clips)


def _choices(backbone: ReadyBackbone | ReadyFusion) -> int:
    """How many layers a head with a list of settings tries all of it on."""
    if isinstance(backbone, ReadyFusion):
        return tried(backbone.fusion, backbone.layers)
    return backbone.layers[backbone.name]


def _searched(head: type[Head], backbone: ReadyBackbone | ReadyFusion) -> dict[str, Any]:
    """What a search on inner folds depends on beside folds and the version of the head."""
    grid, fused = head.grid(), {}
    if isinstance(backbone, ReadyFusion):
        probe = HEADS.reading(PROBE, "vectors").version
        fused = {"fused": [PER_PART, JOINED, *LAYERS], "probe": probe}
    if grid is not None:
        return {"every": [dict(setting) for setting in grid], **fused}
    return fused | {
        "race": [*head.variants({})],
        "go_on": GO_ON,
        "probe": HEADS.reading(PROBE, "vectors").version,
        "layers": LAYERS,
    }
