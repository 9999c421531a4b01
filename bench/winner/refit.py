"""A finished row, fitted again on all clips with settings chosen by inner folds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bench import machine
from bench.audio import recordings
from bench.config.own import OwnData
from bench.config.spec import RunSpec
from bench.errors import UserError, VoxgridError
from bench.executors.local import LocalExecutor
from bench.features.extract import ExtractJob
from bench.planning.make import STUDIES, make_plan
from bench.planning.plan import BackbonePlan, FoldedTask, Ready, ReadyBackbone, ReadyFusion
from bench.plugins import HEADS
from bench.progress import Reporter
from bench.protocols import inner as inner_folds
from bench.protocols.fold import Fold
from bench.protocols.own import together
from bench.records.schema import Record
from bench.report.calibration import temperature
from bench.tuning.fits.base import Draw, Indices, Labels, Layer, Watch
from bench.tuning.fits.vectors import FittedVectors, VectorFit
from bench.tuning.inner import choose
from bench.tuning.search import Search
from bench.tuning.storage import JournalStudies
from bench.winner.folder import Arrays, Config, Encoder, Part


@dataclass(frozen=True)
class Refitted:
    """What a winner's folder holds, but for its card."""

    config: Config
    arrays: Arrays


def refit(
    record: Record, spec: RunSpec, reporter: Reporter, *, without_fold: int | None = None
) -> Refitted:
    """Fit a row's head on all clips; or on those that an outer fold does not test.

    For all clips settings are searched anew, by the row's own search, with the test parts of the
    outer folds as inner folds. Without a fold they are those that the row chose for it, so that
    what is fitted is what the benchmark tested.

    Args:
        record: a finished row of a head on vectors.
        spec: the run's settings.
        without_fold: index of the outer fold that is left out.

    Raises:
        UserError: the row cannot be made again here as it was made.
        VoxgridError: an extraction or a fit failed.
    """
    if record.training is not None:
        raise UserError(
            f"{record.cell} trains on frames or trains its backbone, and such rows cannot be put "
            "to use yet: take a row of a head on vectors"
        )
    if without_fold is not None and not 0 <= without_fold < len(record.folds):
        raise UserError(f"{record.cell} has folds 0 to {len(record.folds) - 1}; name one of them")
    row, ready = _planned(record, spec, reporter)
    _extract(row, reporter)
    labels = Labels(np.array(ready.job.classes, dtype=np.int64), ready.job.n_classes)
    threads = machine.usable_cores()
    fit = ready.job.fits.open(ready.cell, labels, threads)
    assert isinstance(fit, VectorFit)
    with threadpool_limits(threads):
        if without_fold is not None:
            fold = ready.job.folds[without_fold]
            draw, scaled = _drawn(record, without_fold), 1.0
            clips = np.concatenate([fold.train, fold.validation])
            seed = ready.cell.seed(spec.seed, fold.index, "fit")
        else:
            draw, scaled = _chosen(fit, labels, ready, row.folded, spec)
            clips, seed = np.arange(len(labels.classes)), ready.cell.seed(spec.seed, "winner")
        with tempfile.TemporaryDirectory() as unused:
            fitted = fit.fit(draw, clips, seed, Watch(Path(unused)))
    assert isinstance(fitted, FittedVectors)
    return _made(record, row, draw, clips, fitted, spec, scaled, without_fold)


def _planned(record: Record, spec: RunSpec, reporter: Reporter) -> tuple[BackbonePlan, Ready]:
    """The plan of the row alone, which is the row's own where its fingerprint is."""
    cell = record.cell
    own = OwnData.of(record.own) if record.own else None
    with tempfile.TemporaryDirectory() as empty:  # where no record stands in the way
        alone = spec.altered(
            tasks=(cell.task,),
            protocols=(cell.protocol,),
            backbones=(cell.backbone,),
            poolings=(cell.pooling,),
            heads=(cell.head,),
            control=cell.control,
            seed=record.seed,
            data={cell.task: own} if own else spec.data,
            results=Path(empty),
            named=("tasks", "protocols", "backbones", "poolings", "heads"),
            **({"trials": record.trials} if not _tries_all(record) else {}),
        )
        plan = make_plan(alone, reporter, download=spec.download)
    for row in plan.rows():
        for planned in row.cells:
            if planned.cell != cell:
                continue
            if not isinstance(planned, Ready):
                raise UserError(f"{cell} cannot run here: {getattr(planned, 'reason', '')}")
            if planned.fingerprint != record.provenance.fingerprint:
                raise UserError(
                    f"{cell} would not be here what its record was made of (other clips, weights, "
                    "versions or settings): run it again with `voxgrid run … --replace`, then train"
                )
            return row, planned
    raise UserError(f"{cell} is no cell of this voxgrid: run it again, then train")


def _tries_all(record: Record) -> bool:
    return any(f.tried is not None and f.tried.how in ("every", "best") for f in record.folds)


