"""Sound → a sequence of 32-bit words that survives codecs, levels and cuts.

After Haitsma & Kalker 2002, "A Highly Robust Audio Fingerprinting System": each bit is the sign of
a difference of energies along frequency and time. What two such sequences have in common is found
in bench/audio/likeness.py.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
import scipy.signal
import soxr
from numpy.typing import NDArray

# Of a longer clip only the beginning counts, so that neither memory nor time grow without end.
MAX_SECONDS = 600.0

RATE = 5500
FRAME = 2048
HOP = 128
# Words per second of sound.
WORD_RATE = RATE / HOP

_BANDS = 33
_LOWEST_HZ, _HIGHEST_HZ = 300.0, 2000.0
# Changes this small beside the frame's energy say nothing: in a steady tone they are the rounding
# of the samples, in coded sound the noise of the codec.
_DEAD_ZONE = 1e-5
# Frames are always transformed in the same groups, so that rounding cannot depend on the blocks.
_GROUP = 64

_EDGES = np.round(
    np.geomspace(_LOWEST_HZ, _HIGHEST_HZ, _BANDS + 1) * FRAME / RATE,
).astype(np.intp)
_WINDOW = scipy.signal.windows.hann(FRAME, sym=False).astype(np.float32)
_POWERS = np.left_shift(np.uint32(1), np.arange(_BANDS - 1, dtype=np.uint32))


class Fingerprinter:
    """Fingerprint of one clip, from blocks of any size at one rate."""

    def __init__(self, rate: int) -> None:
        self._resampler = soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")
        self._block = rate * 10
        self._wanted = round(rate * MAX_SECONDS)
        self._samples = np.zeros(0, np.float32)
        self._last: NDArray[np.float32] | None = None
        self._words: list[NDArray[np.uint32]] = []

    def add(self, mono: NDArray[np.float32]) -> None:
        """Take the next block, float32 (n,), n ≥ 0; what lies beyond `MAX_SECONDS` is ignored."""
        mono = mono[: self._wanted]
        self._wanted -= len(mono)
        for start in range(0, len(mono), self._block):
            self._take(mono[start : start + self._block], last=False)

    def finish(self) -> NDArray[np.uint32]:
        """Return the words, uint32 (words,), `WORD_RATE` to the second; nothing may follow.

        Sound shorter than two frames (0.38 s) gives none.
        """
        self._take(np.zeros(0, np.float32), last=True)
        self._transform(max(0, (len(self._samples) - FRAME) // HOP + 1))
        return np.concatenate([np.zeros(0, np.uint32), *self._words])

    def _take(self, mono: NDArray[np.float32], *, last: bool) -> None:
        self._samples = np.concatenate(
            [self._samples, self._resampler.resample_chunk(mono, last=last)]
        )
        frames = (len(self._samples) - FRAME) // HOP + 1
        self._transform(max(0, frames // _GROUP * _GROUP))

    def _transform(self, frames: int) -> None:
        """Turn the first `frames` frames of what is waiting into words and drop them."""
        if not frames:
            return
        views = np.lib.stride_tricks.sliding_window_view(self._samples, FRAME)[: frames * HOP : HOP]
        for start in range(0, frames, _GROUP):
            spectrum = scipy.fft.rfft(views[start : start + _GROUP] * _WINDOW, axis=1)
            power = spectrum.real[:, : _EDGES[-1]] ** 2 + spectrum.imag[:, : _EDGES[-1]] ** 2
            self._words.append(self._words_of(np.add.reduceat(power, _EDGES[:-1], axis=1)))
        self._samples = self._samples[frames * HOP :].copy()

    def _words_of(self, energies: NDArray[np.float32]) -> NDArray[np.uint32]:
        """float32 (frames, bands) → words, one for each frame that has one before it."""
        if self._last is not None:
            energies = np.concatenate([self._last, energies])
        self._last = energies[-1:]
        differences = np.diff(np.diff(energies, axis=1), axis=0)
        floor = _DEAD_ZONE * energies.sum(axis=1, keepdims=True)[1:]
        return (differences > floor) @ _POWERS
