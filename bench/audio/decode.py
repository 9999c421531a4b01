"""Audio files → mono float32 at one rate, or one sentence saying why a file cannot be used.

Samples are checked, hashed, mixed and resampled as they pass, so that a file of any length needs
little memory. Anything that would quietly change what a clip says, such as half a file or NaN
samples, is a `ClipError`: see `Inspection`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import soxr

from bench.audio.batch import Wave
from bench.audio.stream import BLOCK, Samples, Stream, reading
from bench.errors import ClipError

SOXR_QUALITY = "HQ"
MIN_SECONDS = 0.1
# Of the power that independent channels would have once mixed: 20 dB below it.
_CANCELLED = 0.01

# What reasons end with where a file is sound and nothing can be heard.
_SILENT = "is silent: every sample has the same value"
_SHORT = f"less than the {MIN_SECONDS} s needed"

Result = TypeVar("Result")


@dataclass(frozen=True)
class Facts:
    """What a file holds.

    Its hash is of what was recorded, whatever the container: rate, channel count and the
    interleaved float32 little-endian samples as decoded, before any mixing. A FLAC and the WAV it
    was made from agree, up to 24 bits per sample. A stereo file with two identical channels
    differs from its mono twin.
    """

    pcm_sha256: str
    seconds: float
    channels: int
    rate: int  # samples per second


@dataclass(frozen=True)
class Audio:
    """One clip, ready for a backbone."""

    samples: Wave  # float32 (n,), mean of the channels, at `rate`
    rate: int  # samples per second of `samples`
    native_rate: int  # samples per second in the file
    channels: int  # in the file
    pcm_sha256: str  # see `Facts`


def says_nothing(reason: str) -> bool:
    """Whether a clip is left out as silent or too short, and not as damaged."""
    return reason.endswith((_SILENT, _SHORT))


class Inspection:
    """Looks at a file's own samples as they pass, and says at the end what they are."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._digest = hashlib.sha256()
        self._channels = 0
        self._samples = 0
        self._finite = True
        self._highest = -np.inf
        self._lowest = np.inf
        # power around the mean: of independent channels once mixed, and of what these give
        self._independent = self._given = 0.0

    def add(self, block: Samples) -> Wave:
        """Look at the next samples, float32 (n, channels), and mix them to mono, (n,)."""
        mono = _mixed(block)
        if not len(block):
            return mono
        if not self._samples:
            self._channels = block.shape[1]
            self._digest.update(f"{self._rate}/{self._channels}/".encode())
        self._samples += len(block)
        # + 0.0 turns -0.0, which only float files hold, into 0.0
        with np.errstate(invalid="ignore"):  # signalling NaN, refused once all have passed
            positive = block + np.float32(0.0)
        self._digest.update(np.ascontiguousarray(positive, dtype="<f4").data)
        self._finite = self._finite and bool(np.isfinite(block).all())
        self._highest = max(self._highest, float(mono.max()))
        self._lowest = min(self._lowest, float(mono.min()))
        if self._channels > 1 and self._finite:
            own = block.var(axis=0, dtype=np.float64).sum()
            self._independent += len(block) * float(own) / self._channels**2
            self._given += len(block) * float(mono.var(dtype=np.float64))
        return mono

    def facts(self) -> Facts:
        """What all of the file holds.

        Raises:
            ClipError: the reason alone: no samples, NaN or infinite samples, shorter than
                `MIN_SECONDS`, silent, or in channels that cancel each other. Silent means digital
                silence only: every sample has the same value; quiet recordings are kept.
        """
        if not self._samples:
            raise ClipError("holds no audio samples")
        if not self._finite:
            raise ClipError("holds NaN or infinite samples")
        seconds = self._samples / self._rate
        if seconds < MIN_SECONDS:
            raise ClipError(f"lasts {seconds:.3f} s, {_SHORT}")
        if self._given < _CANCELLED * self._independent:
            raise ClipError(
                f"its {self._channels} channels cancel each other (opposite phase), so that their "
                "mean is not what was recorded: keep one of them, or turn one's sign"
            )
        if self._highest == self._lowest:
            raise ClipError(_SILENT)
        return Facts(self._digest.hexdigest(), seconds, self._channels, self._rate)


