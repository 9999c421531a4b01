"""Outcomes → records and predictions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from operator import attrgetter, truediv
from typing import Any

import numpy as np
import pandas as pd

from bench import machine, tasks
from bench.config import presets
from bench.config.grid import Cell
from bench.config.presets import Preset
from bench.config.spec import RunSpec
from bench.errors import raised
from bench.features.store import FeatureSet, ShardTiming
from bench.planning.plan import (
    BackbonePlan,
    FoldedTask,
    PlannedBackbone,
    Ready,
    ReadyBackbone,
    Skipped,
    SkippedBackbone,
)
from bench.plugins import HEADS
from bench.printable import printable
from bench.protocols import table as protocols
from bench.protocols.fold import Fold
from bench.records.schema import (
    EpochRecord,
    ExcludedRecord,
    Folding,
    FoldRecord,
    MemoryRecord,
    Provenance,
    PublishedSystem,
    Record,
    SeedRecord,
    Throughput,
    TrainingRecord,
    TrialCounts,
    TriedRecord,
    WeightsRecord,
    predicted_by,
)
from bench.scoring import macro_f1, mean_scores, over_seeds, score
from bench.tuning.cell import CellOutcome
from bench.tuning.fits.augment import Augmentation
from bench.tuning.outcomes import FoldOutcome


@dataclass(frozen=True)
class Finished:
    """What is stored of a cell that ran: its record, and predictions as parquet.

    `inner` are those of inner folds, None where it was tuned on one validation part.
    """

    record: Record
    predictions: bytes
    inner: bytes | None


def skipped_record(cell: Skipped, row: BackbonePlan, spec: RunSpec) -> Record:
    """The record of a cell that cannot run, with its reason."""
    known = {"status": "skipped", "reason": cell.reason, "trials": 1}
    return _record(cell.cell, row, spec, **known, provenance=_provenance())


def failed_record(cell: Ready, row: BackbonePlan, spec: RunSpec, error: Exception) -> Record:
    """The record of a cell that failed, with its error."""
    return _record(
        cell.cell,
        row,
        spec,
        status="failed",
        reason=printable(raised(error)),
        trials=cell.job.trials,
        provenance=_provenance(fingerprint=cell.fingerprint),
    )


def finished_record(
    cell: Ready,
    row: BackbonePlan,
    spec: RunSpec,
    outcome: CellOutcome,
    features: Sequence[FeatureSet],
    *,
    cache_hit: bool,
) -> Finished:
    """The record of a cell that ran, and its predictions.

    The timings of the feature sets that it read, one of each backbone, become the record's
    throughput; `cache_hit` says whether no clip went through a backbone for it.
    """
    backbone = row.backbone
    assert not isinstance(backbone, SkippedBackbone)
    labels = row.folded.task.labels
    predictions = _predictions(cell, row.folded, outcome)
    names = ["label", *(predicted_by(seed) for seed in range(1 + len(outcome.folds[0].again)))]
    truth, *predicted = (pd.Index(labels).get_indexer(pd.Index(predictions[n])) for n in names)
    fold_of = predictions["fold"].to_numpy()
    own = [fold_of == fold.index for fold in cell.job.folds]
    repeats = protocols.find(cell.cell.protocol).repeats
    parts = own if repeats else [np.ones(len(truth), dtype=bool)]
    seeds = [
        mean_scores([score(truth[its], said[its], labels) for its in parts]) for said in predicted
    ]
    clips = [c.pcm_sha256 for c in row.folded.clips]
    timings = [_of_last_conditions(each.timings(clips)) for each in features]
    record = _record(
        cell.cell,
        row,
        spec,
        status="ok",
        trials=cell.job.trials,
        parameters=sum(own[-1].parameters for own in timings),
        layers=outcome.layers if isinstance(backbone, ReadyBackbone) else None,
        scores=over_seeds(seeds),
        seeds=[SeedRecord(accuracy=own.accuracy, macro_f1=own.macro_f1) for own in seeds]
        if len(seeds) > 1
        else [],
        folds=[
            _fold(cell, fold, result, truth[its], predicted[0][its])
            for fold, result, its in zip(cell.job.folds, outcome.folds, own, strict=True)
        ],
        throughput=_throughput(timings, outcome, spec),
        training=_training(cell, outcome, spec),
        memory=_memory(timings),
        provenance=_provenance(
            fingerprint=cell.fingerprint, feature_key=backbone.feature_key, cache_hit=cache_hit
        ),
    )
    return Finished(record, _parquet(predictions), _inner(cell, row.folded, outcome))


def _of_last_conditions(timings: list[ShardTiming]) -> list[ShardTiming]:
    """Those under the conditions of the last shard: speeds of two machines do not mix."""
    conditions = attrgetter("hardware", "threads", "batch")
    return [timing for timing in timings if conditions(timing) == conditions(timings[-1])]


def _memory(timings: Sequence[Sequence[ShardTiming]]) -> MemoryRecord:
    """Of the backbone that takes most: those of a fusion run one after the other."""
    largest = max(chain(*timings), key=attrgetter("peak_rss_mb"))
    loaded = largest.loaded_rss_mb
    return MemoryRecord(
        peak_rss_mb=round(largest.peak_rss_mb, 1),
        loaded_rss_mb=None if loaded is None else round(loaded, 1),
    )


def _record(cell: Cell, row: BackbonePlan, spec: RunSpec, **more: object) -> Record:
    """A record of what the plan knows, and more."""
    folded = row.folded
    split = folded.splits.get(cell.protocol)  # None where the protocol does not fit
    excluded = (*folded.excluded, *(split.excluded if split else ()))
    left_out = sorted({(e.clip, e.reason) for e in excluded})
    known = {
        **asdict(cell),
        "sample": folded.task.sample,
        "group": tasks.find(cell.task).group,
        "own": _own(cell.task, spec),
        "folding": _folding(cell.protocol, folded),
        "published": _published(presets.find(cell.preset)) if cell.preset else None,
        "seed": spec.seed,
        "labels": list(folded.task.labels),
        "clips": len(folded.clips),
        "data": folded.data if cell.task in spec.data else None,
        "weights": _weights(row.backbone, cell),
        "differs": "; ".join(filter(None, (i.differs for i in row.backbone.infos))) or None,
        "notes": [*folded.notes, *(split.notes if split else ())],
        "excluded": [ExcludedRecord(clip=clip, reason=reason) for clip, reason in left_out],
    }
    return Record.model_validate(known | more)


def _own(task: str, spec: RunSpec) -> list[str] | None:
    """The arguments that name one's own data, its name included."""
    if task not in spec.data:
        return None
    return [*spec.data[task].arguments, "--name", task]


