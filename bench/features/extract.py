"""Clips → statistics of every layer, and frames of chosen ones, one forward pass per clip."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from backbones import Backbone
from bench.audio import decode, window
from bench.audio.decode import Audio
from bench.errors import crashes_of
from bench.executors.base import Worker
from bench.features import statistics
from bench.features.encode import Encoded, LoadedBackbone, Made, Unusable, Window, encode, load
from bench.features.frames import FrameSet, joined
from bench.features.key import FeatureSettings
from bench.features.long import encode_long
from bench.features.source import ExtractionError, Source
from bench.features.statistics import ClipStatistics
from bench.features.store import FeatureSet, ShardTiming
from bench.machine import hardware, peak_rss_mb, return_free_memory
from bench.plugins import BACKBONES

# Two, since nothing else runs while the first shard is decoded.
DECODERS = 2


@dataclass(frozen=True)
class Extraction:
    """What to extract; small and picklable, so that it can run in a child or elsewhere.

    Attributes:
        settings: the backbone, and all else that decides the numbers.
        root: folder of the feature cache.
        batch: most windows per batch.
        threads: torch threads.
        frames: layers whose frames are kept as well, `backbones.STEM` among them or not.
        shard_seconds: one shard is what a kill -9 can lose, and the span over which decoding is
            prefetched. A clip that is longer is a shard of its own, and passes in slices of at
            most this length.
    """

    settings: FeatureSettings
    sources: tuple[Source, ...]
    root: Path
    batch: int = 8
    threads: int = 1
    frames: tuple[int, ...] = ()
    shard_seconds: float = 120.0

    def features(self) -> FeatureSet:
        """The feature set this extraction fills."""
        return FeatureSet(self.root, self.settings)

    def frame_set(self) -> FrameSet:
        """The frames of the same feature set."""
        return FrameSet(self.settings.folder(self.root))


@dataclass(frozen=True)
class AudioDone:
    """Progress event: so many more seconds of audio are through; 0 once the backbone is ready."""

    seconds: float


@dataclass(frozen=True)
class ExtractJob:
    """Fills a feature set in a worker of its own, so that its memory goes back when it is done.

    What the worker imports for it is this module and its like: a fraction of the whole harness.
    """

    extraction: Extraction

    def __call__(self, worker: Worker) -> bool:
        """Run the extraction, see `extract`; False where the deadline ended it early."""
        if worker.deadline is not None and time.time() > worker.deadline:
            return False
        job = replace(self.extraction, threads=worker.threads)
        with crashes_of("", BACKBONES.origins):
            extract(job, lambda seconds: worker.emit(AudioDone(seconds)), worker.deadline)
        return not pending(job.features(), job.sources, job.frames)


def pending(
    features: FeatureSet, sources: Sequence[Source], frames: Collection[int] = ()
) -> list[Source]:
    """Clips to pass through the backbone, one per distinct recording, shortest first.

    Those without statistics come first, then those that lack nothing but frames, at the layers
    where they are wanted as well. Those of which the backbone makes nothing usable are left out.
    What is stored is read: `features` forgets what is damaged.

    Raises:
        StorageError: the cache cannot be read.
    """
    stored = FrameSet(features.folder)
    clips = {source.pcm_sha256 for source in sources}
    features.forget_damaged(clips)
    stored.forget_damaged(clips, frames)
    wanted = {
        s.pcm_sha256: s
        for s in sources
        if s.pcm_sha256 not in features.unusable
        if s.pcm_sha256 not in features or stored.lacking(s.pcm_sha256, frames)
    }
    return sorted(
        wanted.values(), key=lambda s: (s.pcm_sha256 in features, s.seconds, s.pcm_sha256)
    )


def dealt(job: Extraction, parts: int) -> list[Extraction]:
    """What is pending of an extraction, dealt into as many as `parts` that may run side by side.

    Shards stay whole, so that batches, and with them the numbers, are those of one extraction.

    Raises:
        StorageError: the cache cannot be read.
    """
    if parts == 1:
        return [job]
    features = job.features()
    todo = pending(features, job.sources, job.frames)
    hands: list[list[Source]] = [[] for _ in range(parts)]
    for number, shard in enumerate(_in_shards(todo, features, job.shard_seconds)):
        hands[number % parts] += shard
    return [replace(job, sources=tuple(hand)) for hand in hands if hand]


def extract(
    job: Extraction, on_progress: Callable[[float], None], deadline: float | None = None
) -> None:
    """Fill the feature store with what it lacks. Resumes after the last whole shard.

    A clip of which the backbone makes nothing usable is left out (`FeatureSet.unusable`).

    Args:
        on_progress: called with the seconds of audio that passed since the last call; with 0 once
            the backbone is ready.
        deadline: `time.time()` after which no further shard is begun and a clip longer than
            `job.shard_seconds` is given up, or None.

    Raises:
        ClipError: a file cannot be decoded any more.
        ExtractionError: the backbone makes nothing usable of plain noise or of any clip; it has no
            such layer; a file holds other sound than when it was scanned; or the weights here are
            not those of the settings.
        BackboneError: the weights are not here, or cannot be used.
        NotTrainable: frames of `STEM` are wanted of a backbone without a feature encoder.
        StorageError: the cache cannot be written; whole shards are kept.
    """
    if not pending(job.features(), job.sources, job.frames):
        return
    import torch

    torch.set_num_threads(job.threads)
    extract_with(load(job.settings), job, on_progress, deadline)


def extract_with(
    backbone: Backbone,
    job: Extraction,
    on_progress: Callable[[float], None],
    deadline: float | None = None,
) -> None:
    """`extract` with a backbone that is loaded already."""
    features = job.features()
    frame_set = job.frame_set()
    frame_set.forget_damaged({source.pcm_sha256 for source in job.sources}, job.frames)
    encoder = LoadedBackbone(backbone, job.settings.device, job.batch)
    todo = pending(features, job.sources, job.frames)
    limit = job.shard_seconds
    shards = _in_shards(todo, features, limit)
    _warm_up(encoder, job.frames)
    loaded = peak_rss_mb()
    on_progress(0.0)
    started = time.perf_counter()
    with ThreadPoolExecutor(max_workers=DECODERS, thread_name_prefix="decode") as pool:
        for shard, clips in _prefetched(pool, shards, backbone.info.resampled_to, limit):
            if clips is not None:
                found, encode_seconds = _encode_shard(encoder, shard, clips, job.frames, frame_set)
            else:
                (source,) = shard
                whole = encode_long(
                    encoder,
                    source,
                    frame_set,
                    frame_set.lacking(source.pcm_sha256, job.frames),
                    pool,
                    limit,
                    on_progress,
                    deadline,
                )
                if whole is None:
                    return
                found, encode_seconds = [whole[0]], whole[1]
            usable = _usable(features, shard, found)
            finished = time.perf_counter()
            seconds = sum(source.seconds for source in shard)
            timing = ShardTiming(
                audio_seconds=seconds,
                encode_seconds=encode_seconds,
                total_seconds=finished - started,
                batch=job.batch,
                threads=job.threads,
                hardware=hardware(job.settings.device),
                parameters=backbone.parameter_count(),
                peak_rss_mb=peak_rss_mb(),
                loaded_rss_mb=loaded,
            )
            if any(clip not in features for clip in usable):
                features.add(list(usable), list(usable.values()), timing)
            started = finished  # writing these statistics counts towards the next shard
            if clips is not None:
                on_progress(seconds)
            del clips, found, usable
            return_free_memory()
            if deadline is not None and time.time() > deadline:
                return


def _warm_up(encoder: LoadedBackbone, layers: Collection[int]) -> None:
    """Encode noise untimed: first calls pay for lazy initialisation, and no clip passes twice."""
    rate = encoder.backbone.info.sample_rate
    noise = np.random.default_rng(0).normal(scale=0.1, size=2 * rate).astype(np.float32)
    (made,), _ = encode(encoder, [Window(noise, rate, layers)])
    if isinstance(made, Unusable):
        raise ExtractionError(
            f"it was given plain noise, before any clip was read: {made.reason}; look into its "
            f"weights and its code with `voxgrid check {encoder.backbone.info.name}`"
        )


def _usable(
    features: FeatureSet, shard: Sequence[Source], found: Sequence[ClipStatistics | Unusable]
) -> dict[str, ClipStatistics]:
    """Statistics of the clips of a shard that have any; the others are left out from now on.

    Where there are none at all yet, the clips are not to blame: an `ExtractionError`.
    """
    usable, reasons = {}, {}
    for source, made in zip(shard, found, strict=True):
        if isinstance(made, Unusable):
            reasons[source.pcm_sha256] = made.reason
        else:
            usable[source.pcm_sha256] = made
    if not usable and not len(features):
        raise ExtractionError(
            f"none of the first {len(shard)} clips can be used; of clip '{shard[0].id}': "
            f"{next(iter(reasons.values()))}"
        )
    for clip, reason in reasons.items():
        features.leave_out(clip, reason)
    return usable


def _in_shards(todo: Sequence[Source], features: FeatureSet, limit: float) -> list[list[Source]]:
    """Pending clips in the shards that they are stored in, in order."""
    new = [source for source in todo if source.pcm_sha256 not in features]
    # a shard is timed as a whole, hence those that lack nothing but frames go by themselves
    return [*_shards(new, limit), *_shards(todo[len(new) :], limit)]


def _shards(sources: Sequence[Source], limit: float) -> Iterator[list[Source]]:
    shard: list[Source] = []
    for source in sources:
        if shard and source.seconds > limit:
            yield shard
            shard = []
        shard.append(source)
        if sum(s.seconds for s in shard) >= limit:
            yield shard
            shard = []
    if shard:
        yield shard


def _prefetched(
    pool: ThreadPoolExecutor, shards: Sequence[list[Source]], rate: int | None, limit: float
) -> Iterator[tuple[list[Source], list[Audio] | None]]:
    """Decode the next shard while the current one is encoded; not those of a long clip."""

    def begin(shard: list[Source]) -> tuple[list[Source], list[Future[Audio]] | None]:
        if shard[0].seconds > limit:
            return shard, None
        return shard, [pool.submit(_decoded, source, rate) for source in shard]

    waiting = iter(shards)
    queue = deque(begin(shard) for shard in islice(waiting, 2))
    while queue:
        shard, futures = queue.popleft()
        yield shard, None if futures is None else [future.result() for future in futures]
        queue.extend(begin(following) for following in islice(waiting, 1))


def _decoded(source: Source, rate: int | None) -> Audio:
    audio = decode.load(source.path, rate)
    source.check(audio.pcm_sha256)
    return audio


def _encode_shard(
    encoder: LoadedBackbone,
    shard: Sequence[Source],
    clips: Sequence[Audio],
    layers: Collection[int],
    frame_set: FrameSet,
) -> tuple[list[ClipStatistics | Unusable], float]:
    """Store the frames of short clips; return their statistics and the time inside `encode`."""
    longest = encoder.backbone.info.max_seconds
    wanted = [frame_set.lacking(source.pcm_sha256, layers) for source in shard]
    windows = [
        [
            Window(clip.samples[start:stop], clip.rate, own, source.id)
            for start, stop in window.windows(len(clip.samples), clip.rate, longest)
        ]
        for source, clip, own in zip(shard, clips, wanted, strict=True)
    ]
    made, seconds = encode(encoder, [one for own in windows for one in own])
    of_windows = iter(made)
    found = [_whole(list(islice(of_windows, len(own)))) for own in windows]
    usable = {
        source.pcm_sha256: one.frames
        for source, one in zip(shard, found, strict=True)
        if isinstance(one, Encoded)
    }
    frame_set.add(
        {
            layer: {clip: own[layer] for clip, own in usable.items() if layer in own}
            for layer in layers
        }
    )
    return [one.statistics if isinstance(one, Encoded) else one for one in found], seconds


def _whole(windows: Sequence[Made]) -> Made:
    """A clip from its windows: statistics and frames; unusable where one of them is."""
    usable = []
    for one in windows:
        if isinstance(one, Unusable):
            return one
        usable.append(one)
    return Encoded(
        statistics.merge(one.statistics for one in usable),
        {layer: joined([one.frames[layer] for one in usable]) for layer in usable[0].frames},
    )
