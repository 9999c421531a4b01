"""What a file's own framing says: who reads it, whether all of it is there, what must be said.

Decoders shorten a file whose end is missing in silence, stop at the length that a header gives and
ignore what follows. Hence the framing is read here first, by one table of containers; what no table
knows is FFmpeg's to recognise, by content and never by suffix (an MP3 named `.wav` is common).
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from backbones.reading import HEAD, MOST_PARTS, opened, pointer
from bench.audio.notes import NO_LENGTH, UNTOLD
from bench.audio.ogg import one_recording
from bench.errors import ClipError

# Programs that write to a pipe cannot know a length and put a number near 2^31 or 2^32.
_UNKNOWN_LENGTH = 0x7FFFF000
_ENDLESS = 2**63
# Some recorders count their header, or a part of it, as sound: 44 bytes are the largest in use.
_HEADER_COUNTED = 44
# Others fill their files up with zeros.
_MOST_PADDING = 1 << 20
# How tags begin that players leave behind the sound, and chunks that come last and may be cut; all
# else there may be sound.
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN", b"LIST", b"id3 ", b"pakt")


@dataclass(frozen=True)
class Data:
    """Where the sound of a file lies."""

    start: int  # its first byte
    length: int  # bytes promised
    unsure: bool = False  # whether that number only says that the length is not known
    field: tuple[int, str] = (0, "")  # where it stands and how (of `struct`), if in one place
    chunks: Chunks | None = None  # the container, where other chunks may follow

    def patch(self, length: int) -> tuple[int, bytes]:
        """What to write where, so that the file promises another length."""
        at, form = self.field
        counted = self.chunks.counted if self.chunks else 0
        return at, struct.pack(form, length + counted) if form else b""


@dataclass(frozen=True)
class Chunks:
    """A container made of chunks, each with a name and a length."""

    first: int  # where the first chunk begins
    head: str  # name and length of a chunk, of `struct`
    sound: tuple[bytes, ...] = (b"data",)  # names of the chunk that holds the sound
    inner: int = 0  # bytes before the samples in that chunk
    counted: int = 0  # bytes of a chunk's head that its length counts
    aligned: int = 2  # chunks begin at multiples of so many bytes

    def find(self, file: BinaryIO, size: int) -> Data | None:
        """The chunk of the sound; None where there is none."""
        long = None
        for start, name, length, _ in self._walk(file, self.first, size):
            if name in self.sound:
                where = start - struct.calcsize(self.head[-1]), self.head[0] + self.head[-1]
                if long is not None:
                    length, where = long, (self.first + 16, "<Q")
                unsure = length < 0 or (self.head[-1] == "I" and length >= _UNKNOWN_LENGTH)
                length = _ENDLESS if length < 0 else length
                return Data(start, length, unsure, where, self)
            if name == b"ds64":  # the true length in RF64, whose own fields have 32 bits
                long = int.from_bytes(file.read(16)[8:], "little")
        return None

    def unaccounted(self, file: BinaryIO, end: int, size: int) -> int:
        """Bytes behind the sound, which ends there, that are in no chunk."""
        # some writers forget to align what follows
        reached = []
        for position in {end, end + -end % self.aligned}:
            for start, name, length, following in self._walk(file, position, size):
                known = all(32 <= byte < 127 for byte in name) and 0 <= length <= size - start
                if not known or name in self.sound or name in CONTAINERS:
                    break
                position = following
            reached.append(position)
        return max(0, size - max(reached))

    def _walk(
        self, file: BinaryIO, position: int, size: int
    ) -> Iterator[tuple[int, bytes, int, int]]:
        """Where each chunk's contents begin, its name and length, and where the next one begins."""
        for _ in _parts():
            if position >= size:
                return
            file.seek(position)
            head = file.read(struct.calcsize(self.head))
            if len(head) < struct.calcsize(self.head):
                return
            name, length = struct.unpack(self.head, head)
            start, length = file.tell(), length - self.counted
            position = start + max(0, length)
            position += -position % self.aligned
            yield start, name, length, position


