"""What `voxgrid predict` takes beside the extraction of a run, on the same clips and backbone.

Run by `tox -e perf`, which adds the JSON to results/benchmarks. `extra_info.ratio` is the median
time of predicting over that of extracting, in turns, each with an empty cache and the backbone
loaded.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backbones import WeightsUnavailable
from backbones import weights as backbone_weights
from bench import machine as measure
from bench import tasks
from bench.audio.index import scan
from bench.errors import DataUnavailable
from bench.features.extract import Extraction, extract_with
from bench.features.source import Source
from bench.plugins import BACKBONES
from bench.winner.predictors import VectorPredictor, settings
from tests.bench.winner.make_winner import make_winner

CLIPS, ROUNDS = 40, 3


def _has_weights(name: str) -> bool:
    try:
        backbone_weights.resolve(BACKBONES.get(name).info, allow_download=False)
    except WeightsUnavailable:
        return False
    return True


@pytest.mark.parametrize("name", ["quartznet", "whisper-base"])
def test_predicting_and_extracting(
    name: str, benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        task = tasks.resolve("ravdess", allow_download=False)
    except DataUnavailable:
        task = tasks.resolve("sample-emotion", cache=tmp_path, allow_download=False)
    spread = task.clips[:: max(1, len(task.clips) // CLIPS)][:CLIPS]
    files = [clip.path for clip in spread]
    model = make_winner(
        tmp_path / "m", [(name, 1)], "mean", "lda", files[:9], sample=not _has_weights(name)
    )
    predictor = model.predictor
    assert isinstance(predictor, VectorPredictor)
    (encoder,) = predictor.config.encoders
    backbone = predictor.backbone(encoder)
    found = scan(spread, tmp_path / "scan.sqlite3").usable
    sources = tuple(Source(c.clip.id, c.clip.path, c.pcm_sha256, c.seconds) for c in found)
    number = 0

    def extracting() -> None:
        nonlocal number
        number += 1
        own = settings(encoder, backbone.info)
        job = Extraction(own, sources, tmp_path / f"f{number}", threads=measure.usable_cores())
        extract_with(backbone, job, lambda seconds: None)

    def predicting() -> None:
        nonlocal number
        number += 1
        monkeypatch.setenv("VOXGRID_CACHE", str(tmp_path / f"c{number}"))
        assert model.predict(files)["reason"].eq("").all()

    turns = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        extracting()
        between = time.perf_counter()
        predicting()
        turns.append((between - began, time.perf_counter() - between))
    extract, predict = np.median(np.array(turns), axis=0).tolist()
    benchmark.pedantic(predicting, rounds=1)
    benchmark.extra_info.update(
        phase=f"{name}: {len(files)} clips of {task.name}, extracted and predicted",
        hardware=measure.hardware(),
        threads=measure.usable_cores(),
        audio_seconds=round(sum(source.seconds for source in sources), 3),
        extract_seconds=round(extract, 3),
        predict_seconds=round(predict, 3),
        ratio=round(predict / extract, 2),
    )
