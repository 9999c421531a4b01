"""Where studies live: a journal per cell. Only this module clears locks and torn lines."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from backbones.reading import JOURNAL, parse_json, read_bytes
from bench.files import below, storing, unlinked
from bench.tuning.search import BudgetSpent, Recall, verify

_log = logging.getLogger(__name__)

_ADVICE = (
    "remove what lies there or make it readable and writable, or choose another folder with "
    "--results, then run again"
)


class StudyStore(Protocol):
    """Where the studies of cells live, and what their fits keep meanwhile; picklable.

    A cell is known by its name, a path without a suffix that is safe on every file system.
    """

    def held(self, cell: str, deadline: float | None) -> AbstractContextManager[None]:
        """Be the only one who writes a cell's studies; waits for another until `deadline`.

        The run holds the results, but a job that was taken for lost may still be at work.
        """

    def open(self, cell: str, recall: Recall) -> BaseStorage:
        """The storage of a cell's studies, one per fold, fit to go on with after a kill.

        `recall` draws again what a trial drew, or raises ValueError.
        """

    def folder(self, cell: str) -> Path:
        """Where a cell keeps checkpoints and outcomes of folds until it is finished."""

    def discard(self, cell: str) -> None:
        """Remove that folder: the cell's record is stored. Its trials stay, to be added to."""


@dataclass(frozen=True)
class JournalStudies:
    """A journal per cell, below a root folder. Implements `StudyStore`."""

    root: Path

    @contextmanager
    def held(self, cell: str, deadline: float | None) -> Iterator[None]:
        """A lock in the cell's folder; see `StudyStore.held`.

        Raises:
            BudgetSpent: another process held it until the deadline, a `time.time()`.
            StorageError: the folder is a link, or cannot be written.
        """
        path = self.folder(cell) / "writer.lock"
        lock = FileLock(path)
        with storing(path, _ADVICE):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=-1 if deadline is None else max(0, deadline - time.time()))
            except Timeout as error:
                raise BudgetSpent("budget spent while another process was at it") from error
        try:
            yield
        finally:
            lock.release()

    def open(self, cell: str, recall: Recall) -> JournalStorage:
        """The journal of a cell's studies, made whole again after a kill.

        One that no search of ours can have written is set aside, as `.damaged`, and begun anew.

        A process killed while appending leaves a half-written line, which Optuna would refuse, and
        its lock. Workers that notice the end of their parent a moment later may have written
        behind that line, so that the journal is kept up to the first line that is not whole:
        trials noted after it are run again.

        Raises:
            StorageError: it is a link, or no file, or cannot be read or written.
        """
        path = unlinked(self.journal(cell), self.root.parent)
        with storing(path, _ADVICE):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(path.name + ".lock").unlink(missing_ok=True)
            content = read_bytes(path, JOURNAL) if path.exists() else b""
            whole = sum(map(len, whole_lines(content)))
            if 0 < whole < len(content):
                with path.open("r+b") as file:
                    file.truncate(whole)
            try:
                if content and not whole:
                    raise ValueError("not one of its lines is a journal's")
                storage = _opened(path)
                verify(storage, recall)
            except OSError:
                raise
            # Optuna raises whatever comes up where it reads what it did not write
            except Exception:  # noqa: BLE001
                aside = path.with_name(f"{path.name}.damaged")
                _log.warning("%s is no journal of ours, and now called %s", path, aside.name)
                path.replace(aside)
                storage = _opened(path)
        return storage

    def journal(self, cell: str) -> Path:
        """File of a cell's journal."""
        return self.root / f"{cell}.journal"

    def folder(self, cell: str) -> Path:
        """A folder beside the journal.

        Raises:
            StorageError: it is a link, or has one in it.
        """
        folder = unlinked(self.root / cell, self.root.parent)
        for path in below(folder):
            if path.is_symlink():
                unlinked(path, folder)
        return folder

    def discard(self, cell: str) -> None:
        """Remove the folder; see `StudyStore.discard`."""
        shutil.rmtree(self.folder(cell), ignore_errors=True)


def _opened(path: Path) -> JournalStorage:
    # Optuna's default lock is a symbolic link, which Windows reserves to administrators
    return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))


def whole_lines(content: bytes) -> list[bytes]:
    """Lines of a journal up to the first that is not whole."""
    return list(takewhile(_is_whole, content.splitlines(keepends=True)))


def _is_whole(line: bytes) -> bool:
    try:
        parse_json(line)
    except ValueError:
        return False
    return line.endswith(b"\n")