def _parts() -> Iterator[int]:
    """As many numbers as a file may have parts; a walk over empty ones takes 1 s for 2 MB."""
    yield from range(MOST_PARTS)
    raise ClipError(f"consists of more than {MOST_PARTS} chunks: write it anew")


class _View(mmap.mmap):
    """A file of which only what is changed takes memory, and whose end holds a seek back."""

    def seek(self, offset: int, whence: int = 0) -> None:
        offset += (0, self.tell(), len(self))[whence]
        super().seek(min(max(0, offset), len(self)))


# What an MP4 file may begin with.
FIRST_BOXES = frozenset(b"ftyp moov mdat free skip wide styp moof sidx pnot".split())
# Boxes that hold others.
_BOXES_OF_BOXES = frozenset(b"moov trak mdia minf stbl mvex moof traf udta edts dinf".split())


def _au(file: BinaryIO, _size: int) -> Data | None:
    file.seek(4)
    start, length = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
    return Data(start, length, length >= _UNKNOWN_LENGTH, (8, ">I")) if start >= 24 else None


def _sphere(file: BinaryIO, _size: int) -> Data | None:
    file.seek(0)
    head = file.read(1024)
    fields = dict(re.findall(rb"(\w+) -\w+ (\S+)", head))
    try:
        samples, channels, width = (
            int(fields[name]) for name in (b"sample_count", b"channel_count", b"sample_n_bytes")
        )
        start = int(head[8:16])
    except (KeyError, ValueError):
        return None  # not SPHERE after all
    compressed = b"," in fields.get(b"sample_coding", b"")
    likely = all(0 <= number < _ENDLESS for number in (start, samples, channels, width))
    return None if compressed or not likely else Data(start, samples * channels * width)


def _one_flac(file: BinaryIO, _size: int) -> tuple[str, ...]:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # the mark, then the head of the block that has to follow it
        if second := re.compile(rb"fLaC[\0\x80]\0\0\x22").search(data, 4):
            raise several(second.start())
    return ()


def _one_mp4(file: BinaryIO, size: int) -> tuple[str, ...]:
    begins, end, samples = 0, 0, 0
    for position, depth, name, start, following in _boxes(file, 0, size, _parts()):
        file.seek(start)
        head = file.read(12).ljust(12, b"\0")
        if depth == 0:
            end = following
            begins += name == b"ftyp"
            if begins > 1:
                raise several(position)
        elif name == b"trun":
            samples += int.from_bytes(head[4:8], "big")
        elif name == b"stsz":
            width, count = struct.unpack(">II", head[4:])
            samples += width * count  # without a width each sample has one of its own there
    # FFmpeg takes 36 bytes of memory for each sample that is promised, which has a byte at least
    if max(end, samples) > size:
        raise ClipError(f"is truncated: {max(end, samples)} bytes promised, {size} found")
    return ()


def _boxes(
    file: BinaryIO, position: int, end: int, parts: Iterator[int], depth: int = 0
) -> Iterator[tuple[int, int, bytes, int, int]]:
    """Boxes of an MP4 file: where each is, how deep, its name, where it and the next one begin."""
    while position < end:
        next(parts)
        file.seek(position)
        length, name = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
        start = position + 8
        if length == 1:
            length, start = int.from_bytes(file.read(8), "big"), position + 16
        if length < 8 or not (depth or name.isalnum()):  # up to the end, or no box
            return
        yield position, depth, name, start, position + length
        if name in _BOXES_OF_BOXES and depth < len(_BOXES_OF_BOXES):
            yield from _boxes(file, start, min(end, position + length), parts, depth + 1)
        position += length


def several(second: int) -> ClipError:
    """Files of one kind, one after the other, of which decoders read the first alone."""
    return ClipError(f"is several files in one, the second from byte {second}: split it")


@dataclass(frozen=True)
class Container:
    """How a container is read; both functions are given the file and its size."""

    find: Callable[[BinaryIO, int], Data | None] = lambda *_: None  # where its sound is, if known
    check: Callable[[BinaryIO, int], tuple[str, ...]] = lambda *_: ()  # notes, or a `ClipError`
    soundfile: bool = True  # whether libsndfile reads it
    ffmpeg: bool = True  # whether FFmpeg reads what libsndfile cannot open


