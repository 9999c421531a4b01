"""Clips → statistics of every layer, and frames of chosen ones, one forward pass per clip."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backbones import STEM, Backbone, BackboneInfo, Weights
from backbones import registry as backbone_registry
from bench.audio import decode, window
from bench.audio.batch import batches, normalise
from bench.errors import VoxgridError
from bench.features import statistics
from bench.features.frames import ClipFrames, FrameSet, joined
from bench.features.statistics import ClipStatistics
from bench.features.store import FeatureSet, ShardTiming
from bench.measure import hardware, peak_rss_mb, return_free_memory

if TYPE_CHECKING:
    import torch

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
        frames: layers whose frames are kept as well, `backbones.STEM` among them or not.
    """

    backbone: str
    weights: Weights
    sources: tuple[Source, ...]
    root: Path
    device: str = "cpu"
    dtype: str = "float32"
    batch: int = 8
    threads: int = 1
    frames: tuple[int, ...] = ()

    def features(self) -> FeatureSet:
        """The feature set this extraction fills."""
        info = backbone_registry.infos()[self.backbone]
        return FeatureSet(
            self.root, self.backbone, key_settings(info, self.weights, self.dtype, self.device)
        )

    def frame_set(self) -> FrameSet:
        """The frames of the same feature set."""
        return FrameSet(self.features().folder)


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


def pending(
    features: FeatureSet, sources: Sequence[Source], frames: Collection[int] = ()
) -> list[Source]:
    """Clips to pass through the backbone, one per distinct recording.

    Args:
        features: the store.
        sources: clips of the task.
        frames: layers whose frames are wanted as well.

    Returns:
        Those without statistics, then those that lack nothing but frames; shortest first.
    """
    stored = FrameSet(features.folder)
    wanted = {
        s.pcm_sha256: s
        for s in sources
        if s.pcm_sha256 not in features or stored.lacking(s.pcm_sha256, frames)
    }
    return sorted(
        wanted.values(), key=lambda s: (s.pcm_sha256 in features, s.seconds, s.pcm_sha256)
    )


def extract(
    job: Extraction, on_progress: Callable[[float], None], deadline: float | None = None
) -> None:
    """Fill the feature store with what it lacks. Resumes after the last whole shard.

    Args:
        job: what to extract.
        on_progress: called with the seconds of audio finished since the last call.
        deadline: `time.time()` after which no further shard is begun, or None.

    Raises:
        ExtractionError: NaN or infinite features, which names the clip; or the backbone has no
            such layer.
        NotTrainable: frames of `STEM` are wanted of a backbone without a feature encoder.
        StorageError: the cache cannot be written; whole shards are kept.
    """
    if not pending(job.features(), job.sources, job.frames):
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
    frame_set = FrameSet(features.folder)
    todo = pending(features, job.sources, job.frames)
    new = [source for source in todo if source.pcm_sha256 not in features]
    # a shard is timed as a whole, hence those that lack nothing but frames go by themselves
    shards = [*_shards(new), *_shards(todo[len(new) :])]
    _warm_up(backbone, job)
    started = time.perf_counter()
    with ThreadPoolExecutor(max_workers=DECODERS, thread_name_prefix="decode") as pool:
        for shard, waves in _prefetched(pool, shards, backbone.info.sample_rate):
            ids = [source.pcm_sha256 for source in shard]
            passed = _encode_shard(
                backbone, job, shard, waves, [frame_set.lacking(clip, job.frames) for clip in ids]
            )
            frame_set.add(
                {
                    layer: {
                        clip: frames[layer]
                        for clip, frames in zip(ids, passed.frames, strict=True)
                        if layer in frames
                    }
                    for layer in job.frames
                }
            )
            finished = time.perf_counter()
            seconds = sum(source.seconds for source in shard)
            timing = ShardTiming(
                audio_seconds=seconds,
                encode_seconds=passed.encode_seconds,
                total_seconds=finished - started,
                batch=job.batch,
                threads=job.threads,
                hardware=hardware(job.device),
                parameters=backbone.parameter_count(),
                peak_rss_mb=peak_rss_mb(),
            )
            if ids[0] not in features:
                features.add(ids, passed.statistics, timing)
            started = finished  # writing these statistics counts towards the next shard
            on_progress(seconds)
            del passed
            return_free_memory()
            if deadline is not None and time.time() > deadline:
                return