def _folding(name: str, folded: FoldedTask) -> Folding:
    protocol = protocols.find(name)
    split = folded.splits.get(name)
    return Folding(
        summary=protocol.summary,
        grouped=protocol.grouped,
        leaks=split.leaks([c.clip for c in folded.clips]) if split else not protocol.grouped,
        subset=protocol.draws,
        repeats=protocol.repeats,
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


def _weights(backbone: PlannedBackbone, cell: Cell) -> WeightsRecord:
    if isinstance(backbone, SkippedBackbone):
        kind = "random-init" if cell.control else "pretrained"
        if not backbone.info.needs_weights:
            kind = "none"
        return WeightsRecord.model_validate(
            {"id": backbone.info.weights_id, "sha": None, "kind": kind}
        )
    weights = backbone.weights
    return WeightsRecord(
        id=weights.id,
        commit=weights.commit,
        sha=weights.sha,
        kind=weights.kind,
        size=weights.size,
        seed=weights.seed if weights.kind == "random-init" else None,
    )


def _provenance(**more: Any) -> Provenance:
    return Provenance(
        git_sha=machine.git_sha(),
        packages=machine.package_versions(),
        utc=machine.utc_now(),
        **{"cache_hit": None, "feature_key": None, "fingerprint": None, **more},
    )


def _predictions(cell: Ready, folded: FoldedTask, outcome: CellOutcome) -> pd.DataFrame:
    """Probabilities of every tested clip, fold by fold, and what further seeds predict."""
    labels = np.array(folded.task.labels)
    frames = []
    for fold, result in zip(cell.job.folds, outcome.folds, strict=True):
        frame = _frame(folded, fold, fold.test, result.tested.probabilities)
        for seed, probabilities in enumerate(result.again, start=1):
            frame[predicted_by(seed)] = labels[probabilities.argmax(axis=1)]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _inner(cell: Ready, folded: FoldedTask, outcome: CellOutcome) -> bytes | None:
    """What the chosen settings said of the clips of inner folds, by outer fold, as parquet."""
    frames = [
        _frame(folded, fold, result.inner.clips, result.inner.probabilities)
        for fold, result in zip(cell.job.folds, outcome.folds, strict=True)
        if result.inner is not None
    ]
    return _parquet(pd.concat(frames, ignore_index=True)) if frames else None


def _frame(
    folded: FoldedTask, fold: Fold, positions: np.ndarray, probabilities: np.ndarray
) -> pd.DataFrame:
    """Clips (n,) of an outer fold with their probabilities (n, classes)."""
    labels = np.array(folded.task.labels)
    clips = [folded.clips[i].clip for i in positions]
    frame = pd.DataFrame(
        {
            "clip": [clip.id for clip in clips],
            "group": [clip.group for clip in clips],
            "fold": fold.index,
            "label": [clip.label for clip in clips],
            "predicted": labels[probabilities.argmax(axis=1)],
        }
    )
    frame[[f"p_{label}" for label in labels]] = probabilities.astype(np.float32)
    return frame


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, write_page_checksum=True)
    return buffer.getvalue()


