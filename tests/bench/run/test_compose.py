"""Plans and outcomes become records: what could not run, what failed, what finished."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backbones import BackboneInfo
from bench.clips import Exclusion
from bench.config.spec import FineTuneSettings, RunSpec
from bench.features.statistics import LayerStatistics
from bench.features.store import FeatureSet, ShardTiming
from bench.planning.plan import (
    BackbonePlan,
    FoldedTask,
    ReadyBackbone,
    Skipped,
    SkippedBackbone,
)
from bench.protocols.fold import Fold
from bench.records import proof, store
from bench.records.schema import Record
from bench.run import compose
from bench.scoring import macro_f1
from bench.tuning.cell import CellOutcome
from bench.tuning.fits.augment import Augmentation
from bench.tuning.fits.base import Layer
from bench.tuning.outcomes import FoldOutcome, InnerPredictions, Tested, Tried, Validated
from heads import Epoch
from tests.bench.planning.make_plans import INFO, PRETRAINED, make_backbone, make_folded, make_ready

# every clip of the last forty is tested once
FOLDS = tuple(
    Fold(i, np.arange(40), np.arange(40, 60), np.arange(60 + 20 * i, 80 + 20 * i), ("g",))
    for i in range(2)
)
SPEC = RunSpec(seed=7)
TIMING = ShardTiming(3600.0, 100.0, 200.0, 4, 2, "Test CPU", 300_000_000, 1000.04)


@pytest.fixture
def folded(tmp_path: Path) -> FoldedTask:
    made = make_folded(tmp_path, FOLDS)
    split = made.splits["speaker-6fold"]
    own = replace(split, excluded=(Exclusion("bad", "no sound"), Exclusion("worse", "a copy")))
    return replace(made, splits={"speaker-6fold": replace(own, notes=("of the folds",))})


@pytest.fixture
def row(folded: FoldedTask, tmp_path: Path) -> BackbonePlan:
    return BackbonePlan(folded, make_backbone(folded, tmp_path), ())


def probabilities(fold: Fold, right: int) -> np.ndarray:
    """Of class a and b in turn, the first ones right."""
    classes = fold.test % 2
    answers = np.where(np.arange(len(classes)) < right, classes, 1 - classes)
    return np.eye(2)[answers] * 0.8 + 0.1


def outcome_of(*right: int, layer: Layer = 3, live: tuple[bool, ...] = (False,)) -> CellOutcome:
    """Both folds, so many clips of each right."""
    return CellOutcome(
        tuple(
            FoldOutcome(
                best_params={"layer": 3, "C": 0.5, "sizes": (4, 2)},
                layer=layer,
                validated=Validated(
                    0.75,
                    0.7,
                    best_epoch=0,
                    curve=(Epoch(0, 1.0, 0.1, 0.9, 0.75, 0.7),),
                    precision="32-true",
                    live=live[fold.index % len(live)],
                ),
                tested=Tested(probabilities(fold, number), 100.0 * (fold.index + 1)),
                states={"complete": 8, "pruned": 1, "failed": 1},
                errors=["ValueError: no"],
                notes=["the batch was halved"],
                seconds=20.04,
            )
            for fold, number in zip(FOLDS, right, strict=True)
        ),
        layers=25,
        threads=1,
        hardware="a worker's processor",
    )


def filled(row: BackbonePlan, folder: Path, *timings: ShardTiming) -> FeatureSet:
    """A feature set of one shard for each timing, oldest first."""
    features = FeatureSet(folder, make_backbone(row.folded, folder).extraction.settings)
    ones = np.ones(2, dtype=np.float32)
    shards = np.array_split([clip.pcm_sha256 for clip in row.folded.clips], len(timings))
    for shard, timing in zip(shards, timings, strict=True):
        statistics = [(LayerStatistics(5, ones, ones, ones, ones),)] * len(shard)
        features.add(shard.tolist(), statistics, timing)
    return features


def test_a_cell_that_cannot_run_is_a_record_with_its_reason(folded: FoldedTask) -> None:
    cell = make_ready().cell
    absent = SkippedBackbone(INFO, "xlsr: weights unavailable")
    row = BackbonePlan(folded, absent, ())
    record = compose.skipped_record(Skipped(cell, absent.reason), row, SPEC)
    assert (record.status, record.reason) == ("skipped", "xlsr: weights unavailable")
    assert record.cell == cell
    assert (record.seed, record.trials, record.clips) == (7, 1, 100)
    assert (record.weights.id, record.weights.sha) == ("some/weights", None)
    assert record.weights.kind == "pretrained"
    assert record.provenance.fingerprint is None
    assert record.scores is None
    assert not record.folds


@pytest.mark.parametrize(
    ("control", "info", "kind"),
    [
        (None, INFO, "pretrained"),
        ("random-init", INFO, "random-init"),
        (None, replace(INFO, weights_id=None, revision=None), "none"),
    ],
)
def test_a_skipped_backbone_says_which_weights_it_would_have_run_with(
    folded: FoldedTask, control: str | None, info: BackboneInfo, kind: str
) -> None:
    cell = replace(make_ready().cell, control=control)  # type: ignore[arg-type]
    row = BackbonePlan(folded, SkippedBackbone(info, "why"), ())
    assert compose.skipped_record(Skipped(cell, "why"), row, SPEC).weights.kind == kind


def test_a_row_says_what_its_backbone_does_otherwise_than_published(folded: FoldedTask) -> None:
    info = replace(INFO, differs="runs on half of the clip")
    row = BackbonePlan(folded, SkippedBackbone(info, "why"), ())
    record = compose.skipped_record(Skipped(make_ready().cell, "why"), row, SPEC)
    assert record.differs == "runs on half of the clip"


def test_a_protocol_that_does_not_fit_is_recorded_without_its_folds(row: BackbonePlan) -> None:
    unfit = replace(row.folded, splits={}, unfit={"speaker-6fold": "too few"})
    record = compose.skipped_record(
        Skipped(make_ready().cell, "too few"), replace(row, folded=unfit), SPEC
    )
    assert record.folding.grouped
    assert not record.folding.leaks
    assert [(e.clip, e.reason) for e in record.excluded] == [("bad", "no sound")]


def test_a_cell_that_failed_is_a_record_with_its_error(row: BackbonePlan) -> None:
    record = compose.failed_record(make_ready(), row, SPEC, ValueError("no such layer"))
    assert (record.status, record.reason) == ("failed", "ValueError: no such layer")
    assert record.trials == 10
    assert record.provenance.fingerprint == "f" * 64
    assert record.weights.sha == PRETRAINED.sha
    assert record.notes == ["of the folds"]
    # what the task and the split leave out, each once
    left_out = [(e.clip, e.reason) for e in record.excluded]
    assert left_out == [("bad", "no sound"), ("worse", "a copy")]


def test_a_finished_cell_is_scored_over_all_its_folds(row: BackbonePlan, tmp_path: Path) -> None:
    cell = make_ready(folds=FOLDS)
    features = filled(row, tmp_path, TIMING)
    done = compose.finished_record(cell, row, SPEC, outcome_of(20, 10), [features], cache_hit=False)
    record = done.record
    assert record.status == "ok"
    assert record.scored.accuracy == 0.75
    assert sum(map(sum, record.scored.confusion)) == 40
    assert [fold.test_accuracy for fold in record.folds] == [1.0, 0.5]
    assert [fold.test_macro_f1 for fold in record.folds] == [1.0, 0.5]
    first = record.folds[0]
    assert first.clips == {"train": 40, "validation": 20, "test": 20}
    assert first.best_params == {"layer": 3, "C": 0.5, "sizes": "(4, 2)"}
    assert (first.trials.complete, first.trials.pruned, first.trials.failed) == (8, 1, 1)
    assert (first.val_accuracy, first.val_macro_f1, first.best_epoch) == (0.75, 0.7, 0)
    assert [epoch.validation_loss for epoch in first.curve] == [0.9]
    assert record.provenance.feature_key == features.settings.key
    assert record.provenance.cache_hit is False
    assert record.training is None  # a head on vectors
    table = pd.read_parquet(io.BytesIO(done.predictions))
    assert table["clip"].tolist() == [f"c{i}" for i in range(60, 100)]
    assert table["fold"].tolist() == [0] * 20 + [1] * 20
    assert (table["label"] == table["predicted"]).mean() == 0.75
    np.testing.assert_allclose(table[["p_a", "p_b"]].sum(axis=1), 1.0, rtol=1e-6)
    assert table["p_a"].dtype == np.float32


def test_repeated_splits_are_scored_by_the_mean_over_them(
    row: BackbonePlan, tmp_path: Path
) -> None:
    ready = make_ready(folds=FOLDS)
    cell = replace(ready.cell, protocol="random-10x80-20")
    split = replace(row.folded.splits["speaker-6fold"], protocol=cell.protocol, repeats=True)
    done = compose.finished_record(
        replace(ready, job=replace(ready.job, cell=cell)),
        replace(row, folded=replace(row.folded, splits={cell.protocol: split})),
        SPEC,
        outcome_of(19, 6),
        [filled(row, tmp_path, TIMING)],
        cache_hit=False,
    )
    record = done.record
    assert record.folding.repeats
    own = [fold.test_macro_f1 for fold in record.folds]
    assert record.scored.macro_f1 == pytest.approx(sum(own) / 2)
    table = pd.read_parquet(io.BytesIO(done.predictions))
    truth, predicted = (table[column].eq("b").to_numpy(int) for column in ("label", "predicted"))
    assert record.scored.macro_f1 != pytest.approx(macro_f1(truth, predicted), abs=1e-4)
    store.write(tmp_path, record, done.predictions)
    assert proof.flaw(tmp_path, record) is None


def test_a_search_on_inner_folds_keeps_what_was_said_and_every_seed(
    row: BackbonePlan, tmp_path: Path
) -> None:
    parts = [np.setdiff1d(np.arange(100), fold.test) for fold in FOLDS]
    once = outcome_of(20, 10)
    searched = []
    for fold, result, clips in zip(FOLDS, once.folds, parts, strict=True):
        inner = InnerPredictions(clips, np.eye(2)[clips % 2])
        searched.append(
            replace(
                result,
                validated=Validated(1.0, 1.0),
                inner=inner,
                tried=Tried("race", 50, 3, [0.5, 0.75], [], ["C"]),
                again=[probabilities(fold, 20), probabilities(fold, 10)],
            )
        )
    outcome = replace(once, folds=tuple(searched))
    features = filled(row, tmp_path, TIMING)
    done = compose.finished_record(
        make_ready(folds=FOLDS), row, SPEC, outcome, [features], cache_hit=True
    )
    record = done.record
    assert [seed.accuracy for seed in record.seeds] == [0.75, 1.0, 0.5]
    assert record.scored.accuracy == 0.75
    assert record.scored.macro_f1 == np.mean([seed.macro_f1 for seed in record.seeds])
    assert sum(map(sum, record.scored.confusion)) == 40
    told = record.folds[0].tried
    assert told is not None
    assert (told.how, told.settings, told.inner_folds, told.highest) == ("race", 50, 3, ["C"])
    assert done.inner is not None
    table = pd.read_parquet(io.BytesIO(done.inner))
    assert table["clip"].tolist() == [f"c{i}" for clips in parts for i in clips]
    assert (table["predicted"] == table["label"]).all()
    store.write(tmp_path, record, done.predictions, done.inner)
    assert proof.flaw(tmp_path, record) is None
    other = [replace_seed(record, 2, accuracy=0.75), replace_fold(record, val_accuracy=0.9)]
    for changed in other:
        assert "do not give its scores" in str(proof.flaw(tmp_path, changed))
    file = store.inner_path(tmp_path, record.cell)
    table.assign(fold=0).to_parquet(file, index=False)
    assert "are of some clip more than once" in str(proof.flaw(tmp_path, record))
    file.unlink()
    assert proof.flaw(tmp_path, record) == f"its predictions {file} are not there"


def replace_seed(record: Record, number: int, **values: float) -> Record:
    seeds = list(record.seeds)
    seeds[number] = seeds[number].model_copy(update=values)
    return record.model_copy(update={"seeds": seeds})


def replace_fold(record: Record, **values: float) -> Record:
    first, *others = record.folds
    return record.model_copy(update={"folds": [first.model_copy(update=values), *others]})


def test_speed_is_of_the_shards_made_under_the_last_ones_conditions(
    row: BackbonePlan, tmp_path: Path
) -> None:
    elsewhere = replace(TIMING, hardware="Other CPU", audio_seconds=1.0, peak_rss_mb=9e9)
    features = filled(row, tmp_path, elsewhere, TIMING)
    done = compose.finished_record(
        make_ready(folds=FOLDS), row, SPEC, outcome_of(20, 20), [features], cache_hit=True
    )
    record = done.record
    speed = record.throughput
    assert speed is not None
    assert (speed.backbone_rtfx, speed.end_to_end_rtfx) == (36.0, 18.0)
    assert (speed.hardware, speed.threads, speed.batch) == ("Test CPU", 2, 4)
    assert speed.predict_clips_per_s == 150.0  # the median of the folds
    assert (speed.tuning_hardware, speed.tuning_threads) == ("a worker's processor", 1)
    assert speed.tuning_seconds == 40.1
    assert record.memory is not None
    assert (record.memory.peak_rss_mb, record.memory.loaded_rss_mb) == (1000.0, None)


def test_memory_before_the_first_clip_is_that_of_the_process_that_held_most(
    row: BackbonePlan, tmp_path: Path
) -> None:
    first = replace(TIMING, peak_rss_mb=700.0, loaded_rss_mb=600.0)
    later = replace(TIMING, peak_rss_mb=900.0, loaded_rss_mb=500.0)
    features = filled(row, tmp_path, first, later)
    done = compose.finished_record(
        make_ready(folds=FOLDS), row, SPEC, outcome_of(20, 20), [features], cache_hit=True
    )
    assert done.record.memory is not None
    told = done.record.memory.peak_rss_mb, done.record.memory.loaded_rss_mb
    assert told == (900.0, 500.0)


@pytest.mark.parametrize(
    ("live", "augment", "said"),
    [
        ((False,), False, "cached"),
        ((True,), False, "live"),
        ((True, False), False, "both"),
        ((False,), True, "both"),
    ],
)
def test_how_a_head_was_trained_is_recorded(
    live: tuple[bool, ...], augment: bool, said: str, row: BackbonePlan, tmp_path: Path
) -> None:
    cell = make_ready(reads="backbone", head="fine_tune", pooling="mean", folds=FOLDS)
    spec = RunSpec(fine_tune=FineTuneSettings(augment=augment, crop_seconds=5))
    features = filled(row, tmp_path, TIMING)
    outcome = outcome_of(20, 20, live=live)
    done = compose.finished_record(cell, row, spec, outcome, [features], cache_hit=True)
    record = done.record
    training = record.training
    assert training is not None
    assert (training.reads, training.device, training.crop_seconds) == ("backbone", "cpu", 5)
    assert training.precision == ["32-true"]
    assert training.frozen_part == said
    assert training.augmentation == (Augmentation().settings() if augment else None)


def test_a_record_names_the_commit_that_its_weights_came_from(row: BackbonePlan) -> None:
    assert isinstance(row.backbone, ReadyBackbone)
    weights = replace(PRETRAINED, commit="c" * 40)
    settings = replace(row.backbone.extraction.settings, weights=weights)
    extraction = replace(row.backbone.extraction, settings=settings)
    known = replace(row, backbone=replace(row.backbone, extraction=extraction))
    record = compose.failed_record(make_ready(), known, SPEC, ValueError("whatever"))
    assert record.weights.commit == "c" * 40