def _extract(row: BackbonePlan, reporter: Reporter) -> None:
    """Fill the feature sets that the row reads."""
    assert isinstance(row.backbone, ReadyBackbone | ReadyFusion)
    for encoder in row.backbone.encoders:
        if not encoder.pending_seconds:
            continue
        reporter.say(f"extract {encoder.name}: {encoder.pending_seconds:.0f} s of audio")
        (done,) = LocalExecutor(None).run([ExtractJob(encoder.extraction)], workers=1)
        if isinstance(done.outcome, Exception):
            raise VoxgridError(f"extract {encoder.name}: {done.outcome}") from done.outcome


def _drawn(record: Record, index: int) -> Draw:
    """What a fold's best setting was."""
    fold = record.folds[index]
    layer: Layer = tuple(fold.layer) if isinstance(fold.layer, list) else fold.layer
    params = {k: v for k, v in fold.best_params.items() if not _is_layer(k)}
    return Draw(layer, params)


def _is_layer(name: str) -> bool:
    return name == "layer" or name.removeprefix("layer_").isdecimal()


def _chosen(
    fit: VectorFit, labels: Labels, ready: Ready, folded: FoldedTask, spec: RunSpec
) -> tuple[Draw, float]:
    """The setting for all clips, and the temperature of what it said of inner folds."""
    every = np.arange(len(labels.classes))
    fold = Fold(0, every[1:], every[:1], every[:1], ())
    split = folded.splits[ready.cell.protocol]
    tests = [own.test for own in ready.job.folds]
    if np.array_equal(np.sort(np.concatenate(tests)), every) and len(tests) > 1:
        parts = tuple(tests)
    else:
        clips = [scanned.clip for scanned in folded.clips]
        heard = recordings.by_samples(folded.clips)
        sides = heard if split.leaks(clips) else together(clips, heard)
        parts = inner_folds.dealt(fold, clips, sides)
    fold = Fold(0, every[1:], every[:1], every[:1], (), parts)
    # beside the run's own, so that a search that was killed goes on
    studies, name = JournalStudies(spec.results / STUDIES), f"{ready.job.name}.winner"
    search = Search(
        trials=ready.job.trials,
        seed_for=partial(ready.cell.seed, spec.seed, "winner"),
        folder=studies.folder(name),
    )
    draw, said = choose(fit, labels, fold, search)
    studies.discard(name)
    return draw, temperature(said.probabilities, labels.classes[said.clips])


def _made(
    record: Record,
    row: BackbonePlan,
    draw: Draw,
    clips: Indices,
    fitted: FittedVectors,
    spec: RunSpec,
    scaled: float,
    without_fold: int | None,
) -> Refitted:
    backbone = row.backbone
    assert isinstance(backbone, ReadyBackbone | ReadyFusion)
    scaler, head = fitted.model[0], fitted.model[-1]
    arrays: Mapping[str, Any] = {
        "classes": head.classes_,
        "mean": scaler.mean_,
        "scale": scaler.scale_,
        **{f"head.{name}": own for name, own in head.state().items()},
    }
    scores = {name: getattr(record.scored, name) for name in ("macro_f1", "accuracy", "uar")}
    config = Config(
        voxgrid=record.provenance.packages.get("voxgrid", "unknown"),
        task=record.task,
        protocol=record.protocol,
        group=record.group,
        leaks=record.folding.leaks,
        labels=tuple(record.labels),
        backbone=record.backbone,
        pooling=record.pooling,
        head=record.head,
        head_version=HEADS.reading(record.head, "vectors").version,
        params=dict(draw.params),
        encoders=tuple(map(_encoder, backbone.encoders)),
        parts=_parts(backbone, draw.layer, record.pooling),
        features=int(head.n_features_in_),
        temperature=scaled,
        clips=tuple(sorted({row.folded.clips[i].pcm_sha256 for i in clips.tolist()})),
        without_fold=without_fold,
        seed=record.seed,
        scores=scores,
        fingerprint=str(record.provenance.fingerprint),
        packages=machine.package_versions(),
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    return Refitted(config, arrays)


def _encoder(ready: ReadyBackbone) -> Encoder:
    weights = ready.weights
    return Encoder(
        backbone=ready.name,
        weights_id=weights.id,
        weights_kind=weights.kind,
        weights_sha256=weights.sha,
        weights_size=weights.size,
        weights_seed=weights.seed,
        dtype=ready.dtype,
        licence=ready.info.licence,
        feature_key=ready.feature_key,
    )


def _parts(backbone: ReadyBackbone | ReadyFusion, layer: Layer, pooling: str) -> tuple[Part, ...]:
    """What is joined, one part of a backbone by itself."""
    if isinstance(backbone, ReadyBackbone):
        assert isinstance(layer, int)
        return (Part(backbone=backbone.name, layer=layer, pooling=pooling),)
    assert isinstance(layer, tuple)
    per_clip = {encoder.name for encoder in backbone.encoders if encoder.info.per_clip}
    return tuple(
        Part(
            backbone=part.backbone,
            layer=own,
            pooling="mean" if part.backbone in per_clip else pooling,
        )
        for part, own in zip(backbone.fusion.parts, layer, strict=True)
    )
