"""Small SQLite files that remember what was computed from a file's bytes; made anew if damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bench.errors import StorageError


@contextmanager
def remembering(path: Path, table: str) -> Iterator[sqlite3.Connection]:
    """Open a memory for the length of a block.

    Args:
        path: the file, created where missing and made anew where damaged.
        table: what follows `CREATE TABLE IF NOT EXISTS`.

    Raises:
        StorageError: the file cannot be written, also within the block.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with closing(_open(path, table)) as memory:
            yield memory
    except sqlite3.Error as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: Exception) -> StorageError:
    return StorageError(
        f"the scan's memory {path} cannot be written ({error}): "
        "free some space or set VOXGRID_CACHE to a writable folder"
    )


def _open(path: Path, table: str) -> sqlite3.Connection:
    try:
        return _connect(path, table)
    except sqlite3.OperationalError:
        raise  # locked, read-only or full: not a reason to throw the memory away
    except sqlite3.DatabaseError:
        path.unlink()
        return _connect(path, table)


def _connect(path: Path, table: str) -> sqlite3.Connection:
    memory = sqlite3.connect(path, timeout=30)
    try:
        memory.execute(f"CREATE TABLE IF NOT EXISTS {table}")
    except sqlite3.Error:
        memory.close()
        raise
    return memory
