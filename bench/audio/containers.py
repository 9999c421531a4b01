"""What a file's own framing says: who reads it, whether all of it is there, what must be said.

Decoders shorten a file whose end is missing in silence, skip pages whose checksum is wrong, and
stop at the length that a header gives. Hence the framing is read here first, by one table of
containers; what no table knows is FFmpeg's to recognise, by content and never by suffix (an MP3
named `.wav` is common).
"""

from __future__ import annotations

import io
import mmap
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from bench.audio.notes import NO_LENGTH, UNTOLD
from bench.audio.ogg import LEFT_BEHIND, one_recording
from bench.errors import ClipError

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Programs that write to a pipe cannot know a length and put a number near 2^31 or 2^32.
_UNKNOWN_LENGTH = 0x7FFFF000
_ENDLESS = 2**63
# Some recorders count their header, or a part of it, as sound: 44 bytes are the largest in use.
_HEADER_COUNTED = 44


@dataclass(frozen=True)
class Data:
    """Where the sound of a file lies.

    Attributes:
        start: its first byte.
        length: bytes promised.
        unsure: whether that is a number which only says that the length is not known.
        field: where the length stands and how it is written (of `struct`), if in one place.
        counted: bytes beside the sound that it counts.
        chunks: the container, where other chunks may follow.
    """

    start: int
    length: int
    unsure: bool = False
    field: tuple[int, str] | None = None
    counted: int = 0
    chunks: Chunks | None = None

    def patch(self, length: int) -> tuple[int, bytes]:
        """What to write where, so that the file promises another length."""
        if self.field is None:
            return 0, b""
        at, number = self.field
        return at, struct.pack(number, length + self.counted)


@dataclass(frozen=True)
class Chunks:
    """A container made of chunks, each with a name and a length.

    Attributes:
        first: where the first chunk begins.
        head: name and length of a chunk, of `struct`.
        sound: names of the chunk that holds the sound.
        inner: bytes before the samples in that chunk.
        counted: bytes of a chunk's head that its length counts.
        aligned: chunks begin at multiples of so many bytes.
    """

    first: int
    head: str
    sound: tuple[bytes, ...] = (b"data",)
    inner: int = 0
    counted: int = 0
    aligned: int = 2

    def find(self, file: BinaryIO, size: int) -> Data | None:
        """The chunk of the sound; None where there is none."""
        position, long = self.first, None
        while position < size and (chunk := self.at(file, position)) is not None:
            name, length = chunk
            start = file.tell()
            if name in self.sound:
                where = start - struct.calcsize(self.head[-1]), self.head[0] + self.head[-1]
                if long is not None:
                    length, where = long, (self.first + 16, "<Q")
                unsure = length < 0 or (self.head[-1] == "I" and length >= _UNKNOWN_LENGTH)
                length = _ENDLESS if length < 0 else length
                return Data(start, length, unsure, where, self.counted, self)
            if name == b"ds64":  # the true length in RF64, whose own fields have 32 bits
                long = int.from_bytes(file.read(16)[8:], "little")
            position = self.after(start, length)
        return None

    def at(self, file: BinaryIO, position: int) -> tuple[bytes, int] | None:
        """Name and length of the chunk that begins there."""
        file.seek(position)
        head = file.read(struct.calcsize(self.head))
        if len(head) < struct.calcsize(self.head):
            return None
        name, length = struct.unpack(self.head, head)
        return name, length - self.counted

    def after(self, start: int, length: int) -> int:
        """Where the next chunk begins."""
        return start + max(0, length) + -(start + max(0, length)) % self.aligned

    def unaccounted(self, file: BinaryIO, position: int, size: int) -> int:
        """Bytes behind the sound that are in no chunk."""
        while position < size and (chunk := self.at(file, position)) is not None:
            name, length = chunk
            start = file.tell()
            known = all(32 <= byte < 127 for byte in name) and 0 <= length <= size - start
            if not known or name in self.sound or name in CONTAINERS:
                break
            position = self.after(start, length)
        return max(0, size - position)


@dataclass(frozen=True)
class Container:
    """How a container is read.

    Attributes:
        find: where its sound lies, given the file and its size, or None where this is not the
            container after all.
        check: more that has to be right, a `ClipError` otherwise; returns notes.
        soundfile, ffmpeg: whether libsndfile reads it, and FFmpeg what libsndfile cannot open.
    """

    find: Callable[[BinaryIO, int], Data | None] = lambda _file, _size: None
    check: Callable[[BinaryIO, int], tuple[str, ...]] = lambda _file, _size: ()
    soundfile: bool = True
    ffmpeg: bool = True


def _au(file: BinaryIO, _size: int) -> Data | None:
    file.seek(4)
    start, length = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
    return Data(start, length, length >= _UNKNOWN_LENGTH, (8, ">I"))


def _sphere(file: BinaryIO, _size: int) -> Data | None:
    file.seek(0)
    head = file.read(1024)
    fields = {words[0]: words[2] for line in head.split(b"\n") if len(words := line.split()) == 3}
    wanted = [
        fields.get(name, b"") for name in (b"sample_count", b"channel_count", b"sample_n_bytes")
    ]
    size, coding = head[8:16].strip(), fields.get(b"sample_coding", b"pcm")
    if b"," in coding or not all(number.isdigit() for number in (size, *wanted)):
        return None  # compressed, or not SPHERE
    count, channels, width = map(int, wanted)
    return Data(int(size), count * channels * width)


