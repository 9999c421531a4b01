"""What FFmpeg reads: everything but the containers that libsndfile reads exactly."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from backbones import reading
from bench.audio.containers import FIRST_BOXES, several
from bench.audio.notes import JOINED, UNTOLD
from bench.errors import ClipError

Samples = NDArray[np.float32]


def _decoder(name: str) -> av.Codec | None:
    try:
        return av.Codec(name, "r")
    except av.codec.codec.UnknownCodecError:
        return None  # it only encodes


# Of these FFmpeg tells the length that the file states; of all others it is a guess from the size
# and the bit rate of the beginning.
_LENGTH_STATED = (
    *("aiff", "ape", "asf", "au", "caf", "flac", "flv", "matroska,webm"),
    *("mov,mp4,m4a,3gp,3g2,mj2", "ogg", "tak", "tta", "w64", "wav", "wv"),
)
# All that are opened: those, and these containers and coded streams. The others are no sound, or
# playlists, scripts and series of files, which have FFmpeg open other files and addresses.
_KNOWN = (
    *(*_LENGTH_STATED, "aac", "ac3", "ac4", "act", "aea", "amr", "amrnb", "amrwb", "apac", "avi"),
    *("avr", "bonk", "codec2", "dsf", "dss", "dts", "dtshd", "dv", "eac3", "epaf", "g722", "gsm"),
    *("hcom", "iamf", "iff", "ilbc", "ircam", "lc3", "loas", "mlp", "mmf", "mp3", "mpc", "mpc8"),
    *("mpeg", "mpegts", "mxf", "nistsphere", "nut", "oma", "osq", "paf", "pvf", "qcp", "qoa"),
    *("rm", "rso", "sbc", "sds", "shn", "sln", "sox", "truehd", "voc", "vqf", "wavarc", "wsd"),
    *("wtv", "wve", "xwma"),
)
_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
_CODECS = ",".join(
    name
    for name, codec in ((name, _decoder(name)) for name in sorted(av.codecs_available))
    if codec is not None and codec.type == "audio"
)
# Of these to the sample, in lossless codecs; FFmpeg leaves out what it cannot decode in silence.
_EXACT = ("caf", "flac")
# Encoder padding makes the declared length of AAC or Opus differ a little from what is decoded.
_LENGTH_TOLERANCE_SECONDS = 0.25
# Some containers count in milliseconds.
_ROUNDING_SECONDS = 0.002
# Where FFmpeg stops at the end of a file, and how far behind that another may begin.
_ENDING = ("flv", "tta", "voc", "wv")
_NEAR = 1 << 16
# What begins the sound of an MP3 file, and where the number of its frames stands from there.
_MP3_HEADERS = {b"Xing": 8, b"Info": 8, b"VBRI": 14}


def begun(file: BinaryIO | mmap.mmap) -> InputContainer:
    """What FFmpeg makes of an open file, not of its name, which it reads for addresses too."""
    file.seek(0)
    # of MP4 alone the tables are looked at before
    boxes = file.read(8)[4:] in FIRST_BOXES
    file.seek(0)
    options = {
        "format_whitelist": ",".join(name for name in _KNOWN if boxes or name != _MP4),
        "protocol_whitelist": "none",
        # pictures and films are decoded to look at them, however large
        "codec_whitelist": _CODECS,
    }
    # errors="replace": a tag in Latin-1, common in MP3 files, is no reason to refuse a clip
    return av.open(file, "r", metadata_errors="replace", options=options)


@contextmanager
def opened(source: str | BinaryIO | mmap.mmap) -> Iterator[tuple[InputContainer, AudioStream]]:
    """The file and its first audio stream; a `ClipError`, the reason alone, where there is none."""
    with ExitStack() as held:
        if isinstance(source, str):
            source = held.enter_context(reading.opened(Path(source)))
        try:
            container = held.enter_context(begun(source))
        except av.error.FFmpegError as error:
            raise undecodable(_reason(error)) from error
        if not container.streams.audio:
            raise ClipError("holds no audio stream")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise ClipError("holds audio of an unknown codec")
        # checksums, where a codec has them; of lossless ones a wrong one always means wrong samples
        strict = "crccheck+explode" if stream.codec_context.codec.lossless else "crccheck"
        stream.codec_context.options = {"err_detect": strict}
        yield container, stream


def decoded(
    container: InputContainer, stream: AudioStream, path: Path, notes: list[str]
) -> Iterator[Samples]:
    """What the codec gives at a time, float32 (n, channels).

    Args:
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
    found, end, joined = 0, 0, False
    failure: ClipError | None = None  # raised where sound follows: else it may be a tag
    resampler: av.AudioResampler | None = None
    for packet, frames, reason in _packets(container, stream):
        if packet is not None:
            end = max(end, (packet.pos or 0) + packet.size)
        if reason and packet is not None and found and _mp3_begins(bytes(packet)):
            joined = True
        elif reason:
            failure = failure or damaged(found / rate, reason)
        for frame in frames:
            if failure:
                raise failure
            own = frame.layout.nb_channels, frame.sample_rate
            if resampler is None:
                # interleaved: of more than seven channels PyAV hands over too many planes
                resampler = av.AudioResampler(format="flt", layout=frame.layout, rate=rate)
                kind = own
            if own != kind:
                raise ClipError(
                    f"changes at {found / rate:.2f} s from {kind[0]} channels at {kind[1]} Hz to "
                    f"{own[0]} at {own[1]} Hz: make a file of each part"
                )
            for samples in _interleaved(resampler, frame, found / rate):
                found += len(samples)
                yield samples
            if frame.is_corrupt:
                failure = damaged(found / rate, "its codec finds errors")
    for samples in _interleaved(resampler, None, found / rate) if resampler else ():
        found += len(samples)
        yield samples
    if joined:
        notes.append(JOINED)
    exact = container.format.name in _EXACT and stream.codec_context.codec.lossless
    tolerance = 0.5 / rate if exact else _LENGTH_TOLERANCE_SECONDS
    if found / rate < promised - tolerance:
        raise ClipError(f"is truncated: {promised:.2f} s promised, {found / rate:.2f} s found")
    if failure and not (promised and found / rate > promised - _ROUNDING_SECONDS):
        raise failure
    if found and container.format.name in _ENDING:
        _refuse_another(path, end)


