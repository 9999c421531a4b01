"""Encoder speed of every registered backbone, and what extraction adds to it.

Run by `tox -e perf`, which adds the JSON to results/benchmarks. RTFx is
`extra_info.audio_seconds / stats.median`; warm-up rounds are not counted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backbones import Backbone
from backbones.extras import missing_extra
from bench import machine as measure
from bench import tasks
from bench.audio import decode
from bench.audio.batch import WindowBatch, batches, normalise
from bench.audio.index import scan
from bench.clips import Task
from bench.errors import DataUnavailable
from bench.features.extract import Extraction, extract_with
from bench.features.key import FeatureSettings
from bench.features.source import Source
from bench.plugins import BACKBONES
from tests.perf.weights import weights_of

BATCH_SIZES = (1, 4, 8)
CLIPS = 8
EXTRACTED_CLIPS = 64
ROUNDS = 3


@dataclass(frozen=True)
class Clips:
    """What is encoded, and the task it is from."""

    task: str
    sources: list[Source]

    @property
    def seconds(self) -> float:
        return sum(source.seconds for source in self.sources)

    def every(self, count: int) -> Clips:
        """About `count` of them, evenly spread."""
        return Clips(self.task, self.sources[:: max(1, len(self.sources) // count)][:count])


def _task(cache: Path) -> Task:
    """RAVDESS where it is, else its generated twin."""
    try:
        return tasks.resolve("ravdess", allow_download=False)
    except DataUnavailable:
        return tasks.resolve("sample-emotion", cache=cache, allow_download=False)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """Clips spread over the speakers."""
    folder = tmp_path_factory.mktemp("perf")
    task = _task(folder)
    spread = task.clips[:: max(1, len(task.clips) // EXTRACTED_CLIPS)][:EXTRACTED_CLIPS]
    found = scan(spread, folder / "scan.sqlite3")
    sources = [Source(c.clip.id, c.clip.path, c.pcm_sha256, c.seconds) for c in found.usable]
    return Clips(task.name, sources)


def _loaded(name: str) -> Backbone:
    import torch

    missing = missing_extra(BACKBONES.get(name).info)
    if missing:
        pytest.skip(missing)
    torch.set_num_threads(measure.usable_cores())
    backbone = BACKBONES.create(name, weights_of(name))
    backbone.load()
    return backbone


# Batches, and the rate of each of their rows.
Work = list[tuple[WindowBatch, Any]]


def _batches(backbone: Backbone, clips: Clips, size: int) -> Work:
    import torch

    info = backbone.info
    sounds = [decode.load(source.path, info.resampled_to) for source in clips.sources]
    waves = [sound.samples for sound in sounds]
    if info.normalised:
        waves = [normalise(wave) for wave in waves]
    return [
        (batch, torch.tensor([sounds[row].rate for row in batch.rows]))
        for batch in batches(waves, size, equal_lengths=not info.attention_mask)
    ]


def _encoder(backbone: Backbone, work: Work) -> Callable[[], None]:
    import torch

    def encode() -> None:
        with torch.inference_mode():
            for batch, rates in work:
                backbone.encode_at(batch.waves, batch.lengths, rates)

    return encode


def _note(benchmark: Any, backbone: Backbone, clips: Clips, size: int) -> None:
    benchmark.extra_info.update(
        task=clips.task,
        weights_kind=backbone.weights.kind,
        audio_seconds=round(clips.seconds, 3),
        batch=size,
        threads=measure.usable_cores(),
        dtype="float32",
        hardware=measure.hardware(),
        parameters=backbone.parameter_count(),
    )


@pytest.mark.parametrize("size", BATCH_SIZES)
@pytest.mark.parametrize("name", BACKBONES.names())
def test_encoder(name: str, size: int, clips: Clips, benchmark: Any) -> None:
    """The encoder alone, on decoded clips."""
    backbone = _loaded(name)
    chosen = clips.every(CLIPS)
    work = _batches(backbone, chosen, size)
    benchmark.extra_info["backbone"] = name
    _note(benchmark, backbone, chosen, size)
    benchmark.pedantic(_encoder(backbone, work), rounds=ROUNDS, warmup_rounds=1)
    assert len(benchmark.stats.stats.data) == ROUNDS


@pytest.mark.parametrize("name", ["quartznet", "whisper-base"])
def test_extraction_against_the_bare_encoder(
    name: str, clips: Clips, benchmark: Any, tmp_path: Path
) -> None:
    """Files to cache, decoding included; `extra_info.share_of_bare_encoder` is the ratio of speeds.

    The bare encoder runs over the same clips, decoded and batched beforehand, in this process.
    """
    backbone = _loaded(name)
    size = max(BATCH_SIZES)
    benchmark.extra_info["phase"] = f"extraction with {name}"
    _note(benchmark, backbone, clips, size)
    encode = _encoder(backbone, _batches(backbone, clips, size))
    encode()  # warm-up
    bare = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        encode()
        bare.append(time.perf_counter() - began)
    extracted: list[float] = []

    def fresh() -> tuple[tuple[Any, ...], dict[str, Any]]:
        job = Extraction(
            settings=FeatureSettings(backbone.info, backbone.weights),
            sources=tuple(clips.sources),
            root=tmp_path / str(len(extracted)),
            batch=size,
            threads=measure.usable_cores(),
        )
        return (backbone, job, extracted.append), {}

    benchmark.pedantic(extract_with, setup=fresh, rounds=ROUNDS, warmup_rounds=1)
    share = statistics.median(bare) / benchmark.stats.stats.median
    benchmark.extra_info["share_of_bare_encoder"] = round(share, 3)
    assert sum(extracted) == pytest.approx((ROUNDS + 1) * clips.seconds)
