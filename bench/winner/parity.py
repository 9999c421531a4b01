"""Whether what was exported says what the winner says, of real clips or generated sounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from bench.audio.batch import Wave
from bench.audio.decode import Sound, through
from bench.errors import ClipError, UserError
from bench.winner.model import Model

# Probabilities that differ by as much are refused.
LIMIT = 1e-4
# Of generated sounds, in seconds; none divides by a frame.
_SECONDS = (0.3003, 0.71, 1.5717, 3.0001, 5.123, 10.0, 20.0417)


@dataclass(frozen=True)
class Parity:
    """How close what was written comes.

    Attributes:
        difference: the largest of any probability of any clip.
        seconds: of each clip that was compared.
        too_long: clips left out, since they are longer than it takes.
        unusable: clips left out, since voxgrid itself cannot use them.
    """

    difference: float
    seconds: tuple[float, ...]
    too_long: int = 0
    unusable: int = 0


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        size: in bytes.
        rate: samples per second of the wave it takes.
        longest: seconds of that wave at most.
        parity: how close it comes to the winner.
    """

    size: int
    rate: int
    longest: float
    parity: Parity


class Written(Protocol):
    """What was written, run by itself: a mono wave float32 (samples,) → probabilities (labels,)."""

    def __call__(self, wave: Wave) -> NDArray[Any]:
        """What it says of a wave."""

    @property
    def rate(self) -> int:
        """Samples per second of the wave."""

    @property
    def longest(self) -> int:
        """Samples of a wave at most."""


def compare(model: Model, written: Written, files: Sequence[str | Path]) -> Parity:
    """What was written and what the winner says of the same files.

    Raises:
        UserError: none of them can be compared.
        BackboneError, StorageError: as of `Model.each`.
    """
    long, usable, unusable = 0, [], 0
    for file in files:
        try:
            wave = _held(Path(file), written)
        except (ClipError, OSError):
            unusable += 1
        else:
            long += wave is None
            usable += [] if wave is None else [file]
    seconds, differences = [], []
    for file, row in zip(usable, model.each(usable), strict=True):
        wave = _held(Path(file), written)
        if row.probabilities is None or wave is None:
            unusable += 1
            continue
        seconds.append(len(wave) / written.rate)
        differences.append(float(np.abs(written(wave) - np.array(row.probabilities)).max()))
    if not differences:
        raise UserError(
            f"none of {len(files)} files can be compared ({long} are longer than the "
            f"{written.longest / written.rate:g} s that it takes, {unusable} cannot be used): "
            "give others with --parity, or leave it out"
        )
    # of NaN the largest is NaN
    return Parity(float(np.max(differences)), tuple(seconds), long, unusable)


def generate(folder: Path, rate: int, longest: int) -> list[Path]:
    """Write sounds of several lengths, the same each time, no longer than so many samples."""
    random = np.random.default_rng(0)
    paths = []
    for number, seconds in enumerate(_SECONDS):
        wave = _voice(random, min(round(seconds * rate), longest), rate)
        paths.append(folder / f"{number}.wav")
        soundfile.write(paths[-1], wave, rate, subtype="FLOAT")
    return paths


def _voice(random: np.random.Generator, samples: int, rate: int) -> Wave:
    """Harmonics of a wandering pitch that come and go, and noise: (samples,)."""
    time = np.arange(samples) / rate
    pitch = random.uniform(80, 250) * (1 + 0.2 * np.sin(2 * np.pi * random.uniform(0.5, 2) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(np.sin(n * phase + random.uniform(0, 6)) / n for n in range(1, 12))
    loud = np.clip(np.sin(2 * np.pi * random.uniform(1, 3) * time) + 0.5, 0, 1)
    noise = random.standard_normal(samples)
    wave = random.uniform(0.02, 0.2) * loud * voice + random.uniform(1e-3, 2e-2) * noise
    return np.asarray(wave, dtype=np.float32)


def _held(path: Path, written: Written) -> Wave | None:
    """A file's wave (samples,) as what was written takes it; None where it is longer than that.

    Raises:
        ClipError, OSError: it cannot be used.
    """

    def read(sound: Sound) -> Wave | None:
        blocks, held = [], 0
        for block in sound.blocks:
            held += len(block)
            if held > written.longest:
                return None
            blocks.append(block)
        sound.facts()
        return np.concatenate(blocks)

    return through(path, written.rate, read)
