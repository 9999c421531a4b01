"""Outcomes → records and predictions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench import machine as measure
from bench import tasks
from bench.config import presets
from bench.config.grid import Cell
from bench.config.presets import Preset
from bench.config.spec import GridConfig
from bench.features.store import FeatureSet, ShardTiming
from bench.planning.plan import PlannedBackbone, PlannedCell, TaskPlan
from bench.protocols import makers as protocols
from bench.records.schema import (
    EpochRecord,
    Excluded,
    Folding,
    FoldRecord,
    Memory,
    Provenance,
    PublishedSystem,
    Record,
    Throughput,
    TrainingRecord,
    TrialCounts,
    WeightsRecord,
)
from bench.scoring import Scores, macro_f1, score
from bench.tuning.cell import CellOutcome
from bench.tuning.fits.augment import Augmentation
from heads import registry as heads
from heads.sequences import Epoch


def unfinished(
    planned: PlannedCell, plan: TaskPlan, config: GridConfig, status: str, reason: str
) -> Record:
    """The record of a cell that was skipped or failed, with its reason."""
    return Record.model_validate(
        {
            **_common(planned, plan, config),
            "status": status,
            "reason": reason,
            "provenance": _provenance(planned, None, None),
        }
    )


def finished(
    planned: PlannedCell,
    plan: TaskPlan,
    config: GridConfig,
    outcome: CellOutcome,
    features: FeatureSet,
    *,
    cache_hit: bool,
) -> tuple[Record, bytes]:
    """The record of a cell that ran, and its predictions as parquet.

    Args:
        planned: the cell.
        plan: its task's plan.
        config: of the run.
        outcome: what the worker returned.
        features: the feature set it read; its timings become the record's throughput.
        cache_hit: whether no clip went through the backbone for it.
    """
    predictions = _predictions(planned.cell, plan, outcome)
    labels = plan.planned.task.labels
    index = {label: position for position, label in enumerate(labels)}
    truth = np.array([index[label] for label in predictions["label"]], dtype=np.int64)
    predicted = np.array([index[label] for label in predictions["predicted"]], dtype=np.int64)
    fold_of = predictions["fold"].to_numpy()
    timings = _comparable(features.timings([c.pcm_sha256 for c in plan.planned.clips]))
    record = Record.model_validate(
        {
            **_common(planned, plan, config),
            "status": "ok",
            "parameters": timings[-1].parameters,
            "layers": outcome.layers,
            "scores": score(truth, predicted, labels),
            "folds": [
                _fold(planned, plan, position, outcome, truth, predicted, fold_of)
                for position in range(len(outcome.folds))
            ],
            "throughput": _throughput(timings, planned, outcome, config),
            "training": _training(planned, outcome, config),
            "memory": Memory(peak_rss_mb=round(max(t.peak_rss_mb for t in timings), 1)),
            "provenance": _provenance(planned, features.key, cache_hit),
        }
    )
    buffer = io.BytesIO()
    predictions.to_parquet(buffer, index=False)
    return record, buffer.getvalue()


def scores_of(record: Record) -> Scores:
    """The scores of a record of status ok.

    Raises:
        ValueError: it has none.
    """
    if record.scores is None:
        raise ValueError(f"{record.cell} has no scores: {record.reason}")
    return record.scores


def _common(planned: PlannedCell, plan: TaskPlan, config: GridConfig) -> dict[str, object]:
    cell = planned.cell
    split = plan.planned.splits.get(cell.protocol)  # None where the protocol does not fit
    excluded = (*plan.planned.excluded, *(split.excluded if split else ()))
    left_out = sorted({(e.clip, e.reason) for e in excluded})
    backbone = plan.backbones[cell.backbone]
    return {
        "task": cell.task,
        "sample": plan.planned.task.sample,
        "group": tasks.find(cell.task).group,
        "protocol": cell.protocol,
        "folding": _folding(cell.protocol, plan),
        "backbone": cell.backbone,
        "pooling": cell.pooling,
        "head": cell.head,
        "control": cell.control,
        "preset": cell.preset,
        "published": _published(presets.find(cell.preset)) if cell.preset else None,
        "seed": config.seed,
        "trials": planned.trials,
        "labels": list(plan.planned.task.labels),
        "clips": len(plan.planned.clips),
        "weights": _weights(backbone, cell),
        "notes": [*plan.planned.notes, *(split.notes if split else ())],
        "excluded": [Excluded(clip=clip, reason=reason) for clip, reason in left_out],
    }


def _folding(name: str, plan: TaskPlan) -> Folding:
    protocol = protocols.find(name)
    split = plan.planned.splits.get(name)
    return Folding(
        summary=protocol.summary,
        grouped=protocol.grouped,
        leaks=split.leaks([c.clip for c in plan.planned.clips]) if split else not protocol.grouped,
        subset=protocol.draws,
    )


def _published(preset: Preset) -> PublishedSystem:
    own = preset.published
    figures = {
        "accuracy": own.accuracy,
        "macro_f1": own.macro_f1,
        "precision": own.precision,
        "recall": own.recall,
    }
    return PublishedSystem.model_validate(
        {
            "summary": preset.summary,
            "task": preset.task,
            "backbone": preset.backbone,
            "protocols": list(preset.protocols),
            "poolings": list(preset.poolings),
            "measured_on": own.measured_on,
            "figures": {name: value.percent for name, value in figures.items() if value},
            "undocumented": list(preset.undocumented),
            "differs": list(preset.differs),
        }
    )


def _weights(backbone: PlannedBackbone, cell: Cell) -> WeightsRecord:
    weights = backbone.weights
    if weights is None:
        kind = "random-init" if cell.control else "pretrained"
        if not backbone.info.needs_weights:
            kind = "none"
        return WeightsRecord.model_validate(
            {"id": backbone.info.weights_id, "sha": None, "kind": kind}
        )
    return WeightsRecord(
        id=weights.id,
        sha=weights.sha,
        kind=weights.kind,
        size=weights.size,
        seed=weights.seed if weights.kind == "random-init" else None,
    )


def _provenance(
    planned: PlannedCell, feature_key: str | None, cache_hit: bool | None
) -> Provenance:
    return Provenance(
        git_sha=measure.git_sha(),
        packages=measure.package_versions(),
        utc=measure.utc_now(),
        cache_hit=cache_hit,
        feature_key=feature_key,
        fingerprint=planned.fingerprint,
    )


def _predictions(cell: Cell, plan: TaskPlan, outcome: CellOutcome) -> pd.DataFrame:
    clips = plan.planned.clips
    labels = np.array(plan.planned.task.labels)
    frames = []
    for fold, result in zip(plan.planned.splits[cell.protocol].folds, outcome.folds, strict=True):
        frame = pd.DataFrame(
            {
                "clip": [clips[i].clip.id for i in fold.test],
                "group": [clips[i].clip.group for i in fold.test],
                "fold": fold.index,
                "label": [clips[i].clip.label for i in fold.test],
                "predicted": labels[result.tested.probabilities.argmax(axis=1)],
            }
        )
        probabilities = result.tested.probabilities.astype(np.float32)
        for column, label in enumerate(labels):
            frame[f"p_{label}"] = probabilities[:, column]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _fold(
    planned: PlannedCell,
    plan: TaskPlan,
    position: int,
    outcome: CellOutcome,
    truth: np.ndarray,
    predicted: np.ndarray,
    fold_of: np.ndarray,
) -> FoldRecord:
    cell = planned.cell
    fold = plan.planned.splits[cell.protocol].folds[position]
    result = outcome.folds[position]
    head = heads.get(cell.head, planned.wants)
    cut = result.layer if isinstance(result.layer, int) else None
    own = fold_of == fold.index
    classes = len(plan.planned.task.labels)
    return FoldRecord(
        test_groups=list(fold.test_groups),
        clips={
            "train": len(fold.train),
            "validation": len(fold.validation),
            "test": len(fold.test),
        },
        best_params={key: _as_json(value) for key, value in result.best_params.items()},
        layer=result.layer,
        trained=head.trains(result.best_params, cell.pooling, cut),
        val_accuracy=result.validated.accuracy,
        val_macro_f1=result.validated.macro_f1,
        test_accuracy=float(np.mean(truth[own] == predicted[own])),
        test_macro_f1=macro_f1(truth[own], predicted[own], classes),
        trials=TrialCounts.model_validate(result.states),
        trial_errors=result.errors,
        best_epoch=result.validated.best_epoch,
        curve=[_epoch(epoch) for epoch in result.validated.curve],
        notes=result.notes,
    )


def _as_json(value: Any) -> float | int | str | bool | None:
    """A parameter value as JSON can hold it."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _epoch(epoch: Epoch) -> EpochRecord:
    return EpochRecord(
        train_loss=epoch.train_loss,
        validation_loss=epoch.validation_loss,
        validation_accuracy=epoch.validation_accuracy,
        validation_macro_f1=epoch.validation_macro_f1,
    )


