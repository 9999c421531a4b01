"""Files beside the records that belong to no record any more: a page once its rows are gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from backbones import reading
from bench.errors import StorageError
from bench.files import storing, unlinked


def beginning(path: Path, length: int) -> bytes | None:
    """The first bytes of a file, none of one that is not there, None where it cannot be read."""
    try:
        with reading.opened(path) as file:
            return file.read(length)
    except FileNotFoundError:
        return b""
    except OSError:
        return None


def leftovers(results: Path, known: Mapping[Path, bytes], kept: Sequence[Path]) -> list[Path]:
    """Which files are there that nothing is to be written to.

    Args:
        results: folder they lie in; what lies behind a link in it is nobody's here.
        known: how each begins that may be ours; any other is somebody else's.
        kept: those that are written.
    """
    return [
        path
        for path, own in known.items()
        if path not in kept and beginning(path, len(own)) == own and _is_within(path, results)
    ]


def remove(files: Sequence[Path], results: Path) -> None:
    """Remove them, and folders below the results folder that are empty then.

    Raises:
        StorageError: one cannot be removed.
    """
    for path in files:
        with storing(path, "it belongs to no record any more; make its folder writable"):
            path.unlink()
        if path.parent != results:
            with suppress(OSError):  # it holds something else
                path.parent.rmdir()


def _is_within(path: Path, results: Path) -> bool:
    try:
        return unlinked(path, results) == path
    except StorageError:
        return False