def _one_flac(file: BinaryIO, _size: int) -> tuple[str, ...]:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # the mark, then the head of the block that has to follow it
        second = max(data.find(b"fLaC" + block + b"\0\0\x22", 4) for block in (b"\0", b"\x80"))
    if second > 0:
        raise ClipError(f"is several FLAC files in one, the second from byte {second}: split it")
    return ()


def _one_mp4(file: BinaryIO, size: int) -> tuple[str, ...]:
    position = 0
    while position < size:
        file.seek(position)
        length, name = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
        length = int.from_bytes(file.read(8), "big") if length == 1 else length
        if length < 8 or not name.isalnum():  # up to the end, or no box
            return ()
        if name == b"ftyp" and position:
            raise ClipError(f"is several MP4 files in one, the second from byte {position}")
        position += length
    if position > size:
        raise ClipError(f"is truncated: {position} bytes promised, {size} found")
    return ()


# libsndfile reads these: exactly, in every sample format that they hold. FFmpeg takes RIFX for
# little-endian, loses the end of ALAC in CAF and decodes G.72x wrongly. All others, MP3 among
# them (libsndfile may only estimate its length, and prints warnings), are FFmpeg's.
CONTAINERS: dict[bytes, Container] = {
    b"RIFF": Container(Chunks(12, "<4sI").find),
    b"RIFX": Container(Chunks(12, ">4sI").find, ffmpeg=False),
    b"RF64": Container(Chunks(12, "<4sI").find),
    b"FORM": Container(Chunks(12, ">4sI", (b"SSND", b"BODY"), inner=8).find),
    b"riff": Container(Chunks(40, "<4s12xQ", counted=24, aligned=8).find),  # Wave64
    b"caff": Container(Chunks(8, ">4sq", inner=4, aligned=1).find),
    b".snd": Container(_au),
    b"NIST": Container(_sphere),
    b"OggS": Container(check=one_recording),
    b"fLaC": Container(check=_one_flac),
}
_MP4 = Container(check=_one_mp4, soundfile=False)


@dataclass(frozen=True)
class Framing:
    """What is known of a file before it is decoded.

    Attributes:
        container: None where it is FFmpeg's to recognise.
        notes: what a reader should know about the clip.
        short: why the file is refused where a missing byte takes more than a sample with it.
        end: where the sound ends; None where decoders know.
        patch: bytes to be read in place of those at an offset.
    """

    container: Container | None
    notes: tuple[str, ...] = ()
    short: str = ""
    end: int | None = None
    patch: tuple[int, bytes] = (0, b"")

    @contextmanager
    def opened(self, path: Path) -> Iterator[str | io.RawIOBase]:
        """What decoders are given: the file, or what of it is sound with its length put right."""
        if self.end is None:
            yield str(path)
            return
        with _View(path, self.end, *self.patch) as file:
            yield file


def framing(path: Path) -> Framing:
    """Look at a file's framing.

    Raises:
        ClipError: the reason alone: empty, truncated, damaged, several files in one, or more sound
            than its header promises.
    """
    size = path.stat().st_size
    if not size:
        raise ClipError("the file is empty (0 bytes)")
    with path.open("rb") as file:
        magic = file.read(8)
        container = _MP4 if magic[4:] == b"ftyp" else CONTAINERS.get(magic[:4])
        if container is None:
            return Framing(None)
        notes = container.check(file, size)
        data = container.find(file, size)
        return Framing(container, notes) if data is None else _settled(container, data, file, size)


def _settled(container: Container, data: Data, file: BinaryIO, size: int) -> Framing:
    found = size - data.start
    if data.length > found:
        reason = f"is truncated: {data.length} bytes promised, {max(0, found)} found"
        if data.unsure:
            return Framing(container, (UNTOLD,))
        if data.length > found + _HEADER_COUNTED:
            raise ClipError(reason)
        return Framing(container, (), reason, size, data.patch(found))
    left = found - data.length
    if left and data.chunks is not None:
        behind = data.chunks.after(data.start, data.length)
        left = data.chunks.unaccounted(file, behind, size)
    if not left:
        return Framing(container)
    if data.length <= (data.chunks.inner if data.chunks is not None else 0):
        return Framing(container, (NO_LENGTH,), "", size, data.patch(found))
    file.seek(size - left)
    if left > LEFT_BEHIND or file.read(4) in CONTAINERS:
        raise ClipError(
            f"holds more than its header promises: {data.length} bytes of sound, and {left} "
            "behind them that belong to nothing; write its header anew, or cut them off"
        )
    return Framing(container, end=size - left)


class _View(io.RawIOBase):
    """A file up to some byte, in which some bytes are others."""

    def __init__(self, path: Path, end: int, at: int, patch: bytes) -> None:
        self._file = path.open("rb")
        self._end, self._at, self._patch = end, at, patch

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            offset, whence = self._end + offset, io.SEEK_SET
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        position = self._file.tell()
        count = self._file.readinto(view[: max(0, self._end - position)])
        for index, byte in enumerate(self._patch, self._at - position):
            if 0 <= index < count:
                view[index] = byte
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
