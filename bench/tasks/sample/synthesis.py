"""Pieces of generated sound that are the same bytes wherever and whenever they are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.signal import lfilter

# First three formants of five vowels in Hz, and their bandwidths.
VOWELS = (
    (730, 1090, 2440),
    (530, 1840, 2480),
    (270, 2290, 3010),
    (570, 840, 2410),
    (300, 870, 2240),
)
BANDWIDTHS = (80, 110, 160)

Random = Callable[..., Any]


def random_of(*entropy: int) -> Random:
    """`random(n)` in [0, 1) from a seed of any number of integers; without n, one number."""
    # only `random`: numpy promises nothing about the stream behind its other distributions
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy))).random


def near(random: Random, share: float) -> float:
    """A factor near one."""
    return float(1 + share * (2 * random() - 1))


def white(random: Random, n: int) -> np.ndarray:
    """White noise of unit power, (n,)."""
    noise: np.ndarray = np.sqrt(12) * (random(n) - 0.5)
    return noise


def resonate(sound: np.ndarray, centre: float, width: float, rate: int) -> np.ndarray:
    """A resonance at `centre` Hz, `width` Hz wide, (n,) → (n,)."""
    radius = np.exp(-np.pi * width / rate)
    turn = 2 * np.cos(2 * np.pi * centre / rate)
    gain = 1 - radius * turn + radius**2
    resonant: np.ndarray = lfilter([gain], [1, -radius * turn, radius**2], sound)
    return resonant


def pulses(contour: np.ndarray, pitch: float, rate: int) -> np.ndarray:
    """A voice's source: a pulse for each turn of a contour in Hz whose mean is `pitch`, (n,)."""
    turns = np.floor(np.cumsum(contour) / rate)
    source: np.ndarray = np.diff(turns, prepend=0.0) * np.sqrt(rate / pitch)
    return source


def hump(n: int) -> np.ndarray:
    """Rises and falls once, (n,)."""
    once: np.ndarray = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 0.7
    return once


def fed_back(sound: np.ndarray, period: int, *gains: float) -> np.ndarray:
    """The sound and its own past: y[n] = x[n] + Σ gains[i] · y[n - period - i], (n,) → (n,).

    A whole period at a time, since `lfilter` multiplies every zero between the two.
    """
    before = period + len(gains) - 1
    heard = np.concatenate([np.zeros(before), sound])
    for start in range(before, len(heard), period):
        here = heard[start : start + period]
        past = np.zeros(len(here))
        for late, gain in reversed(list(enumerate(gains, start=period))):
            past += gain * heard[start - late : start - late + len(here)]
        here += past
    return heard[before:]


def quantised(sound: np.ndarray) -> np.ndarray:
    """16-bit samples of a sound in [-1, 1]; what is beyond is clipped."""
    return np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
