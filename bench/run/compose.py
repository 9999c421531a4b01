"""Outcomes → records and predictions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench import machine, tasks
from bench.config import presets
from bench.config.grid import Cell
from bench.config.presets import Preset
from bench.config.spec import RunSpec
from bench.features.store import FeatureSet, ShardTiming
from bench.planning.plan import (
    BackbonePlan,
    FoldedTask,
    Ready,
    ReadyBackbone,
    Skipped,
    SkippedBackbone,
    TaskPlan,
)
from bench.plugins import HEADS
from bench.protocols import table as protocols
from bench.protocols.fold import Fold
from bench.records.benchmarks import Benchmark
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
from bench.tuning.search import FoldOutcome
from heads import Epoch


def skipped(cell: Skipped, task: TaskPlan, row: BackbonePlan, spec: RunSpec) -> Record:
    """The record of a cell that cannot run, with its reason."""
    return Record.model_validate(
        {
            **_common(cell.cell, task, row, spec, trials=1),
            "status": "skipped",
            "reason": cell.reason,
            "provenance": _provenance(),
        }
    )


def failed(
    cell: Ready, task: TaskPlan, row: BackbonePlan, spec: RunSpec, error: Exception
) -> Record:
    """The record of a cell that failed, with its error."""
    return Record.model_validate(
        {
            **_common(cell.cell, task, row, spec, trials=cell.job.trials),
            "status": "failed",
            "reason": f"{type(error).__name__}: {error}",
            "provenance": _provenance(fingerprint=cell.fingerprint),
        }
    )


def finished(
    cell: Ready,
    task: TaskPlan,
    row: BackbonePlan,
    spec: RunSpec,
    outcome: CellOutcome,
    features: FeatureSet,
    *,
    cache_hit: bool,
    benchmarks: Sequence[Benchmark],
) -> tuple[Record, bytes]:
    """The record of a cell that ran, and its predictions as parquet.

    Args:
        cell: with its job.
        task: its task's plan.
        row: its backbone's plan.
        spec: of the run.
        outcome: what the worker returned.
        features: the feature set it read; its timings become the record's throughput.
        cache_hit: whether no clip went through the backbone for it.
        benchmarks: what `tox -e perf` measured of the backbone, on any machine.
    """
    predictions = _predictions(cell, task, outcome)
    labels = task.folded.task.labels
    index = {label: position for position, label in enumerate(labels)}
    truth = np.array([index[label] for label in predictions["label"]], dtype=np.int64)
    predicted = np.array([index[label] for label in predictions["predicted"]], dtype=np.int64)
    fold_of = predictions["fold"].to_numpy()
    timings = _comparable(features.timings([c.pcm_sha256 for c in task.folded.clips]))
    record = Record.model_validate(
        {
            **_common(cell.cell, task, row, spec, trials=cell.job.trials),
            "status": "ok",
            "parameters": timings[-1].parameters,
            "layers": outcome.layers,
            "scores": score(truth, predicted, labels),
            "folds": [
                _fold(
                    cell,
                    fold,
                    result,
                    truth[fold_of == fold.index],
                    predicted[fold_of == fold.index],
                    len(labels),
                )
                for fold, result in zip(cell.job.folds, outcome.folds, strict=True)
            ],
            "throughput": _throughput(timings, cell, outcome, spec, benchmarks),
            "training": _training(cell, outcome, spec),
            "memory": Memory(peak_rss_mb=round(max(t.peak_rss_mb for t in timings), 1)),
            "provenance": _provenance(
                fingerprint=cell.fingerprint,
                feature_key=features.settings.key,
                cache_hit=cache_hit,
            ),
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


def _common(
    cell: Cell, task: TaskPlan, row: BackbonePlan, spec: RunSpec, *, trials: int
) -> dict[str, object]:
    folded = task.folded
    split = folded.splits.get(cell.protocol)  # None where the protocol does not fit
    excluded = (*folded.excluded, *(split.excluded if split else ()))
    left_out = sorted({(e.clip, e.reason) for e in excluded})
    return {
        "task": cell.task,
        "sample": folded.task.sample,
        "group": tasks.find(cell.task).group,
        "protocol": cell.protocol,
        "folding": _folding(cell.protocol, folded),
        "backbone": cell.backbone,
        "pooling": cell.pooling,
        "head": cell.head,
        "control": cell.control,
        "preset": cell.preset,
        "published": _published(presets.find(cell.preset)) if cell.preset else None,
        "seed": spec.seed,
        "trials": trials,
        "labels": list(folded.task.labels),
        "clips": len(folded.clips),
        "weights": _weights(row.backbone, cell),
        "notes": [*folded.notes, *(split.notes if split else ())],
        "excluded": [Excluded(clip=clip, reason=reason) for clip, reason in left_out],
    }


def _folding(name: str, folded: FoldedTask) -> Folding:
    protocol = protocols.find(name)
    split = folded.splits.get(name)
    return Folding(
        summary=protocol.summary,
        grouped=protocol.grouped,
        leaks=split.leaks([c.clip for c in folded.clips]) if split else not protocol.grouped,
        subset=protocol.draws,
    )


def _published(preset: Preset) -> PublishedSystem:
    own = preset.published
    return PublishedSystem(
        summary=preset.summary,
        task=preset.task,
        backbone=preset.backbone,
        protocols=list(preset.protocols),
        poolings=list(preset.poolings),
        measured_on=own.measured_on,
        figures=own.figures,
        undocumented=list(preset.undocumented),
        differs=list(preset.differs),
    )


def _weights(backbone: ReadyBackbone | SkippedBackbone, cell: Cell) -> WeightsRecord:
    if isinstance(backbone, SkippedBackbone):
        kind = "random-init" if cell.control else "pretrained"
        if not backbone.info.needs_weights:
            kind = "none"
        return WeightsRecord.model_validate(
            {"id": backbone.info.weights_id, "sha": None, "kind": kind}
        )
    weights = backbone.extraction.settings.weights
    return WeightsRecord(
        id=weights.id,
        sha=weights.sha,
        kind=weights.kind,
        size=weights.size,
        seed=weights.seed if weights.kind == "random-init" else None,
    )


def _provenance(
    *,
    fingerprint: str | None = None,
    feature_key: str | None = None,
    cache_hit: bool | None = None,
) -> Provenance:
    return Provenance(
        git_sha=machine.git_sha(),
        packages=machine.package_versions(),
        utc=machine.utc_now(),
        cache_hit=cache_hit,
        feature_key=feature_key,
        fingerprint=fingerprint,
    )


def _predictions(cell: Ready, task: TaskPlan, outcome: CellOutcome) -> pd.DataFrame:
    clips = task.folded.clips
    labels = np.array(task.folded.task.labels)
    frames = []
    for fold, result in zip(cell.job.folds, outcome.folds, strict=True):
        probabilities = result.tested.probabilities
        frame = pd.DataFrame(
            {
                "clip": [clips[i].clip.id for i in fold.test],
                "group": [clips[i].clip.group for i in fold.test],
                "fold": fold.index,
                "label": [clips[i].clip.label for i in fold.test],
                "predicted": labels[probabilities.argmax(axis=1)],
            }
        )
        for column, label in enumerate(labels):
            frame[f"p_{label}"] = probabilities.astype(np.float32)[:, column]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _fold(
    cell: Ready,
    fold: Fold,
    result: FoldOutcome,
    truth: np.ndarray,
    predicted: np.ndarray,
    classes: int,
) -> FoldRecord:
    """What a fold gave; `truth` and `predicted` are class indices of its test clips."""
    head = HEADS.reading(cell.cell.head, cell.reads)
    cut = result.layer if isinstance(result.layer, int) else None
    return FoldRecord(
        test_groups=list(fold.test_groups),
        clips={
            "train": len(fold.train),
            "validation": len(fold.validation),
            "test": len(fold.test),
        },
        best_params={key: _as_json(value) for key, value in result.best_params.items()},
        layer=result.layer,
        trained=head.trains(result.best_params, cell.cell.pooling, cut),
        val_accuracy=result.validated.accuracy,
        val_macro_f1=result.validated.macro_f1,
        test_accuracy=float(np.mean(truth == predicted)),
        test_macro_f1=macro_f1(truth, predicted, classes),
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


def _training(cell: Ready, outcome: CellOutcome, spec: RunSpec) -> TrainingRecord | None:
    """How a head that reads frames or trains the backbone was trained."""
    if cell.reads == "vectors":
        return None
    settings = spec.fine_tune
    augments = cell.reads == "backbone" and settings.augment
    live = {fold.validated.live for fold in outcome.folds}
    return TrainingRecord(
        reads=cell.reads,
        device=_tuning_device(cell, spec),
        precision=sorted({f.validated.precision for f in outcome.folds if f.validated.precision}),
        # augmented clips pass the frozen part in every epoch, the others are read from the cache
        frozen_part="both" if augments or len(live) > 1 else "live" if live == {True} else "cached",
        augmentation=Augmentation().settings() if augments else None,
        crop_seconds=settings.crop_seconds,
    )


def _tuning_device(cell: Ready, spec: RunSpec) -> str:
    """Where trials and refits run: heads on vectors and frames leave the accelerator alone."""
    return spec.device if cell.reads == "backbone" else "cpu"


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
    cell: Ready,
    outcome: CellOutcome,
    spec: RunSpec,
    benchmarks: Sequence[Benchmark],
) -> Throughput:
    audio = sum(t.audio_seconds for t in timings)
    speeds = [fold.tested.clips_per_s for fold in outcome.folds]
    return Throughput(
        backbone_rtfx=round(audio / sum(t.encode_seconds for t in timings), 3),
        end_to_end_rtfx=round(audio / sum(t.total_seconds for t in timings), 3),
        audio_seconds=round(audio, 3),
        batch=timings[-1].batch,
        dtype=spec.dtype,
        threads=timings[-1].threads,
        hardware=timings[-1].hardware,
        predict_clips_per_s=round(float(np.median(speeds)), 1),
        tuning_hardware=machine.hardware(_tuning_device(cell, spec)),
        tuning_threads=outcome.threads,
        tuning_seconds=round(outcome.seconds, 1),
        **_benchmarked(timings[-1].hardware, benchmarks),
    )


def with_benchmark(record: Record, benchmarks: Sequence[Benchmark]) -> Record:
    """A finished record with the figures of a later `tox -e perf` on the same hardware."""
    if record.throughput is None:
        return record
    content = record.model_dump()
    content["throughput"] |= _benchmarked(record.throughput.hardware, benchmarks)
    return Record.model_validate(content)


def _benchmarked(hardware: str, benchmarks: Sequence[Benchmark]) -> dict[str, Any]:
    for own in benchmarks:
        if own.hardware == hardware:
            return {
                "benchmark_batch1_rtfx": own.batch1_rtfx,
                "benchmark_best_rtfx": own.best_rtfx,
                "benchmark_best_batch": own.best_batch,
            }
    return {}
