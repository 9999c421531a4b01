"""Long clips are cut into windows no longer than the backbone accepts."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

WINDOW_VERSION = 1


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


def settings(max_seconds: float) -> dict[str, Any]:
    """The window policy as it enters the cache key."""
    return {"policy": "equal", "version": WINDOW_VERSION, "max_seconds": max_seconds}
