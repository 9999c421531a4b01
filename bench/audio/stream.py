"""Audio files → blocks of their own samples, so that a file of any length passes in little memory.

`bench/audio/containers.py` says what a file is and who reads it: soundfile, exactly, or PyAV.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from backbones import reading as bounds
from bench.audio import ffmpeg
from bench.audio.containers import Framing, framing
from bench.audio.notes import SCALED
from bench.errors import ClipError

Samples = NDArray[np.float32]
Result = TypeVar("Result")

# What libsndfile promises of a FLAC that was written to a pipe.
_UNKNOWN_FRAMES = 2**63 - 1
# How much libsndfile is asked for at a time: what it meets damage in is lost.
_PIECE = 4096
# No sound in floating point is 36 dB above full scale; integers below that are all but silent.
_HIGHEST_FLOAT = 64.0
# Of samples other than 0, more than so many are beyond ±1 where they are integers.
_MOSTLY = 0.1
_INTEGER_SCALES = (2.0**15, 2.0**23, 2.0**31)
# Sample formats of soundfile in which each sample has its own bytes.
_LINEAR = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")
# Whose versions belong to whatever is remembered of a file, in short.
_VERSIONS = (soundfile.__libsndfile_version__, av.__version__, *sorted(av.library_versions.items()))
DECODERS = hashlib.sha256(repr(_VERSIONS).encode()).hexdigest()[:8]
# About 5 s of 48 kHz mono; the channels of a file share it, and its header does not enlarge it.
BLOCK = 1 << 18


@dataclass(frozen=True)
class Stream:
    """A file's own samples, from its beginning to its end, once.

    A file that turns out to be truncated or damaged is a `ClipError` when that is known, at the
    latest at its end.
    """

    rate: int  # samples per second
    blocks: Iterator[Samples]  # float32 (n, channels) each, in [-1, 1] for integer formats
    notes: list[str] = field(default_factory=list)  # of `bench.audio.notes`; complete at the end
    floats: bool = False  # whether they are stored in floating point, where any scale is possible


def reading(path: Path, consume: Callable[[Stream], Result], block: int = BLOCK) -> Result:
    """Open an audio file, hand its samples to `consume` and return what that returns.

    Floating-point samples are read twice, since they may have the scale of integers: where their
    peak is beyond ±64, and many others are beyond ±1, all are divided by the smallest of 2^15, 2^23
    and 2^31 that holds it.

    Args:
        path: the file, in any format soundfile or FFmpeg reads.
        consume: called once.
        block: about how many samples come at a time, all channels together; the samples are the
            same whatever it is.

    Raises:
        ClipError: the reason alone, which depends on nothing but the file's bytes: empty, not
            audio, truncated (fewer samples than the header promises), damaged, several in one, or
            beyond the bounds of `backbones.reading`.
        OSError: the file cannot be opened at all.
    """
    known = framing(path)
    with _opened(path, known, block) as stream:
        if not stream.floats:
            return consume(stream)
        scale = _scale(stream)
    with _opened(path, known, block) as stream:
        if scale == 1.0:
            return consume(stream)
        stream.notes.append(SCALED)
        blocks = (samples / np.float32(scale) for samples in stream.blocks)
        return consume(replace(stream, blocks=blocks))


def _scale(stream: Stream) -> float:
    """What floating-point samples have to be divided by."""
    peak, beyond, sounding = 0.0, 0, 0
    for samples in stream.blocks:
        levels = np.abs(samples)
        peak = max(peak, float(levels.max(initial=0.0)))
        beyond += int((levels > 1).sum())
        sounding += int((levels > 0).sum())
    if peak <= _HIGHEST_FLOAT or not np.isfinite(peak):  # the latter is refused with the samples
        return 1.0
    scale = next((scale for scale in _INTEGER_SCALES if peak <= scale), None)
    if scale is None or beyond < _MOSTLY * sounding:
        raise ClipError(
            f"holds damaged samples, up to {peak:.3g}: neither sound within ±1 nor in integer scale"
        )
    return scale


@contextmanager
def _opened(path: Path, known: Framing, block: int) -> Iterator[Stream]:
    with known.opened(path) as source:
        if known.container.soundfile:
            try:
                sound = _Sequential(os.fsencode(source) if isinstance(source, str) else source)
            except soundfile.LibsndfileError as error:
                if not known.container.ffmpeg:
                    raise ffmpeg.undecodable(error.error_string) from error
            else:
                with sound:
                    if known.short and not sound.subtype.startswith(_LINEAR):
                        raise ClipError(known.short)
                    blocks = _gathered(_sequence(sound, block, path), block)
                    floats = sound.subtype in ("FLOAT", "DOUBLE")
                    stream = Stream(sound.samplerate, blocks, list(known.notes), floats)
                    yield _bounded(stream, path)
                return
        if known.short:
            raise ClipError(known.short)
        with known.opened(path) as anew, ffmpeg.opened(anew) as (container, audio):
            notes = list(known.notes)
            blocks = _gathered(ffmpeg.decoded(container, audio, path, notes), block)
            context = audio.codec_context
            floats = context.name.startswith("pcm_f")
            yield _bounded(Stream(context.sample_rate, blocks, notes, floats), path)


def _bounded(stream: Stream, path: Path) -> Stream:
    """The same, as far as any clip may go: a few bytes may promise a rate, and unpack to days."""
    low, high = bounds.RATES
    if stream.rate and not low <= stream.rate <= high:
        raise ClipError(f"has {stream.rate} samples per second, not between {low} and {high}")
    longest = bounds.LONGEST * stream.rate
    most = bounds.MOST_SAMPLES + bounds.MOST_SAMPLES_PER_BYTE * path.stat().st_size

    def blocks() -> Iterator[Samples]:
        length = held = 0
        for samples in stream.blocks:
            length, held = length + len(samples), held + samples.size
            if length > longest:
                raise ClipError(f"lasts more than {bounds.LONGEST} s: cut it into clips")
            if held > most:
                raise ClipError(f"unpacks to more than {most} samples: write it as WAV")
            yield samples

    return replace(stream, blocks=blocks())


class _Sequential(soundfile.SoundFile):
    """A file that is read from its beginning to its end, without soundfile's seek after each block.

    What a seek finds in a damaged file is not what reading on would have found.
    """

    def seekable(self) -> bool:
        return False


def _sequence(sound: soundfile.SoundFile, block: int, path: Path) -> Iterator[Samples]:
    """What libsndfile reads, float32 (n, channels) at a time."""
    length = max(1, min(_PIECE, block // sound.channels))
    promised = None if sound.frames == _UNKNOWN_FRAMES else sound.frames
    # libFLAC takes what is behind the sound, such as a tag, for more of it
    last = promised if sound.format == "FLAC" else None
    found = 0
    try:
        while length and len(samples := sound.read(length, dtype="float32", always_2d=True)):
            found += len(samples)
            yield samples
            length = length if last is None else min(length, last - found)
    except soundfile.LibsndfileError as error:
        raise ffmpeg.damaged(found / sound.samplerate, error.error_string) from error
    if promised is not None and found < promised:
        raise ClipError(f"is truncated: {promised} samples promised, {found} found")
    if last is not None and (held := ffmpeg.samples_held(path)) > last:
        raise ClipError(
            f"holds more than its header promises: {last} samples promised, {held} found; write "
            "its header anew, as `ffmpeg -i OLD.flac NEW.flac` does"
        )


def _gathered(pieces: Iterator[Samples], block: int) -> Iterator[Samples]:
    """Join what a decoder gives, some hundredths of a second each, to blocks."""
    waiting: list[Samples] = []
    held = 0
    for piece in pieces:
        waiting.append(piece)
        held += piece.size
        if held >= block:
            yield np.concatenate(waiting)
            waiting, held = [], 0
    if waiting:
        yield np.concatenate(waiting)
