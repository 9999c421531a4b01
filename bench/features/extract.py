"""Clips → statistics of every layer, one forward pass per clip, into the feature store."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backbones import Backbone, BackboneInfo, Weights
from backbones import registry as backbone_registry
from bench.audio import decode, window
from bench.audio.batch import batches, normalise
from bench.errors import VoxgridError
from bench.features import statistics
from bench.features.statistics import ClipStatistics
from bench.features.store import FeatureSet, ShardTiming
from bench.measure import hardware, peak_rss_mb, return_free_memory

# One shard is what a kill -9 can lose, and the span over which decoding is prefetched.
SHARD_SECONDS = 120.0
# Two, since nothing else runs while the first shard is decoded.
DECODERS = 2


class ExtractionError(VoxgridError):
    """A backbone returned features that cannot be used."""


@dataclass(frozen=True)
class Source:
    """One clip to extract: its id, its file, the sha256 of its decoded samples, its length."""

    id: str
    path: Path
    pcm_sha256: str
    seconds: float


@dataclass(frozen=True)
class Extraction:
    """Everything one extraction needs; small and picklable, so that it can run in a child.

    Attributes:
        backbone: name of the plugin.
        weights: resolved weights.
        sources: clips of the task.
        root: folder of the feature cache.
        device: torch device.
        dtype: what the encoder computes in.
        batch: most windows per batch.
        threads: torch threads.
    """

    backbone: str
    weights: Weights
    sources: tuple[Source, ...]
    root: Path
    device: str = "cpu"
    dtype: str = "float32"
    batch: int = 8
    threads: int = 1

    def features(self) -> FeatureSet:
        """The feature set this extraction fills."""
        info = backbone_registry.infos()[self.backbone]
        return FeatureSet(
            self.root, self.backbone, key_settings(info, self.weights, self.dtype, self.device)
        )


def key_settings(
    info: BackboneInfo, weights: Weights, dtype: str, device: str = "cpu"
) -> dict[str, Any]:
    """Everything but the audio that changes a feature set's numbers."""
    initialised: dict[str, Any] | None = None
    if weights.kind == "random-init":
        import torch

        # the same seed draws other numbers in another torch
        initialised = {"size": weights.size, "seed": weights.seed, "torch": torch.__version__}
    settings = {
        "backbone": info.name,
        "backbone_version": info.version,
        "weights_sha": weights.sha,
        "weights_kind": weights.kind,
        "random_init": initialised,
        "audio": {**decode.settings(), "rate": info.sample_rate},
        "normalised": info.normalised,
        "window": window.settings(info.max_seconds),
        "dtype": dtype,
        "statistics": 1,
    }
    if weights.config_sha is not None:
        settings["config_sha"] = weights.config_sha
    kind = device.partition(":")[0]
    if kind != "cpu":
        settings["device"] = kind  # other devices round differently
    return settings


def pending(features: FeatureSet, sources: Sequence[Source]) -> list[Source]:
    """Clips not yet in the store, one per distinct recording, shortest first."""
    wanted = {s.pcm_sha256: s for s in sources if s.pcm_sha256 not in features}
    return sorted(wanted.values(), key=lambda s: (s.seconds, s.pcm_sha256))


def extract(
    job: Extraction, on_progress: Callable[[float], None], deadline: float | None = None
) -> None:
    """Fill the feature store with the clips it lacks. Resumes after the last whole shard.

    Args:
        job: what to extract.
        on_progress: called with the seconds of audio finished since the last call.
        deadline: `time.time()` after which no further shard is begun, or None.

    Raises:
        ExtractionError: NaN or infinite features; names the clip.
        StorageError: the cache cannot be written; whole shards are kept.
    """
    if not pending(job.features(), job.sources):
        return
    import torch

    torch.set_num_threads(job.threads)
    backbone = backbone_registry.create(job.backbone, job.weights)
    backbone.load(job.device, job.dtype)
    extract_with(backbone, job, on_progress, deadline)


