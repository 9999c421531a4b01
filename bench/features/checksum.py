"""A checksum inside each file of the feature cache, over all its other bytes.

A disk, a cable or a copy that flips a bit changes no length, and safetensors would not notice.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from mmap import ACCESS_READ, mmap
from pathlib import Path

from bench.errors import StorageError
from bench.files import Kinds

_FIELD = "crc32"
_DIGITS = 8
# What the metadata of a safetensors file holds until it is sealed.
UNSEALED = {_FIELD: "0" * _DIGITS}

_MARK = f'"{_FIELD}":"'.encode()  # inside the strings of a header a quote follows a backslash


@contextmanager
def readable(path: Path, kinds: Kinds = OSError) -> Iterator[None]:
    """Say what to do where a file of the cache cannot be read, as a `StorageError`."""
    try:
        yield
    except kinds as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(
            f"the cached features {path} cannot be read ({reason}); make them readable, or delete "
            "them and run again, or set VOXGRID_CACHE to another folder"
        ) from error


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
        with readable(path):
            status = path.stat()
            if not status.st_size or not _intact(path, status.st_size, status.st_mtime_ns):
                found.add(path)
    return found


@cache
def _intact(path: Path, *_state: int) -> bool:
    _, stored, checksum = _summed(path)
    return stored == checksum


def _summed(path: Path) -> tuple[int, bytes, bytes]:
    """Where in a file the checksum stands, the one that stands there, and that of the rest."""
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        start = data.find(_MARK) + len(_MARK)
        stop = start + _DIGITS
        with memoryview(data) as view:
            checksum = zlib.crc32(view[stop:], zlib.crc32(view[:start]))
        return start, data[start:stop], f"{checksum:0{_DIGITS}x}".encode()
