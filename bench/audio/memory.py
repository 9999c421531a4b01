"""Small SQLite files that remember what was computed from a file's bytes; made anew if damaged.

Caches get passed around. Hence such a file counts only where it holds that one table and nothing
that SQLite would run or follow, and each of its rows only where it is what could have been
computed; all else is computed again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from backbones.reading import opened
from bench.files import CACHE_ADVICE, storing, unlinked

THREADS = 2

# Of a value; the fingerprint of ten minutes has 103 kB.
_LONGEST = 1 << 20
# Steps of SQLite to read what tables there are; pages that lead back to others have no end.
_MOST_STEPS = 1_000_000
# What ends a journal that names another file, which SQLite removes when it plays the journal back.
_NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")

Progress = Callable[[int, int], None]
Row = tuple[Any, ...]


class Passing(tuple[Any, ...]):
    """A row that is not remembered, since another look may find another."""


@dataclass(frozen=True)
class Memory:
    """One table of a small SQLite file, created where missing and made anew where damaged."""

    path: Path
    table: str
    key: str  # column of what rows are found by, a digest of the contents
    versions: Mapping[str, int | str]  # columns and values of what else has to agree
    values: tuple[str, ...]  # columns of what was computed
    rows: TypeAdapter[Any]  # what they may hold
    commit_every: int = 64  # an interruption loses at most so many rows

    def complete(
        self, paths: Mapping[str, Path], compute: Callable[[str, Path], Row], progress: Progress
    ) -> dict[str, Row]:
        """Values of every key, computing only what is not remembered.

        Args:
            paths: the file of each key.
            compute: called in other threads with a key and its file; may give a `Passing`.
            progress: called with (keys done, keys in all), the first time with those remembered.

        Raises:
            StorageError: the file cannot be written.
        """
        versions = tuple(self.versions.values())
        marks = ", ".join("?" * (1 + len(versions) + len(self.values)))
        with self._opened() as file, ThreadPoolExecutor(THREADS) as pool:
            found = {key: row for key in paths if (row := self._remembered(file, key))}
            progress(len(found), len(paths))
            new = [key for key in paths if key not in found]
            computed = pool.map(compute, new, (paths[key] for key in new))
            for count, (key, row) in enumerate(zip(new, computed, strict=True), start=1):
                found[key] = row
                if not isinstance(row, Passing):
                    file.execute(
                        f"INSERT OR REPLACE INTO {self.table} VALUES ({marks})",
                        (key, *versions, *row),
                    )
                if count % self.commit_every == 0:
                    file.commit()
                progress(len(found), len(paths))
            file.commit()
        return found

    def _remembered(self, file: sqlite3.Connection, key: str) -> Row | None:
        same = " AND ".join(f"{name} = ?" for name in (self.key, *self.versions))
        wanted = f"SELECT {', '.join(self.values)} FROM {self.table} WHERE {same}"
        try:
            row: Row = file.execute(wanted, (key, *self.versions.values())).fetchone()
            self.rows.validate_python(row)
        except (sqlite3.DataError, ValidationError):
            return None
        return row

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with storing(self.path, CACHE_ADVICE, (OSError, sqlite3.Error)):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self._open()
        with closing(file), storing(self.path, CACHE_ADVICE, sqlite3.Error):
            yield file

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            # locked, read-only or full: not a reason to throw the memory away
            interrupted = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
            if isinstance(error, sqlite3.OperationalError) and not interrupted:
                raise
            self.path.unlink()
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        for suffix in ("", "-journal", "-wal", "-shm"):
            path = unlinked(Path(f"{self.path}{suffix}"), self.path.parent)
            if path.exists():
                with opened(path) as content:  # SQLite would wait for a pipe
                    content.seek(max(0, path.stat().st_size - len(_NAMES_ANOTHER)))
                    end = content.read(len(_NAMES_ANOTHER))
                if suffix and end == _NAMES_ANOTHER:
                    path.unlink()
        columns = ", ".join((self.key, *self.versions, *self.values))  # SQLite needs no types
        primary = ", ".join((self.key, *self.versions))
        table = f"CREATE TABLE {self.table} ({columns}, PRIMARY KEY ({primary}))"
        file = sqlite3.connect(self.path, timeout=30)
        try:
            file.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
            file.text_factory = lambda text: text.decode(errors="replace")
            file.set_progress_handler(lambda: True, _MOST_STEPS)
            there = file.execute("SELECT sql FROM sqlite_master WHERE sql NOTNULL").fetchmany(2)
            file.set_progress_handler(None, 0)
            if there not in ([], [(table,)]):
                raise sqlite3.DatabaseError("other tables, views or triggers")
            if file.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("damaged")
            if not there:
                file.execute(table)
        except sqlite3.Error:
            file.close()
            raise
        return file