def extract_with(
    backbone: Backbone,
    job: Extraction,
    on_progress: Callable[[float], None],
    deadline: float | None = None,
) -> None:
    """`extract` with a backbone that is loaded already."""
    features = job.features()
    todo = pending(features, job.sources)
    _warm_up(backbone, job)
    started = time.perf_counter()
    with ThreadPoolExecutor(max_workers=DECODERS, thread_name_prefix="decode") as pool:
        for shard, waves in _prefetched(pool, list(_shards(todo)), backbone.info.sample_rate):
            clips, encode_seconds = _encode_shard(backbone, job, shard, waves)
            finished = time.perf_counter()
            seconds = sum(source.seconds for source in shard)
            timing = ShardTiming(
                audio_seconds=seconds,
                encode_seconds=encode_seconds,
                total_seconds=finished - started,
                batch=job.batch,
                threads=job.threads,
                hardware=hardware(job.device),
                parameters=backbone.parameter_count(),
                peak_rss_mb=peak_rss_mb(),
            )
            features.add([source.pcm_sha256 for source in shard], clips, timing)
            started = finished  # writing this shard counts towards the next one
            on_progress(seconds)
            return_free_memory()
            if deadline is not None and time.time() > deadline:
                return


def _warm_up(backbone: Backbone, job: Extraction) -> None:
    """Encode noise untimed: first calls pay for lazy initialisation, and no clip passes twice."""
    rate = backbone.info.sample_rate
    noise = np.random.default_rng(0).normal(scale=0.1, size=2 * rate).astype(np.float32)
    _encode(backbone, [noise], job)


def _shards(sources: Sequence[Source]) -> Iterator[list[Source]]:
    shard: list[Source] = []
    for source in sources:
        shard.append(source)
        if sum(s.seconds for s in shard) >= SHARD_SECONDS:
            yield shard
            shard = []
    if shard:
        yield shard


def _prefetched(
    pool: ThreadPoolExecutor, shards: Sequence[list[Source]], rate: int
) -> Iterator[tuple[list[Source], list[NDArray[np.float32]]]]:
    """Decode the next shard while the current one is encoded."""

    def begin(shard: list[Source]) -> tuple[list[Source], list[Future[NDArray[np.float32]]]]:
        return shard, [pool.submit(_decoded, source, rate) for source in shard]

    waiting = iter(shards)
    queue = deque(begin(shard) for shard in islice(waiting, 2))
    while queue:
        shard, futures = queue.popleft()
        yield shard, [future.result() for future in futures]
        queue.extend(begin(following) for following in islice(waiting, 1))


def _decoded(source: Source, rate: int) -> NDArray[np.float32]:
    return decode.load(source.path, rate).samples


def _encode_shard(
    backbone: Backbone,
    job: Extraction,
    shard: Sequence[Source],
    waves: Sequence[NDArray[np.float32]],
) -> tuple[list[ClipStatistics], float]:
    info = backbone.info
    pieces: list[NDArray[np.float32]] = []
    owners: list[int] = []
    for clip, wave in enumerate(waves):
        for start, stop in window.windows(len(wave), info.sample_rate, info.max_seconds):
            pieces.append(wave[start:stop])
            owners.append(clip)
    results, encode_seconds = _encode(backbone, pieces, job, [shard[o].id for o in owners])
    by_clip: list[list[ClipStatistics]] = [[] for _ in shard]
    for owner, result in zip(owners, results, strict=True):
        by_clip[owner].append(result)
    return [statistics.merge(parts) for parts in by_clip], encode_seconds


def _encode(
    backbone: Backbone,
    pieces: Sequence[NDArray[np.float32]],
    job: Extraction,
    names: Sequence[str] = (),
) -> tuple[list[ClipStatistics], float]:
    """Statistics of each window, in order, and the seconds spent inside `encode`."""
    import torch

    info = backbone.info
    prepared = [normalise(piece) for piece in pieces] if info.normalised else list(pieces)
    results: dict[int, ClipStatistics] = {}
    encode_seconds = 0.0
    with torch.inference_mode():
        for batch in batches(prepared, job.batch, equal_lengths=not info.attention_mask):
            waves, lengths = batch.waves.to(job.device), batch.lengths.to(job.device)
            began = time.perf_counter()
            frames = backbone.encode(waves, lengths)
            if job.device.startswith("cuda"):
                torch.cuda.synchronize()
            encode_seconds += time.perf_counter() - began
            try:
                results.update(zip(batch.rows, statistics.of_batch(frames), strict=True))
            except FloatingPointError as error:
                involved = ", ".join(names[row] for row in batch.rows) if names else "warm-up"
                raise ExtractionError(
                    f"backbone '{info.name}' returned unusable features ({error}; clips of the "
                    f"batch: {involved}); check the clips and the weights"
                ) from error
    return [results[row] for row in range(len(pieces))], encode_seconds
