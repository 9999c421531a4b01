"""Long clips are cut into windows no longer than the backbone accepts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from bench.audio.batch import Wave
from bench.errors import ClipError


def windows(samples: int, rate: int, max_seconds: float) -> list[tuple[int, int]]:
    """Start and end (samples) of the windows of a clip.

    All windows of a clip are equally long (to one sample), so that there is no short tail whose
    few frames would weigh like a full window's. They do not overlap.

    Args:
        samples: length of the clip.
        rate: sample rate in Hz.
        max_seconds: longest window.
    """
    count = max(1, math.ceil(samples / (max_seconds * rate)))
    edges = [round(i * samples / count) for i in range(count + 1)]
    return list(pairwise(edges))


def cut(blocks: Iterator[Wave], edges: Sequence[tuple[int, int]]) -> Iterator[Wave]:
    """Cut a clip that comes block by block into its windows.

    Args:
        blocks: float32 (n,) each, the clip in order.
        edges: from `windows`, for the clip's length.

    Yields:
        The windows in order, float32 (end - start,), none before its last sample has come.

    Raises:
        ClipError: the clip is shorter or longer than `edges` say.
    """
    waiting: list[Wave] = []
    held = 0
    for start, stop in edges:
        while held < stop - start:
            block = next(blocks, None)
            if block is None:
                raise ClipError("is shorter than when it was scanned")
            waiting.append(block)
            held += len(block)
        joined = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
        yield joined[: stop - start]
        waiting = [joined[stop - start :]]
        held = len(waiting[0])
    # to the end in any case: only there does a damaged file tell what is wrong with it
    held += sum(len(block) for block in blocks)
    if held:
        raise ClipError("is longer than when it was scanned")
