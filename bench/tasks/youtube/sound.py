"""The sound in a file that came from elsewhere: its beginning alone, and how much that is."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from backbones.reading import opened
from bench.audio.ffmpeg import begun

_CODECS = ("opus", "vorbis", "aac", "mp3", "flac", "alac", "pcm_")
# What these declare as their length is an estimate from the size of the file.
_ESTIMATED = ("mp3", "aac", "mpegts", "wav")
_GAP = 0.02  # seconds; timestamps in milliseconds leave smaller ones between packets that join


class NotSound(Exception):
    """A file that holds no sound that can be kept; the message is the reason alone."""

    def __init__(self, reason: str, certain: bool = False):
        super().__init__(reason)
        self.certain = certain  # whether more of the file would change nothing


@dataclass(frozen=True)
class Beginning:
    """The first seconds of a file's sound, packets as they were, in Matroska."""

    content: bytes  # of the file
    codec: str  # FFmpeg's name of it
    seconds: float  # of sound in it; gaps between packets do not count
    promised: float | None  # seconds that the source declares; None for none, or an estimate


def beginning(path: Path, most: float) -> Beginning:
    """Copy the first packets into a file of their own, without decoding them, gaps closed.

    The same packets give the same bytes: no time of day, random id or program version goes in,
    and no text of the source (titles, comments) either. The file may lack its end; packets that
    begin after `most` seconds are left out.

    Raises:
        NotSound: nothing can be read from it (so far).
    """
    content = io.BytesIO()
    with (
        _open(path) as (container, stream),
        av.open(content, "w", format="matroska", options={"fflags": "+bitexact"}) as output,
    ):
        copy = output.add_stream_from_template(stream)
        copy.metadata.clear()
        delay: int | None = None
        heard = Fraction(0)
        for packet, start, ends in _packets(container, stream):
            if start >= most:
                break
            heard = ends
            if delay is None:
                # a time before zero is the encoder's delay, which players skip
                delay = min(0, packet.pts or 0)
            packet.pts = packet.dts = int(start / packet.time_base) + delay
            packet.stream = copy
            output.mux(packet)
        codec, promised = _codec(stream), _promised(container, stream)
    if delay is None:
        raise NotSound("holds no sound")
    return Beginning(content.getvalue(), codec, float(heard), promised)


@contextmanager
def _open(path: Path) -> Iterator[tuple[InputContainer, AudioStream]]:
    with opened(path) as file:
        try:
            with begun(file) as container:
                if not container.streams.audio:
                    raise NotSound("holds no sound", certain=True)
                stream = container.streams.audio[0]
                _codec(stream)
                yield container, stream
        except av.error.FFmpegError as error:
            reason = error.strerror or type(error).__name__
            raise NotSound(f"cannot be read as sound ({reason})") from error


def _codec(stream: AudioStream) -> str:
    if stream.codec_context is None:
        raise NotSound("holds sound of an unknown codec", certain=True)
    name = str(stream.codec_context.codec.canonical_name)
    if not name.startswith(_CODECS):
        raise NotSound(f"holds sound of a codec that is not kept ({name})", certain=True)
    return name


def _packets(
    container: InputContainer, stream: AudioStream
) -> Iterator[tuple[av.Packet, Fraction, Fraction]]:
    """Yield whole packets with the seconds of sound before them and up to their end.

    A gap in the timestamps is no sound, and a decoder leaves it out.
    """
    first: int | None = None
    ends = gaps = 0  # in the stream's unit of time
    joins = True
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                return
            if packet.pts is None or packet.time_base is None or not packet.size:
                continue
            start, length = packet.pts, packet.duration or 0
            if first is None:
                first = ends = start
            if joins and (start - ends) * packet.time_base > _GAP:
                gaps += start - ends
            joins = length > 0  # without, it lasts until the next one
            ends = max(ends, start + length)
            passed = first + gaps
            yield packet, (start - passed) * packet.time_base, (ends - passed) * packet.time_base
    except (av.error.EOFError, av.error.InvalidDataError, av.error.OSError):
        return  # the end of what there is of the file


def _promised(container: InputContainer, stream: AudioStream) -> float | None:
    if container.format.name in _ESTIMATED:
        return None
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None:
        return container.duration / av.time_base
    return None
