"""Encoder speed of every registered backbone, and what extraction adds to it.

Run by `tox -e perf`, which keeps the JSON as results/throughput.json. RTFx is
`extra_info.audio_seconds / stats.median`; warm-up rounds are not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backbones import Backbone, Weights, WeightsUnavailable
from backbones import registry as backbone_registry
from backbones import weights as backbone_weights
from bench import measure, tasks
from bench.audio import decode
from bench.audio.batch import Batch, batches, normalise
from bench.audio.index import scan
from bench.errors import DataUnavailable
from bench.features.extract import Extraction, Source, extract_with
from bench.tasks.base import Task

BATCH_SIZES = (1, 4, 8)
CLIPS = 8
EXTRACTED_CLIPS = 64
ROUNDS = 3


def _task(cache: Path) -> Task:
    """RAVDESS where it is, else its generated twin."""
    try:
        return tasks.resolve("ravdess", allow_download=False)
    except DataUnavailable:
        return tasks.resolve("sample-emotion", cache=cache, allow_download=False)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Source]:
    """Clips spread over the speakers."""
    folder = tmp_path_factory.mktemp("perf")
    task = _task(folder)
    spread = task.clips[:: max(1, len(task.clips) // EXTRACTED_CLIPS)][:EXTRACTED_CLIPS]
    found = scan(spread, folder / "scan.sqlite3")
    return [Source(c.clip.id, c.clip.path, c.pcm_sha256, c.seconds) for c in found.usable]


def _weights(name: str) -> Weights:
    """Pretrained weights where they are; otherwise random ones, which cost the same time."""
    info = backbone_registry.infos()[name]
    try:
        return backbone_weights.resolve(info, allow_download=False)
    except WeightsUnavailable:
        return backbone_weights.resolve(info, control="random-init", allow_download=False)


def _loaded(name: str) -> Backbone:
    import torch

    missing = backbone_registry.missing_extra(backbone_registry.infos()[name])
    if missing:
        pytest.skip(missing)
    torch.set_num_threads(measure.usable_cores())
    backbone = backbone_registry.create(name, _weights(name))
    backbone.load()
    return backbone


def _batches(backbone: Backbone, sources: list[Source], size: int) -> list[Batch]:
    info = backbone.info
    waves = [decode.load(source.path, info.sample_rate).samples for source in sources]
    if info.normalised:
        waves = [normalise(wave) for wave in waves]
    return list(batches(waves, size, equal_lengths=not info.attention_mask))


def _encoder(backbone: Backbone, work: list[Batch]) -> Callable[[], None]:
    import torch

    def encode() -> None:
        with torch.inference_mode():
            for batch in work:
                backbone.encode(batch.waves, batch.lengths)

    return encode


def _note(benchmark: Any, backbone: Backbone, sources: list[Source], size: int) -> None:
    benchmark.extra_info.update(
        weights_kind=backbone.weights.kind,
        audio_seconds=round(sum(source.seconds for source in sources), 3),
        batch=size,
        threads=measure.usable_cores(),
        dtype="float32",
        hardware=measure.hardware(),
        parameters=backbone.parameter_count(),
    )


@pytest.mark.parametrize("size", BATCH_SIZES)
@pytest.mark.parametrize("name", list(backbone_registry.infos()))
def test_encoder(name: str, size: int, sources: list[Source], benchmark: Any) -> None:
    """The encoder alone, on decoded clips."""
    backbone = _loaded(name)
    chosen = sources[:: max(1, len(sources) // CLIPS)][:CLIPS]
    work = _batches(backbone, chosen, size)
    benchmark.extra_info["backbone"] = name
    _note(benchmark, backbone, chosen, size)
    benchmark.pedantic(_encoder(backbone, work), rounds=ROUNDS, warmup_rounds=1)
    assert len(benchmark.stats.stats.data) == ROUNDS


@pytest.mark.parametrize("what", ["encoder", "extraction"])
@pytest.mark.parametrize("name", ["quartznet", "whisper-base"])
def test_extraction_against_the_bare_encoder(
    name: str, what: str, sources: list[Source], benchmark: Any, tmp_path: Path
) -> None:
    """The same clips through the encoder alone, and from files to the cache, in one process.

    The ratio of the two medians is what decoding, batching, statistics and writing cost.
    """
    backbone = _loaded(name)
    size = max(BATCH_SIZES)
    benchmark.extra_info["phase"] = f"{name} {what}"
    _note(benchmark, backbone, sources, size)
    if what == "encoder":
        benchmark.pedantic(
            _encoder(backbone, _batches(backbone, sources, size)), rounds=ROUNDS, warmup_rounds=1
        )
        return
    extracted: list[float] = []

    def fresh() -> tuple[tuple[Any, ...], dict[str, Any]]:
        job = Extraction(
            backbone=name,
            weights=backbone.weights,
            sources=tuple(sources),
            root=tmp_path / str(len(extracted)),
            batch=size,
            threads=measure.usable_cores(),
        )
        return (backbone, job, extracted.append), {}

    benchmark.pedantic(extract_with, setup=fresh, rounds=ROUNDS, warmup_rounds=1)
    assert sum(extracted) == pytest.approx((ROUNDS + 1) * sum(s.seconds for s in sources))
