"""The pages of an Ogg file: whole, in order and of one recording.

Decoders skip in silence what is damaged and stop after the first of several recordings.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from backbones.reading import MOST_STREAMS
from bench.audio.notes import NO_LAST_PAGE
from bench.errors import ClipError

_HEAD = struct.Struct("<4sBBqIIIB")
_CHECKSUM = slice(22, 26)
_FIRST, _LAST = 2, 4
# What may follow the last page without a word: a tag, a page of padding.
_LEFT_BEHIND = 4096
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def one_recording(file: BinaryIO, size: int) -> tuple[str, ...]:
    """Look at every page; returns notes.

    Raises:
        ClipError: the reason alone: cut inside a page, a page that is damaged or missing, or
            several recordings one after the other.
    """
    file.seek(0)
    position, begun = 0, False
    pages: dict[int, tuple[int, int, int]] = {}  # number, position in the sound, flags: of the last
    while position < size:
        head = file.read(_HEAD.size)
        if head[:4] != b"OggS" and size - position <= _LEFT_BEHIND:
            break
        if len(head) < _HEAD.size:
            raise ClipError(f"is truncated: it ends inside a page, at byte {size}")
        magic, _, flags, granule, stream, number, checksum, segments = _HEAD.unpack(head)
        if magic != b"OggS":
            raise ClipError(f"is damaged: no Ogg page begins at byte {position}")
        table = file.read(segments)
        body = file.read(sum(table))
        page = len(head) + segments + sum(table)
        if position + page > size:
            raise ClipError(f"is truncated: it ends inside a page, at byte {size}")
        whole = head[: _CHECKSUM.start] + bytes(4) + head[_CHECKSUM.stop :] + table + body
        if _crc(whole) != checksum:
            raise ClipError(f"is damaged: the page at byte {position} has a wrong checksum")
        if flags & _FIRST and begun:
            raise ClipError(
                f"holds several recordings one after the other (chained Ogg), the second from "
                f"byte {position}: make a file of each, or one of all"
            )
        begun = begun or not flags & _FIRST
        last, heard, _ = pages.get(stream, (number - 1, 0, 0))
        # what was recorded from a broadcast begins anywhere behind its headers
        if number != last + 1 and heard > 0:
            raise ClipError(f"is damaged: a page is missing before byte {position}")
        pages[stream] = number, max(heard, granule), flags
        if len(pages) > MOST_STREAMS:
            raise ClipError(f"holds more than {MOST_STREAMS} streams at once: keep one of them")
        position += page
    ended = all(flags & _LAST for _, _, flags in pages.values())
    return () if ended else (NO_LAST_PAGE,)


def _crc(data: bytes) -> int:
    """Ogg's checksum: zlib's with the bits of every byte and of the result in the other order."""
    plain = zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{plain:032b}"[::-1], 2)