def _training(
    planned: PlannedCell, outcome: CellOutcome, config: GridConfig
) -> TrainingRecord | None:
    """How a head that reads frames or trains the backbone was trained."""
    if planned.wants == "vectors":
        return None
    settings = config.fine_tune
    augments = planned.wants == "backbone" and settings.augment
    live = {fold.validated.live for fold in outcome.folds}
    return TrainingRecord(
        reads=planned.wants,
        device=_tuning_device(planned, config),
        precision=sorted({f.validated.precision for f in outcome.folds if f.validated.precision}),
        # augmented clips pass the frozen part in every epoch, the others are read from the cache
        frozen_part="both" if augments or len(live) > 1 else "live" if live == {True} else "cached",
        augmentation=Augmentation().settings() if augments else None,
        crop_seconds=settings.crop_seconds,
    )


def _tuning_device(planned: PlannedCell, config: GridConfig) -> str:
    """Where trials and refits run: heads on vectors and frames leave the accelerator alone."""
    return config.device if planned.wants == "backbone" else "cpu"


def _comparable(timings: Sequence[ShardTiming]) -> list[ShardTiming]:
    """Timings under the conditions of the last shard: speeds of two machines do not mix."""
    last = timings[-1]
    return [
        t
        for t in timings
        if (t.hardware, t.threads, t.batch) == (last.hardware, last.threads, last.batch)
    ]


def _throughput(
    timings: Sequence[ShardTiming],
    planned: PlannedCell,
    outcome: CellOutcome,
    config: GridConfig,
) -> Throughput:
    audio = sum(t.audio_seconds for t in timings)
    speeds = [fold.tested.clips_per_s for fold in outcome.folds]
    return Throughput(
        backbone_rtfx=round(audio / sum(t.encode_seconds for t in timings), 3),
        end_to_end_rtfx=round(audio / sum(t.total_seconds for t in timings), 3),
        audio_seconds=round(audio, 3),
        batch=timings[-1].batch,
        dtype=config.dtype,
        threads=timings[-1].threads,
        hardware=timings[-1].hardware,
        predict_clips_per_s=round(float(np.median(speeds)), 1),
        tuning_hardware=measure.hardware(_tuning_device(planned, config)),
        tuning_threads=outcome.threads,
        tuning_seconds=round(outcome.seconds, 1),
    )
