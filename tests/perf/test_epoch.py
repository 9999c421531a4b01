"""What keeping the frozen part of a backbone saves: the same epochs with and without it.

Run by `tox -e perf`, which adds the JSON to results/benchmarks. `extra_info.ratio` is the fastest
live epoch over the fastest cached one, both measured in this process; the validation accuracies of
all epochs stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import machine as measure
from bench import tasks
from bench.audio.index import scan
from bench.config.grid import Cell
from bench.errors import DataUnavailable
from bench.features.extract import Extraction, extract
from bench.features.key import FeatureSettings
from bench.features.source import Source
from bench.plugins import BACKBONES
from bench.protocols.fold import Fold
from bench.tuning.fits.backbone import BackboneFits
from bench.tuning.fits.base import Draw, Fitted, Labels, Watch
from heads.sequences import Epoch
from tests.perf.weights import weights_of

CLIPS = 240
EPOCHS = 3
DRAW = {
    "trained": "blocks",
    "blocks": 1,
    "epochs": EPOCHS,
    "patience": EPOCHS,
    "backbone_learning_rate": 1e-4,
    "learning_rate": 1e-3,
    "dropout": 0.1,
}

Train = Callable[[bool], Fitted]


@pytest.fixture(scope="module", params=["whisper-base", "quartznet"])
def training(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Train]:
    """Trains one middle block on some clips, with the frozen part cached or not."""
    folder = tmp_path_factory.mktemp("epoch")
    try:
        task = tasks.resolve("ravdess", allow_download=False)
    except DataUnavailable:
        task = tasks.resolve("sample-emotion", cache=folder, allow_download=False)
    spread = task.clips[:: max(1, len(task.clips) // CLIPS)][:CLIPS]
    usable = scan(spread, folder / "scan.sqlite3").usable
    info = BACKBONES.get(request.param).info
    cut = info.layers // 2
    job = Extraction(
        settings=FeatureSettings(info, weights_of(info.name)),
        sources=tuple(Source(c.clip.id, c.clip.path, c.pcm_sha256, c.seconds) for c in usable),
        root=folder / "features",
        batch=4,
        threads=measure.usable_cores(),
        frames=(cut - 1, cut),
    )
    extract(job, lambda seconds: None)
    labels = {label: index for index, label in enumerate(task.labels)}
    classes = np.array([labels[c.clip.label] for c in usable])
    last_group = sorted({c.clip.group for c in usable})[-len({c.clip.group for c in usable}) // 4 :]
    held_out = np.array([c.clip.group in last_group for c in usable])
    fold = Fold(0, np.flatnonzero(~held_out), np.flatnonzero(held_out), np.array([0]), ())
    cell = Cell(task.name, "held-out-groups", info.name, "mean", "fine_tune")
    fits = BackboneFits(job, crop_seconds=30.0, cached=True, augment=False)
    labels_of_clips = Labels(classes, len(task.labels))

    def train(cached: bool) -> Fitted:
        fit = replace(fits, cached=cached).open(cell, labels_of_clips, measure.usable_cores())
        watch = Watch(folder / "unused" / str(cached), validation=fold.validation)
        return fit.fit(Draw(cut, DRAW), fold.train, 0, watch)

    return info.name, train


def _seconds(curve: tuple[Epoch, ...]) -> float:
    """The fastest epoch: the first one compiles kernels."""
    return min(epoch.seconds for epoch in curve)


def test_an_epoch_with_and_without_the_cached_frozen_part(
    training: tuple[str, Train], benchmark: Any, tmp_path: Path
) -> None:
    name, train = training
    cached = train(True)
    live = benchmark.pedantic(train, args=(False,), rounds=1)
    benchmark.extra_info.update(
        phase=f"epochs of fine-tuning {name}, one block, frozen part live",
        hardware=measure.hardware(),
        threads=measure.usable_cores(),
        precision=live.precision,
        cached_epoch_seconds=round(_seconds(cached.curve), 3),
        live_epoch_seconds=round(_seconds(live.curve), 3),
        ratio=round(_seconds(live.curve) / _seconds(cached.curve), 2),
        cached_validation_accuracy=[round(e.validation_accuracy or 0, 4) for e in cached.curve],
        live_validation_accuracy=[round(e.validation_accuracy or 0, 4) for e in live.curve],
    )
    assert len(cached.curve) == len(live.curve) == EPOCHS
    # half precision and the order of sums: a clip near the boundary may change sides
    assert abs(cached.curve[-1].validation_accuracy - live.curve[-1].validation_accuracy) <= 0.05
