"""A finished row, fitted again on all clips with settings chosen by inner folds."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
from optuna.trial import FixedTrial, Trial
from threadpoolctl import threadpool_limits

from bench import machine
from bench.audio import recordings
from bench.config.own import OwnData
from bench.config.spec import FineTuneSettings, RunSpec
from bench.errors import UserError, VoxgridError
from bench.executors.local import LocalExecutor
from bench.features.extract import ExtractJob
from bench.planning.make import STUDIES, make_plan
from bench.planning.plan import BackbonePlan, FoldedTask, Ready, ReadyBackbone, ReadyFusion
from bench.progress import Reporter
from bench.protocols import inner as inner_folds
from bench.protocols.fold import Fold
from bench.protocols.own import together
from bench.records.schema import Record
from bench.report.calibration import temperature
from bench.tuning.fits.base import Draw, Fit, Fitted, Indices, Labels, Layer, Watch
from bench.tuning.fits.frames import FrameFit
from bench.tuning.fits.stored import frames_within
from bench.tuning.fits.trained import FittedTrained, TrainedFit
from bench.tuning.fits.vectors import FittedVectors, VectorFit
from bench.tuning.inner import choose
from bench.tuning.search import Search
from bench.tuning.storage import JournalStudies
from bench.winner.folder import Arrays, Config, Contents, Encoder, Part
from heads import Epoch


def refit(
    record: Record, spec: RunSpec, reporter: Reporter, *, without_fold: int | None = None
) -> Contents:
    """Fit a row's head on all clips; or on those that an outer fold does not test.

    For all clips settings are searched anew, by the row's own search, with the test parts of the
    outer folds as inner folds. Of a head that is trained they are those of the fold whose
    validation score is highest, since a search of trainings takes as long as the row did. Without a
    fold they are those that the row chose for it, so that what is fitted is what the benchmark
    tested.

    Args:
        record: a finished row.
        spec: the run's settings.
        without_fold: index of the outer fold that is left out.

    Raises:
        UserError: the row cannot be made again here as it was made.
        VoxgridError: an extraction or a fit failed.
    """
    if without_fold is not None and not 0 <= without_fold < len(record.folds):
        raise UserError(f"{record.cell} has folds 0 to {len(record.folds) - 1}; name one of them")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    row, ready = _planned(record, spec, reporter)
    _extract(row, reporter)
    labels = Labels(np.array(ready.job.classes, dtype=np.int64), ready.job.n_classes)
    threads = machine.usable_cores()
    fit = ready.job.fits.open(ready.cell, labels, threads)
    # beside the run's own, so that a search or a training that was killed goes on
    studies, name = JournalStudies(spec.results / STUDIES), f"{ready.job.name}.winner"
    scaled = 1.0
    with threadpool_limits(threads):
        if without_fold is not None:
            fold = ready.job.folds[without_fold]
            draw = _drawn(record, fit, fold)
            clips = np.concatenate([fold.train, fold.validation])
            seed = ready.cell.seed(spec.seed, fold.index, "fit")
        else:
            if isinstance(fit, VectorFit):
                draw, scaled = _chosen(fit, labels, ready, row.folded, spec, studies.folder(name))
            else:
                best = max(record.folds, key=lambda each: each.val_macro_f1)
                draw = _drawn(record, fit, ready.job.folds[record.folds.index(best)])
            clips, seed = np.arange(len(labels.classes)), ready.cell.seed(spec.seed, "winner")
        with _epochs(draw, reporter) as on_epoch:
            watch = Watch(studies.folder(name) / f"{without_fold}", on_epoch=on_epoch)
            fitted = fit.fit(draw, clips, seed, watch)
    studies.discard(name)
    config, arrays = _made(record, row, draw, clips, fit, fitted)
    return Contents(
        config.model_copy(
            update={
                "temperature": scaled,
                "without_fold": without_fold,
                "clips": tuple(sorted({row.folded.clips[i].pcm_sha256 for i in clips.tolist()})),
            }
        ),
        arrays,
    )


@contextmanager
def _epochs(draw: Draw, reporter: Reporter) -> Iterator[Callable[[Epoch], None]]:
    """Shows how many epochs of a training are done; nothing of heads that have none."""
    last = draw.params.get("refit_epochs") or draw.params.get("epochs")
    if not isinstance(last, int):
        yield lambda epoch: None
        return
    with reporter.phase("train (epochs)", last) as phase:
        yield lambda epoch: phase.at(epoch.index + 1, last)


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
            fine_tune=_as_trained(record, spec.fine_tune),
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


def _as_trained(record: Record, settings: FineTuneSettings) -> FineTuneSettings:
    """Settings of trainings, as a row had them."""
    trained = record.training
    if trained is None:
        return settings
    changed: dict[str, Any] = {"poolings": (record.pooling,), "crop_seconds": trained.crop_seconds}
    if trained.reads == "backbone":
        changed["augment"] = trained.augmentation is not None
        if trained.augmentation is None:  # with it the frozen part runs whether it is cached or not
            changed["cache"] = trained.frozen_part == "cached"
    return settings.model_copy(update=changed)


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


def _drawn(record: Record, fit: Fit, own: Fold) -> Draw:
    """What a fold's best setting was, as it was fitted on all clips but the fold's test clips."""
    fold = record.folds[own.index]
    if isinstance(fit, VectorFit):
        layer: Layer = tuple(fold.layer) if isinstance(fold.layer, list) else fold.layer
        return Draw(layer, {k: v for k, v in fold.best_params.items() if not _is_layer(k)})
    # what values mean is asked of the search space anew
    drawn = fit.draw(cast(Trial, FixedTrial(fold.best_params)), len(own.train))
    return fit.refit(drawn, fold.best_epoch)


def _is_layer(name: str) -> bool:
    return name == "layer" or name.removeprefix("layer_").isdecimal()


def _chosen(
    fit: VectorFit, labels: Labels, ready: Ready, folded: FoldedTask, spec: RunSpec, studies: Path
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
    search = Search(
        trials=ready.job.trials,
        seed_for=partial(ready.cell.seed, spec.seed, "winner"),
        folder=studies,
    )
    draw, said = choose(fit, labels, fold, search)
    return draw, temperature(said.probabilities, labels.classes[said.clips])


def _made(
    record: Record, row: BackbonePlan, draw: Draw, clips: Indices, fit: Fit, fitted: Fitted
) -> tuple[Config, Arrays]:
    """Settings, but for what follows from the clips, and arrays."""
    backbone = row.backbone
    assert isinstance(backbone, ReadyBackbone | ReadyFusion)
    if isinstance(fitted, FittedVectors):
        scaler, head = fitted.model[0], fitted.model[-1]
        arrays: dict[str, Any] = {"mean": scaler.mean_, "scale": scaler.scale_}
        parts, most = _parts(backbone, draw.layer, record.pooling), None
    else:
        assert isinstance(fit, TrainedFit)
        assert isinstance(fitted, FittedTrained)
        head, arrays = fitted.head, {}
        layers = fit.mixable if isinstance(fit, FrameFit) else ()
        layers = (draw.layer,) if isinstance(draw.layer, int) else layers
        named = (Part(backbone=record.backbone, layer=at, pooling=record.pooling) for at in layers)
        parts, read = tuple(named), layers[-1]
        if head.reads == "backbone":
            read = head.reads_from(read)
        most = frames_within(fit.job, read, fit.crop_seconds)
    arrays |= {"classes": head.classes_}
    arrays |= {f"head.{name}": own for name, own in head.state().items()}
    scores = {name: getattr(record.scored, name) for name in ("macro_f1", "accuracy", "uar")}
    config = Config(
        **about(record),
        scores=scores,
        backbone=record.backbone,
        pooling=record.pooling,
        head=record.head,
        head_version=head.version,
        reads=head.reads,
        params=dict(draw.params),
        encoders=tuple(map(_encoder, backbone.encoders)),
        parts=parts,
        features=int(head.n_features_in_),
        most_frames=most,
        temperature=1.0,
        clips=(),
        without_fold=None,
        seed=record.seed,
        fingerprint=str(record.provenance.fingerprint),
    )
    return config, arrays


def about(record: Record) -> dict[str, Any]:
    """What a winner of a row has of it, and of where and when it is made."""
    return {
        "voxgrid": record.provenance.packages.get("voxgrid", "unknown"),
        "task": record.task,
        "protocol": record.protocol,
        "group": record.group,
        "leaks": record.folding.leaks,
        "labels": tuple(record.labels),
        "packages": machine.package_versions(),
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


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