def _warm_up(backbone: Backbone, job: Extraction) -> None:
    """Encode noise untimed: first calls pay for lazy initialisation, and no clip passes twice."""
    rate = backbone.info.sample_rate
    noise = np.random.default_rng(0).normal(scale=0.1, size=2 * rate).astype(np.float32)
    _encode(backbone, [noise], job, ["warm-up"], [job.frames])


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


@dataclass
class _Passed:
    """What the backbone gave for some clips or windows, in order.

    Attributes:
        statistics: of each.
        frames: of each, at the layers that were wanted of it.
        encode_seconds: spent inside `encode`.
    """

    statistics: list[ClipStatistics]
    frames: list[dict[int, ClipFrames]]
    encode_seconds: float


def _encode_shard(
    backbone: Backbone,
    job: Extraction,
    shard: Sequence[Source],
    waves: Sequence[NDArray[np.float32]],
    wanted: Sequence[Collection[int]],
) -> _Passed:
    info = backbone.info
    pieces: list[NDArray[np.float32]] = []
    owners: list[int] = []
    for clip, wave in enumerate(waves):
        for start, stop in window.windows(len(wave), info.sample_rate, info.max_seconds):
            pieces.append(wave[start:stop])
            owners.append(clip)
    names = [shard[owner].id for owner in owners]
    passed = _encode(backbone, pieces, job, names, [wanted[owner] for owner in owners])
    windows: list[list[int]] = [[] for _ in shard]
    for position, owner in enumerate(owners):
        windows[owner].append(position)
    return _Passed(
        [statistics.merge([passed.statistics[i] for i in own]) for own in windows],
        [
            {layer: joined([passed.frames[i][layer] for i in own]) for layer in wanted[clip]}
            for clip, own in enumerate(windows)
        ],
        passed.encode_seconds,
    )


def _encode(
    backbone: Backbone,
    pieces: Sequence[NDArray[np.float32]],
    job: Extraction,
    names: Sequence[str],
    wanted: Sequence[Collection[int]],
) -> _Passed:
    """Pass windows through the backbone; `names` are their clips, `wanted` the frames to keep."""
    import torch

    info = backbone.info
    prepared = [normalise(piece) for piece in pieces] if info.normalised else list(pieces)
    results: dict[int, ClipStatistics] = {}
    kept: list[dict[int, ClipFrames]] = [{} for _ in pieces]
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
                involved = ", ".join(names[row] for row in batch.rows)
                raise ExtractionError(
                    f"backbone '{info.name}' returned unusable features ({error}; clips of the "
                    f"batch: {involved}); check the clips and the weights"
                ) from error
            of_batch = {wanted_layer for row in batch.rows for wanted_layer in wanted[row]}
            for layer in of_batch:
                if layer == STEM:
                    hidden, valid = backbone.stem(waves, lengths)
                elif layer < len(frames.hidden):
                    hidden, valid = frames.hidden[layer], frames.lengths[layer]
                else:
                    raise ExtractionError(
                        f"backbone '{info.name}' has layers 0 to {len(frames.hidden) - 1}, and "
                        f"none is called {layer}"
                    )
                for position, row in enumerate(batch.rows):
                    if layer in wanted[row]:
                        own = hidden[position, : int(valid[position])]
                        kept[row][layer] = _half(own, info.name, layer, names[row])
    return _Passed([results[row] for row in range(len(pieces))], kept, encode_seconds)


def _half(frames: torch.Tensor, backbone: str, layer: int, clip: str) -> ClipFrames:
    try:
        return ClipFrames.of(frames)
    except FloatingPointError as error:
        raise ExtractionError(
            f"backbone '{backbone}' returned unusable frames for clip '{clip}' at layer {layer} "
            f"({error}); check the clip and the weights"
        ) from error
