"""Cells with their states: done before, to be done, or skipped with the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from backbones import STEM, BackboneError
from backbones import weights as backbone_weights
from backbones.extras import missing_extra
from bench import paths
from bench.config.grid import Cell, Control, expand
from bench.config.presets import Preset
from bench.config.spec import GridConfig
from bench.features.extract import Extraction, Source, pending
from bench.features.store import digest
from bench.machine import usable_cores
from bench.planning import pairs
from bench.planning.plan import PlannedBackbone, PlannedCell, PlannedTask, TaskPlan
from bench.plugins import BACKBONES, HEADS
from bench.progress import Reporter
from bench.records import store as records
from bench.tuning import layers
from bench.tuning.fits.augment import Augmentation
from bench.tuning.fits.vectors import Draw

# Raise it when the way cells are tuned or tested changes their scores.
TUNING_VERSION = 1


def plan_task(
    planned: PlannedTask,
    config: GridConfig,
    *,
    control: Control | None,
    preset: Preset | None,
    allow_download: bool,
    reporter: Reporter,
) -> TaskPlan:
    """Every backbone and every cell of a task.

    Args:
        planned: the task with its folds.
        config: as chosen.
        control: `random-init` to use random weights on purpose.
        preset: a published set-up to reproduce, with nothing tuned.
        allow_download: False keeps off the network.
        reporter: told of each download.
    """
    resolved = {
        name: _plan_backbone(name, planned, config, control, allow_download, reporter)
        for name in config.backbones
    }
    cells = [
        _plan_cell(cell, planned, resolved[cell.backbone], config, preset)
        for cell in expand(
            planned.task.name,
            [*planned.splits, *planned.unfit],
            config.backbones,
            config.poolings,
            config.heads,
            control,
            preset.name if preset else None,
        )
        # a control is a stand-in for weights; a backbone without any has no control
        if not (control and not resolved[cell.backbone].info.needs_weights)
        and _is_asked_for(cell, config)
    ]
    trials = config.sample.trials if planned.task.sample else config.trials
    with_frames = {
        name: _with_frames(backbone, [c for c in cells if c.cell.backbone == name], config)
        for name, backbone in resolved.items()
    }
    return TaskPlan(planned, trials, with_frames, tuple(cells))


def _is_asked_for(cell: Cell, config: GridConfig) -> bool:
    """Whether a head that trains the backbone runs with this pooling."""
    trains = pairs.wants(cell.pooling, cell.head) == "backbone"
    return not trains or cell.pooling in config.fine_tune.poolings


def _plan_backbone(
    name: str,
    planned: PlannedTask,
    config: GridConfig,
    control: Control | None,
    allow_download: bool,
    reporter: Reporter,
) -> PlannedBackbone:
    info = BACKBONES.get(name).info
    missing = missing_extra(info)
    if missing:
        return PlannedBackbone(info, None, f"{name}: {missing}", None, 0.0)
    if config.dtype not in info.dtypes:
        reason = (
            f"{name}: its vectors in {config.dtype} are too far from those in float32 (`voxgrid "
            f"check` measures it); set dtype in grid.toml to one of {', '.join(info.dtypes)}"
        )
        return PlannedBackbone(info, None, reason, None, 0.0)
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
        sources=tuple(
            Source(c.clip.id, c.clip.path, c.pcm_sha256, c.seconds) for c in planned.clips
        ),
        root=paths.cache_dir() / "features",
        device=config.device,
        dtype=config.dtype,
        batch=config.batch,
        threads=usable_cores(),
    )
    kept = layers.kept(info, weights, planned.seconds, config.frames_gb)
    return PlannedBackbone(info, weights, None, extraction, 0.0, kept)


def _with_frames(
    backbone: PlannedBackbone, cells: list[PlannedCell], config: GridConfig
) -> PlannedBackbone:
    """The backbone with the frames that its cells need, and how much sound is yet to pass."""
    if backbone.extraction is None:
        return backbone
    wanted: set[int] = set()
    for planned in cells:
        if planned.state == "todo":
            wanted |= set(_frames_of(planned, config))
    extraction = replace(backbone.extraction, frames=tuple(sorted(wanted)))
    todo = pending(extraction.features(), extraction.sources, extraction.frames)
    return replace(
        backbone, extraction=extraction, pending_seconds=sum(source.seconds for source in todo)
    )


def _frames_of(planned: PlannedCell, config: GridConfig) -> tuple[int, ...]:
    """Layers whose frames a cell reads."""
    if planned.wants == "vectors" or (planned.wants == "backbone" and not config.fine_tune.cache):
        return ()
    if planned.recipe is None:
        accelerated = planned.wants == "backbone" and config.accelerator
        return (STEM, *planned.layers) if accelerated else planned.layers
    if planned.wants == "frames":
        return planned.layers if planned.recipe.layer == "weighted" else (planned.recipe.layer,)
    return (layers.input_of(planned.recipe),)


def _plan_cell(
    cell: Cell,
    planned: PlannedTask,
    backbone: PlannedBackbone,
    config: GridConfig,
    preset: Preset | None,
) -> PlannedCell:
    if cell.protocol in planned.unfit:
        return PlannedCell(cell, "skipped", reason=planned.unfit[cell.protocol])
    unfit = pairs.skip(backbone.info, cell.pooling, cell.head)
    if unfit is not None:
        return PlannedCell(cell, "skipped", reason=unfit)
    if backbone.weights is None or backbone.extraction is None:
        return PlannedCell(cell, "skipped", reason=backbone.reason)
    wants = pairs.wants(cell.pooling, cell.head)
    if wants == "frames" and not backbone.kept:
        reason = (
            f"the frames of a single layer of {backbone.info.name} take more disk than frames_gb "
            f"allows ({config.frames_gb:g}): raise it in grid.toml"
        )
        return PlannedCell(cell, "skipped", reason=reason)
    made = PlannedCell(
        cell,
        "todo",
        wants=wants,
        trials=_trials(wants, planned.task.sample, config, preset),
        layers=backbone.kept,
        recipe=_recipe(preset, backbone.info.layers_of(backbone.weights.size)),
    )
    mark = fingerprint(made, planned, backbone.extraction.features().key, config)
    done = _is_done(config.results, made, mark)
    return replace(made, state="done" if done else "todo", fingerprint=mark)


def _trials(wants: str, sample: bool, config: GridConfig, preset: Preset | None) -> int:
    if preset is not None:
        return 1
    if sample:
        return config.sample.trials if wants == "vectors" else config.sample.trainings
    return config.fine_tune.trials if wants == "backbone" else config.trials


def _recipe(preset: Preset | None, count: int) -> Draw | None:
    return Draw(count - 1, dict(preset.params)) if preset is not None else None


def _is_done(results: Path, planned: PlannedCell, mark: str) -> bool:
    path = records.record_path(results, planned.cell)
    stored = records.read(path) if path.exists() else None
    return (
        stored is not None
        and stored.status == "ok"
        and stored.provenance.fingerprint == mark
        and stored.trials >= planned.trials
        and records.predictions_path(results, planned.cell).exists()
    )


def fingerprint(
    made: PlannedCell, planned: PlannedTask, feature_key: str, config: GridConfig
) -> str:
    """Digest of everything but the number of trials that decides a cell's scores."""
    cell = made.cell
    split = planned.splits[cell.protocol]
    decides = {
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
        "head_version": HEADS.fitted_on(cell.head, made.wants).info.version,
        "seed": config.seed,
        "cell": str(cell),
        "tuning": TUNING_VERSION,
    }
    if made.wants != "vectors":
        decides["layers"] = list(made.layers)
        decides["crop_seconds"] = config.fine_tune.crop_seconds
    if made.wants == "backbone":
        decides["augmentation"] = Augmentation().settings() if config.fine_tune.augment else None
        decides["cache"] = config.fine_tune.cache
        decides["accelerator"] = config.accelerator
    if made.recipe is not None:
        decides["recipe"] = {"layer": made.recipe.layer, "params": made.recipe.params}
    return digest(decides)