def inspected(stream: Stream) -> Facts:
    """What a file holds, in one pass over its blocks; a `ClipError` as `Inspection.facts`."""
    inspection = Inspection(stream.rate)
    for block in stream.blocks:
        inspection.add(block)
    return inspection.facts()


class Sound:
    """A clip for a backbone, block by block.

    Args:
        stream: the file's own samples.
        rate: wanted samples per second; None keeps those of the file.

    Attributes:
        rate: samples per second of the blocks.
        blocks: float32 (n,) each, mean of the channels; joined they are `Audio.samples`, to the
            bit, however the file was cut into blocks.
    """

    def __init__(self, stream: Stream, rate: int | None) -> None:
        self.rate = rate or stream.rate
        self._native_rate = stream.rate
        self._seen = Inspection(stream.rate)
        mono = (self._seen.add(block) for block in stream.blocks)
        self.blocks = resampled(mono, stream.rate, self.rate)

    def length(self, seconds: float) -> int:
        """Samples in all blocks together, given the duration that a scan found."""
        return resampled_length(round(seconds * self._native_rate), self._native_rate, self.rate)

    def first(self, samples: int) -> Wave:
        """The first so many samples, (samples,), with no need to read the rest of the file.

        Raises:
            ClipError: there are fewer.
        """
        found: list[Wave] = []
        missing = samples
        for block in self.blocks:
            found.append(block[:missing])
            missing -= len(found[-1])
            if not missing:
                return np.concatenate(found)
        raise ClipError("is shorter than when it was scanned")

    def facts(self) -> Facts:
        """What the file holds, once all blocks have passed; see `Inspection.facts`."""
        return self._seen.facts()


def through(
    path: Path, rate: int | None, consume: Callable[[Sound], Result], block: int = BLOCK
) -> Result:
    """Decode, mix to mono (mean of the channels) and resample one file as `consume` asks for it.

    Args:
        path: the audio file, in any format soundfile or FFmpeg reads.
        rate: wanted samples per second; None keeps those of the file.
        consume, block: see `reading`.

    Raises:
        ClipError: the clip cannot be used; `<file name>: <reason>`.
        OSError: the file cannot be opened at all.
    """
    try:
        return reading(path, lambda stream: consume(Sound(stream, rate)), block)
    except ClipError as error:
        raise ClipError(f"{path.name}: {error}") from error


def load(path: Path, rate: int | None = 16000, block: int = BLOCK) -> Audio:
    """Decode one file as a whole, for clips that are short enough; see `through`."""

    def joined(sound: Sound) -> Audio:
        blocks = list(sound.blocks)
        facts = sound.facts()
        return Audio(
            np.concatenate(blocks), sound.rate, facts.rate, facts.channels, facts.pcm_sha256
        )

    return through(path, rate, joined, block)


def resampled(blocks: Iterator[Wave], native_rate: int, rate: int) -> Iterator[Wave]:
    """Bring samples to `rate`, block by block, float32 (n,) each; unchanged where the rates agree.

    What comes out is never empty.
    """
    if native_rate == rate:
        yield from (block for block in blocks if len(block))
        return
    resampler: soxr.ResampleStream | None = None
    piece = max(1, BLOCK * native_rate // rate)  # what comes out is no larger than other blocks
    for block in blocks:
        if resampler is None:  # a file without any samples may not know its rate either
            resampler = soxr.ResampleStream(native_rate, rate, 1, "float32", SOXR_QUALITY)
        for start in range(0, len(block), piece):
            if len(ready := resampler.resample_chunk(block[start : start + piece])):
                yield ready
    if resampler is not None:
        rest = resampler.resample_chunk(np.empty(0, dtype=np.float32), last=True)
        if len(rest):
            yield rest


def resampled_length(samples: int, native_rate: int, rate: int) -> int:
    """How many samples `resampled` makes of so many."""
    if native_rate == rate:
        return samples
    return int(samples / (native_rate / rate) + 0.5)  # as soxr computes it, in this order


def _mixed(block: Samples) -> Wave:
    if block.shape[1] == 1:
        return block[:, 0]
    with np.errstate(invalid="ignore"):  # infinite samples are refused once all have passed
        return block.mean(axis=1, dtype=np.float32)