# libsndfile reads these: exactly, in every sample format that they hold. FFmpeg takes RIFX for
# little-endian, loses the end of ALAC in CAF and decodes G.72x wrongly. All others, MP3 among
# them (libsndfile may only estimate its length, and prints warnings), are FFmpeg's.
CONTAINERS: dict[bytes, Container] = {
    b"RIFF": Container(Chunks(12, "<4sI").find),
    b"RIFX": Container(Chunks(12, ">4sI").find, ffmpeg=False),
    b"RF64": Container(Chunks(12, "<4sI").find),
    b"FORM": Container(Chunks(12, ">4sI", (b"SSND", b"BODY"), inner=8).find),  # AIFF, 8SVX
    b"riff": Container(Chunks(40, "<4s12xQ", counted=24, aligned=8).find),  # Wave64
    b"caff": Container(Chunks(8, ">4sq", inner=4, aligned=1).find),
    b".snd": Container(_au),
    b"NIST": Container(_sphere),
    b"OggS": Container(check=one_recording),
    b"fLaC": Container(check=_one_flac),
}
_MP4 = Container(check=_one_mp4, soundfile=False)
_ANY = Container(soundfile=False)


@dataclass(frozen=True)
class Framing:
    """What is known of a file before it is decoded."""

    container: Container  # who reads it
    notes: tuple[str, ...] = ()  # what a reader should know about the clip
    short: str = ""  # why it is refused where a missing byte takes more than a sample with it
    end: int | None = None  # of the sound; None where decoders know
    patch: tuple[int, bytes] = (0, b"")  # bytes to be read in place of those at an offset

    @contextmanager
    def opened(self, path: Path) -> Iterator[str | mmap.mmap]:
        """What decoders are given: the file, or what of it is sound with its length put right."""
        if self.end is None:
            yield str(path)
            return
        at, patch = self.patch
        with (
            path.open("rb") as file,
            _View(file.fileno(), self.end, access=mmap.ACCESS_COPY) as view,
        ):
            view[at : at + len(patch)] = patch
            yield view


def framing(path: Path) -> Framing:
    """Look at a file's framing.

    Raises:
        ClipError: the reason alone: empty, truncated, damaged, several files in one, or more sound
            than its header promises.
        OSError: the file cannot be opened.
    """
    with opened(path) as file:
        size = path.stat().st_size
        if not size:
            raise ClipError("the file is empty (0 bytes)")
        magic = file.read(HEAD)
        if reason := pointer(magic):
            raise ClipError(reason)
        container = _MP4 if magic[4:8] in FIRST_BOXES else CONTAINERS.get(magic[:4], _ANY)
        notes = container.check(file, size)
        data = container.find(file, size)
        return Framing(container, notes) if data is None else _settled(container, data, file, size)


def _settled(container: Container, data: Data, file: BinaryIO, size: int) -> Framing:
    """Compare what is promised with what is there."""
    found, inner = size - data.start, 0
    left = found - data.length
    if left < 0:
        if data.unsure:
            return Framing(container, (UNTOLD,))
        reason = f"is truncated: {data.length} bytes promised, {max(0, found)} found"
        if left < -_HEADER_COUNTED or found < 0:
            raise ClipError(reason)
        return Framing(container, (), reason, size, data.patch(found))
    if data.chunks is not None:
        left = data.chunks.unaccounted(file, data.start + data.length, size)
        inner = data.chunks.inner
    if not left:
        return Framing(container)
    if data.length <= inner and found < _UNKNOWN_LENGTH:
        return Framing(container, (NO_LENGTH,), "", size, data.patch(found))
    file.seek(size - left - 1)
    before = file.read(_MOST_PADDING)  # a tag may begin where the byte that aligns ought to be
    behind = before[1:]
    known = before.startswith(_TAGS) or behind.startswith(_TAGS)
    if left > _MOST_PADDING or (any(behind) and not known):
        raise ClipError(
            f"holds more than its header promises: {data.length} bytes of sound, and {left} "
            "behind them that belong to nothing; write its header anew, or cut them off"
        )
    return Framing(container, end=size - left)
