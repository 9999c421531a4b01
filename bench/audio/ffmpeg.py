"""What FFmpeg reads: everything but the containers that libsndfile reads exactly."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from bench.audio.notes import JOINED, UNTOLD
from bench.errors import ClipError

Samples = NDArray[np.float32]

# Of these FFmpeg tells the length that the file states; of all others it is a guess from the size
# and the bit rate of the beginning.
_LENGTH_STATED = (
    *("aiff", "ape", "asf", "au", "caf", "flac", "flv", "matroska,webm"),
    *("mov,mp4,m4a,3gp,3g2,mj2", "ogg", "tak", "tta", "w64", "wav", "wv"),
)
# Of these to the sample, in lossless codecs; FFmpeg leaves out what it cannot decode in silence.
_EXACT = ("caf", "flac")
# Encoder padding makes the declared length of AAC or Opus differ a little from what is decoded.
_LENGTH_TOLERANCE_SECONDS = 0.25
# Where FFmpeg stops at the end of a file, and how far behind that another may begin.
_ENDING = ("flv", "tta", "voc", "wv")
_NEAR = 1 << 16
# What begins the sound of an MP3 file, and says how long it is.
_MP3_HEADERS = (b"Xing", b"Info", b"VBRI")


@contextmanager
def opened(source: str | io.RawIOBase) -> Iterator[tuple[InputContainer, AudioStream]]:
    """The file and its first audio stream; a `ClipError`, the reason alone, where there is none."""
    try:
        # errors="replace": a tag in Latin-1, common in MP3 files, is no reason to refuse a clip
        container = av.open(source, "r", metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise undecodable(_reason(error)) from error
    with container:
        if not container.streams.audio:
            raise ClipError("holds no audio stream")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise ClipError("holds audio of an unknown codec")
        # checksums, where a codec has them; of lossless ones a wrong one always means wrong samples
        strict = "crccheck+explode" if stream.codec_context.codec.lossless else "crccheck"
        stream.codec_context.options = {"err_detect": strict}
        yield container, stream


def floats(stream: AudioStream) -> bool:
    """Whether the samples are stored as floating-point numbers, where any scale is possible."""
    return stream.codec_context.name.startswith("pcm_f")


def decoded(
    container: InputContainer, stream: AudioStream, path: Path, notes: list[str]
) -> Iterator[Samples]:
    """What the codec gives at a time, float32 (n, channels).

    Args:
        container, stream: of `opened`.
        path: the file, whose first bytes tell more than FFmpeg does.
        notes: gets what there is to know of the file, at the latest at its end.

    Raises:
        ClipError: the reason alone, when it is known: damaged, truncated, or a change of rate or
            channels.
    """
    rate = max(1, stream.codec_context.sample_rate)
    promised = _promised_seconds(container, stream, path)
    if not promised and UNTOLD not in notes:
        notes.append(UNTOLD)
    found = 0
    failure: ClipError | None = None  # raised where sound follows: else it may be a tag
    kind: tuple[int, int] | None = None
    end = [0]  # of the last packet
    for frame in _frames(container, stream, end):
        if isinstance(frame, _Unreadable):
            if found and frame.begins_an_mp3:
                notes.append(JOINED)
            else:
                failure = failure or damaged(found / rate, frame.reason)
            continue
        if failure:
            raise failure
        own = frame.layout.nb_channels, frame.sample_rate
        if kind is None:
            # interleaved: of more than seven channels PyAV hands over too many planes
            resampler = av.AudioResampler(format="flt", layout=frame.layout, rate=rate)
            kind = own
        if own != kind:
            raise ClipError(
                f"changes at {found / rate:.2f} s from {kind[0]} channels at {kind[1]} Hz to "
                f"{own[0]} at {own[1]} Hz: make a file of each part"
            )
        for block in resampler.resample(frame):
            found += block.samples
            yield _interleaved(block)
        if frame.is_corrupt:
            failure = damaged(found / rate, "its codec finds errors")
    for block in resampler.resample(None) if kind else ():
        found += block.samples
        yield _interleaved(block)
    lacking = 0.0 if JOINED in notes else promised - found / rate
    exact = container.format.name in _EXACT and stream.codec_context.codec.lossless
    if lacking > (0.5 / rate if exact else _LENGTH_TOLERANCE_SECONDS):
        raise ClipError(f"is truncated: {promised:.2f} s promised, {found / rate:.2f} s found")
    if found:
        _nothing_follows(container, path, end[0])
    if failure and not (promised and found):
        raise failure


class _Unreadable:
    """What a packet holds that cannot be decoded, and why."""

    def __init__(self, reason: str, packet: av.Packet | None) -> None:
        self.reason = reason
        # of several MP3 files in one, each begins with a frame that holds no sound
        self.begins_an_mp3 = packet is not None and _begins_an_mp3(bytes(packet))


def _nothing_follows(container: InputContainer, path: Path, end: int) -> None:
    """Raise where another file of the same kind follows."""
    if container.format.name not in _ENDING:
        return
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(end)
        second = file.read(_NEAR).find(magic)
    if second >= 0:
        raise ClipError(f"is several files in one, the second from byte {end + second}")


def _frames(
    container: InputContainer, stream: AudioStream, end: list[int]
) -> Iterator[av.AudioFrame | _Unreadable]:
    packets = container.demux(stream)
    while True:
        packet = None
        try:
            packet = next(packets, None)
            if packet is None:
                return
            end[0] = max(end[0], (packet.pos or 0) + packet.size)
            if packet.is_corrupt:
                yield _Unreadable("a packet is incomplete", packet)
            else:
                yield from packet.decode()
        except av.error.FFmpegError as error:
            yield _Unreadable(_reason(error), packet)


def _interleaved(block: av.AudioFrame) -> Samples:
    samples = np.asarray(block.to_ndarray(), dtype=np.float32)
    return samples.reshape(-1, block.layout.nb_channels)


def _begins_an_mp3(data: bytes) -> bool:
    return data[:3] == b"ID3" or any(mark in data[:64] for mark in _MP3_HEADERS)


def _promised_seconds(container: InputContainer, stream: AudioStream, path: Path) -> float:
    """The length the header declares, 0 where it is absent or only an estimate."""
    name = container.format.name
    if name not in _LENGTH_STATED and not (name == "mp3" and _mp3_states_length(path)):
        return 0.0
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / av.time_base
    return 0.0


def _mp3_states_length(path: Path) -> bool:
    """Whether the first frame, behind the tag that may come before it, holds the length."""
    with path.open("rb") as file:
        head = file.read(10)
        tag = int("".join(f"{byte:07b}" for byte in head[6:]) or "0", 2)
        file.seek(10 + tag if head[:3] == b"ID3" else 0)
        return _begins_an_mp3(file.read(64))


def _reason(error: av.error.FFmpegError) -> str:
    return error.strerror or type(error).__name__


def undecodable(reason: str) -> ClipError:
    """A file that is nothing a decoder knows."""
    return ClipError(f"is not audio that can be decoded ({reason})")


def damaged(seconds: float, reason: str) -> ClipError:
    """A file that a decoder gives up in the middle of."""
    return ClipError(f"is damaged or truncated at {seconds:.2f} s ({reason.rstrip('.')})")
