"""A file decoded as a whole, as a backbone gets it block by block."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.audio.batch import Wave
from bench.audio.decode import Sound, through
from bench.audio.stream import BLOCK


@dataclass(frozen=True)
class Audio:
    """Mono samples at a rate, and what the file holds."""

    samples: Wave
    rate: int
    native_rate: int
    channels: int
    pcm_sha256: str


def load(path: Path, rate: int = 16000, block: int = BLOCK) -> Audio:
    """Decode one file; raises as `through` does."""

    def joined(sound: Sound) -> Audio:
        blocks = list(sound.blocks)
        facts = sound.facts()
        return Audio(np.concatenate(blocks), rate, facts.rate, facts.channels, facts.pcm_sha256)

    return through(path, rate, joined, block)
