"""Clips too long to be held: decoded, encoded, merged and stored slice by slice."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, wait
from contextlib import closing
from itertools import islice
from typing import TypeVar

from bench.audio import window
from bench.audio.decode import Sound, through
from bench.features.encode import LoadedBackbone, Unusable, Window, encode
from bench.features.frames import FrameSet
from bench.features.source import Source
from bench.features.statistics import ClipStatistics, Merger
from bench.machine import return_free_memory

Item = TypeVar("Item")


def encode_long(
    encoder: LoadedBackbone,
    source: Source,
    frame_set: FrameSet,
    layers: Sequence[int],
    decoder: Executor,
    slice_seconds: float,
    on_progress: Callable[[float], None],
    deadline: float | None,
) -> tuple[ClipStatistics | Unusable, float] | None:
    """Pass one clip through the backbone in memory that does not depend on its length.

    Args:
        frame_set: where frames of `layers` are stored, once all have come.
        decoder: has a thread to decode the next slice while one is encoded.
        slice_seconds: most audio that is encoded at a time, but for a longer single window.
        on_progress, deadline: as of `extract`; a clip is given up at its deadline.

    Returns:
        Its statistics, or why it is unusable, and the seconds spent inside `Backbone.encode`; None
        where the deadline came first. But for usable clips nothing is stored.

    Raises:
        ClipError: the file cannot be decoded any more.
        ExtractionError: the file holds other sound than when it was scanned.
        StorageError: the frames cannot be written.
    """
    info = encoder.backbone.info

    def consume(sound: Sound) -> tuple[ClipStatistics | Unusable, float] | None:
        reported = 0.0
        edges = window.windows(sound.length(source.seconds), sound.rate, info.max_seconds)
        longest = max(stop - start for start, stop in edges)
        at_once = max(1, int(slice_seconds * sound.rate / longest))
        windows = iter(window.cut(sound.blocks, edges))
        slices = iter(lambda: list(islice(windows, at_once)), [])
        merger = Merger()
        encode_seconds = 0.0
        with (
            frame_set.begin(source.pcm_sha256, layers) as frames,
            closing(_ahead(decoder, slices)) as decoded,
        ):
            for waves in decoded:
                if reported and deadline is not None and time.time() > deadline:
                    return None
                made, took = encode(
                    encoder, [Window(wave, sound.rate, layers, source.id) for wave in waves]
                )
                encode_seconds += took
                for one in made:
                    if isinstance(one, Unusable):
                        on_progress(source.seconds - reported)
                        return one, encode_seconds
                    merger.add(one.statistics)
                    frames.add(one.frames)
                del made, one
                return_free_memory()
                seconds = sum(len(wave) for wave in waves) / sound.rate
                reported += seconds
                on_progress(seconds)
            source.check(sound.facts().pcm_sha256)
            frames.store()
        return merger.merged(), encode_seconds

    return through(source.path, info.resampled_to, consume)


def _ahead(pool: Executor, items: Iterator[Item]) -> Generator[Item, None, None]:
    """Make the next item in another thread while the last one is used."""
    following = pool.submit(next, items, None)
    try:
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item
    finally:
        wait([following])  # whoever closes the file must not do so under the decoder
