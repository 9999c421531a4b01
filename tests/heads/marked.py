"""Clips whose class a network can find."""

from __future__ import annotations

import numpy as np

from heads._conformance.in_memory import MemorySequences


def marked(
    clips: int = 90, width: int = 16, seed: int = 0, strength: float = 6.0, layers: int = 1
) -> tuple[MemorySequences, np.ndarray]:
    """Noise of 20 to 40 frames; the class shows in the mean of every frame."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).standard_normal((3, width))
    codes = rng.permutation(np.arange(clips) % 3)
    made = []
    for code in codes:
        length = int(rng.integers(20, 41))
        frames = rng.standard_normal((layers, length, width)) + 0.1 * strength * directions[code]
        made.append(frames.astype(np.float32))
    return MemorySequences(made), np.array(["calm", "happy", "sad"])[codes]