def _fold(
    cell: Ready, fold: Fold, result: FoldOutcome, truth: np.ndarray, predicted: np.ndarray
) -> FoldRecord:
    """What a fold gave; `truth` and `predicted` are class indices of its test clips."""
    validated = result.validated
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
        layer=list(result.layer) if isinstance(result.layer, tuple) else result.layer,
        trained=head.trains(result.best_params, cell.cell.pooling, cut),
        val_accuracy=validated.accuracy,
        val_macro_f1=validated.macro_f1,
        test_accuracy=float(np.mean(truth == predicted)),
        test_macro_f1=macro_f1(truth, predicted),
        trials=TrialCounts.model_validate(result.states),
        trial_errors=result.errors,
        best_epoch=validated.best_epoch,
        curve=[
            EpochRecord(**{key: getattr(epoch, key) for key in EpochRecord.model_fields})
            for epoch in validated.curve
        ],
        notes=result.notes,
        tried=TriedRecord(**asdict(result.tried)) if result.tried else None,
    )


def _as_json(value: Any) -> float | int | str | bool | None:
    """A parameter value as JSON can hold it."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _training(cell: Ready, outcome: CellOutcome, spec: RunSpec) -> TrainingRecord | None:
    """How a head that reads frames or trains the backbone was trained."""
    if cell.reads == "vectors":
        return None
    settings = spec.fine_tune
    augments = cell.reads == "backbone" and settings.augment
    live = {fold.validated.live for fold in outcome.folds}
    return TrainingRecord(
        reads=cell.reads,
        device=cell.job.device,
        precision=sorted({f.validated.precision for f in outcome.folds if f.validated.precision}),
        # augmented clips pass the frozen part in every epoch, the others are read from the cache
        frozen_part="both" if augments or len(live) > 1 else "live" if live == {True} else "cached",
        augmentation=Augmentation().settings() if augments else None,
        crop_seconds=settings.crop_seconds,
    )


def _throughput(
    timings: Sequence[Sequence[ShardTiming]], outcome: CellOutcome, spec: RunSpec
) -> Throughput:
    """Of all backbones one after the other; of each, what one second of audio takes."""
    audio = [sum(t.audio_seconds for t in own) for own in timings]
    encoding = [sum(t.encode_seconds for t in own) for own in timings]
    total = [sum(t.total_seconds for t in own) for own in timings]
    last = [own[-1] for own in timings]
    speeds = [fold.tested.clips_per_s for fold in outcome.folds]
    return Throughput(
        # none is so slow that its speed is 0, which nothing could be divided by
        backbone_rtfx=max(0.001, round(1 / sum(map(truediv, encoding, audio)), 3)),
        end_to_end_rtfx=max(0.001, round(1 / sum(map(truediv, total, audio)), 3)),
        audio_seconds=round(min(audio), 3),
        batch=max(t.batch for t in last),
        dtype=spec.dtype,
        threads=max(t.threads for t in last),
        hardware=" + ".join(dict.fromkeys(t.hardware for t in last)),
        predict_clips_per_s=round(float(np.median(speeds)), 1),
        tuning_hardware=outcome.hardware,
        tuning_threads=outcome.threads,
        tuning_seconds=round(outcome.seconds, 1),
    )
