"""Audio files → blocks of their own samples, so that a file of any length passes in little memory.

soundfile reads WAV, FLAC, AIFF and Ogg; PyAV reads the rest, told apart by content and never by
suffix (an MP3 named `.wav` is common).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from backbones.lfs import HEAD, pointer
from bench.errors import ClipError

Samples = NDArray[np.float32]
Result = TypeVar("Result")

# WAV, RF64, FLAC, Ogg, AIFF. Not MP3: libsndfile may only estimate its length, and prints warnings.
_SOUNDFILE_READS = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"FORM")
# Programs that write WAV to a pipe cannot know its length and put a number near 2^31 or 2^32.
_UNKNOWN_LENGTH = 0x7FFFF000
# What libsndfile promises of a FLAC that was written to a pipe.
_UNKNOWN_FRAMES = 2**63 - 1
# Encoder padding makes the declared length of AAC or Opus differ a little from what is decoded.
_LENGTH_TOLERANCE_SECONDS = 0.25
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


def reading(path: Path, consume: Callable[[Stream], Result], block: int = BLOCK) -> Result:
    """Open an audio file, hand its samples to `consume` and return what that returns.

    Args:
        path: the file, in any format soundfile or FFmpeg reads.
        consume: called a second time, with FFmpeg's samples, where libsndfile gives up in the
            middle of a file: it must begin anew.
        block: about how many samples come at a time, all channels together; the samples are the
            same whatever it is.

    Raises:
        ClipError: the reason alone, which depends on nothing but the file's bytes: empty, not
            audio, or truncated (fewer samples than the header promises).
        OSError: the file cannot be opened at all.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    magic = head[:4]
    if not magic:
        raise ClipError("the file is empty (0 bytes)")
    if reason := pointer(head):
        raise ClipError(reason)
    _refuse_short_wav(path)
    if magic in _SOUNDFILE_READS:
        with suppress(soundfile.LibsndfileError), _Sequential(os.fsencode(path)) as sound:
            return consume(Stream(sound.samplerate, _soundfile_blocks(sound, block)))
    try:
        # errors="replace": a tag in Latin-1, common in MP3 files, is no reason to refuse a clip
        container = av.open(str(path), metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise _undecodable(error) from error
    with container:
        if not container.streams.audio:
            raise ClipError("holds no audio stream")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise ClipError("holds audio of an unknown codec")
        blocks = _ffmpeg_blocks(container, stream, block)
        return consume(Stream(stream.codec_context.sample_rate, blocks))


class _Sequential(soundfile.SoundFile):
    """A file that is read from its beginning to its end, without soundfile's seek after each block.

    What a seek finds in a damaged file is not what reading on would have found.
    """

    def seekable(self) -> bool:
        return False


def _soundfile_blocks(sound: soundfile.SoundFile, block: int) -> Iterator[Samples]:
    length = max(1, block // sound.channels)
    found = 0
    while len(samples := sound.read(length, dtype="float32", always_2d=True)):
        found += len(samples)
        yield samples
    sound.seek(found)  # where this fails the file is damaged, and FFmpeg may know better
    if found < sound.frames != _UNKNOWN_FRAMES:
        raise ClipError(f"is truncated: {sound.frames} samples promised, {found} found")


def _ffmpeg_blocks(
    container: av.container.InputContainer, stream: av.audio.stream.AudioStream, block: int
) -> Iterator[Samples]:
    rate = stream.codec_context.sample_rate
    found = 0
    try:
        for samples in _gathered(_planes(container, stream, rate), block):
            found += len(samples)
            yield samples
        promised = _promised_seconds(container, stream)
    except av.error.FFmpegError as error:
        raise _undecodable(error) from error
    if found and found / rate < promised - _LENGTH_TOLERANCE_SECONDS:
        raise ClipError(f"is truncated: {promised:.2f} s promised, {found / rate:.2f} s found")


def _planes(
    container: av.container.InputContainer, stream: av.audio.stream.AudioStream, rate: int
) -> Iterator[Samples]:
    """What the codec gives at a time, float32 (channels, n)."""
    resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate)
    for frame in chain(container.decode(stream), (None,)):
        for block in resampler.resample(frame):
            yield np.asarray(block.to_ndarray(), dtype=np.float32)


def _gathered(planes: Iterator[Samples], block: int) -> Iterator[Samples]:
    """Join what a codec gives, some hundredths of a second each, to blocks (n, channels)."""
    waiting: list[Samples] = []
    held = 0
    for plane in chain(planes, (None,)):
        if plane is not None:
            waiting.append(plane)
            held += plane.size
        if waiting and (plane is None or held >= block):
            yield np.ascontiguousarray(np.concatenate(waiting, axis=1).T)
            waiting, held = [], 0


def _promised_seconds(
    container: av.container.InputContainer, stream: av.audio.stream.AudioStream
) -> float:
    """The length the header declares, 0 where it is absent or only an estimate."""
    if container.format.name == "mp3":
        return 0.0
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / av.time_base
    return 0.0


def _undecodable(error: av.error.FFmpegError) -> ClipError:
    reason = error.strerror or type(error).__name__
    return ClipError(f"is not audio that can be decoded ({reason})")


def _refuse_short_wav(path: Path) -> None:
    """Raise where a WAV's data chunk is longer than the file: libsndfile shortens it silently."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return
        while len(chunk := file.read(8)) == 8:
            length = int.from_bytes(chunk[4:], "little")
            found = size - file.tell()
            if chunk[:4] == b"data":
                if found < length < _UNKNOWN_LENGTH:
                    raise ClipError(f"is truncated: {length} bytes promised, {found} found")
                return
            file.seek(length + length % 2, 1)
