"""Small SQLite files that remember what was computed from a file's bytes; made anew if damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.files import CACHE_ADVICE, storing

THREADS = 2

Progress = Callable[[int, int], None]
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Memory:
    """One table of a small SQLite file, created where missing and made anew where damaged."""

    path: Path
    table: str
    key: str  # column of what rows are found by, a digest of the contents
    versions: Mapping[str, int | str]  # columns and values of what else has to agree
    values: tuple[str, ...]  # columns of what was computed
    commit_every: int = 64  # an interruption loses at most so many rows

    def complete(
        self, paths: Mapping[str, Path], compute: Callable[[str, Path], Row], progress: Progress
    ) -> dict[str, Row]:
        """Values of every key, computing only what is not remembered.

        Args:
            paths: the file of each key.
            compute: called in other threads with a key and its file.
            progress: called with (keys done, keys in all), the first time with those remembered.

        Raises:
            StorageError: the file cannot be written.
        """
        known, versions = ", ".join(self.values), tuple(self.versions.values())
        same = " AND ".join(f"{name} = ?" for name in self.versions)
        marks = ", ".join("?" * (1 + len(versions) + len(self.values)))
        with self._opened() as file, ThreadPoolExecutor(THREADS) as pool:
            rows = file.execute(
                f"SELECT {self.key}, {known} FROM {self.table} WHERE {same}", versions
            )
            found: dict[str, Row] = {key: tuple(row) for key, *row in rows if key in paths}
            progress(len(found), len(paths))
            new = [key for key in paths if key not in found]
            computed = pool.map(compute, new, (paths[key] for key in new))
            for count, (key, row) in enumerate(zip(new, computed, strict=True), start=1):
                found[key] = row
                file.execute(
                    f"INSERT OR REPLACE INTO {self.table} VALUES ({marks})", (key, *versions, *row)
                )
                if count % self.commit_every == 0:
                    file.commit()
                progress(len(found), len(paths))
            file.commit()
        return found

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
        except sqlite3.OperationalError:
            raise  # locked, read-only or full: not a reason to throw the memory away
        except sqlite3.DatabaseError:
            self.path.unlink()
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        columns = ", ".join((self.key, *self.versions, *self.values))  # SQLite needs no types
        primary = ", ".join((self.key, *self.versions))
        file = sqlite3.connect(self.path, timeout=30)
        try:
            file.execute(
                f"CREATE TABLE IF NOT EXISTS {self.table} ({columns}, PRIMARY KEY ({primary}))"
            )
        except sqlite3.Error:
            file.close()
            raise
        return file
