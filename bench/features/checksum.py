"""A checksum inside each file of the feature cache, over all its other bytes.

A disk, a cable or a copy that flips a bit changes no length, and safetensors would not notice.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from bench.errors import StorageError

_FIELD = "crc32"
_DIGITS = 8
# What the metadata of a safetensors file holds until it is sealed.
UNSEALED = {_FIELD: "0" * _DIGITS}

_MARK = f'"{_FIELD}":"'.encode()  # inside the strings of a header a quote follows a backslash
_LENGTH = 8
_LONGEST_HEADER = 100_000_000  # as safetensors has it
_BLOCK = 1 << 20


def seal(path: Path) -> None:
    """Put the checksum into a safetensors file whose metadata holds `UNSEALED`."""
    place, _, checksum = _summed(path)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(checksum)


def damaged(paths: Iterable[Path]) -> set[Path]:
    """Those files that are not as they were sealed, or never were; a process reads each once.

    Raises:
        StorageError: a file cannot be read.
    """
    found = set()
    for path in paths:
        try:
            status = path.stat()
            if not _intact(path, status.st_size, status.st_mtime_ns):
                found.add(path)
        except OSError as error:
            raise StorageError(
                f"the cached features {path} cannot be read ({error.strerror or error}); make "
                "them readable or set VOXGRID_CACHE to another folder"
            ) from error
    return found


@cache
def _intact(path: Path, *_state: int) -> bool:
    _, stored, checksum = _summed(path)
    return stored == checksum


def _summed(path: Path) -> tuple[int, bytes, bytes]:
    """Where in a file the checksum stands, the one that stands there, and that of the rest."""
    with path.open("rb") as file:
        length = file.read(_LENGTH)
        header = file.read(min(int.from_bytes(length, "little"), _LONGEST_HEADER))
        start = header.find(_MARK) + len(_MARK)
        stop = start + _DIGITS
        checksum = zlib.crc32(header[stop:], zlib.crc32(length + header[:start]))
        while block := file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return _LENGTH + start, header[start:stop], f"{checksum:0{_DIGITS}x}".encode()