def samples_held(path: Path) -> int:
    """How many samples per channel the packets of a file hold, whatever its header promises."""
    with opened(str(path)) as (container, stream):
        rate = stream.codec_context.sample_rate
        durations = (
            packet.duration * packet.time_base
            for packet in container.demux(stream)
            if packet.duration and packet.time_base
        )
        return round(sum(durations) * rate)


def _packets(
    container: InputContainer, stream: AudioStream
) -> Iterator[tuple[av.Packet | None, list[av.AudioFrame], str]]:
    """Each packet with its frames, or with why it has none."""
    packets = container.demux(stream)
    while True:
        packet = None
        try:
            packet = next(packets, None)
            if packet is None:
                return
            broken = "a packet is incomplete" if packet.is_corrupt else ""
            yield packet, [] if broken else packet.decode(), broken
        except av.error.FFmpegError as error:
            yield packet, [], _reason(error)


def _refuse_another(path: Path, end: int) -> None:
    """Raise where another file of the same kind follows the end of the first."""
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(end)
        second = file.read(_NEAR).find(magic)
    if second >= 0:
        raise several(end + second)


def _interleaved(
    resampler: av.AudioResampler, frame: av.AudioFrame | None, seconds: float
) -> list[Samples]:
    try:
        blocks = resampler.resample(frame)
    except av.error.FFmpegError as error:
        raise damaged(seconds, _reason(error)) from error
    return [
        np.asarray(block.to_ndarray(), dtype=np.float32).reshape(-1, block.layout.nb_channels)
        for block in blocks
    ]


def _promised_seconds(container: InputContainer, stream: AudioStream, path: Path) -> float:
    """The length the header declares, 0 where it is absent or only an estimate."""
    name, most = container.format.name, float("inf")
    if name == "mp3":  # of several files in one FFmpeg makes an estimate
        rate = stream.codec_context.sample_rate
        most = _mp3_frames(path) * (1152 if rate >= 32000 else 576) / rate
    elif name not in _LENGTH_STATED:
        return 0.0
    if stream.duration is not None and stream.time_base is not None:
        return min(most, float(stream.duration * stream.time_base))
    if container.duration is not None and len(container.streams) == 1:
        return min(most, container.duration / av.time_base)
    return 0.0


def _mp3_begins(data: bytes) -> bool:
    return data[:3] == b"ID3" or any(mark in data[:64] for mark in _MP3_HEADERS)


def _mp3_frames(path: Path) -> int:
    """How many frames the header of an MP3 promises, behind the tag it may have; 0: unknown."""
    with path.open("rb") as file:
        head = file.read(10)
        tag = int("".join(f"{byte:07b}" for byte in head[6:]) or "0", 2)
        file.seek(10 + tag if head[:3] == b"ID3" else 0)
        data = file.read(96)
    for mark, number in _MP3_HEADERS.items():
        if (at := data.find(mark, 0, 64)) >= 0:
            return int.from_bytes(data[at + number : at + number + 4], "big")
    return 0


def _reason(error: av.error.FFmpegError) -> str:
    return error.strerror or type(error).__name__


def undecodable(reason: str) -> ClipError:
    """A file that is nothing a decoder knows."""
    return ClipError(f"is not audio that can be decoded ({reason})")


def damaged(seconds: float, reason: str) -> ClipError:
    """A file that a decoder gives up in the middle of."""
    return ClipError(f"is damaged or truncated at {seconds:.2f} s ({reason.rstrip('.')})")
