"""Where studies live: a journal per cell. Only this module clears locks and torn lines."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Protocol

from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock


class StudyStore(Protocol):
    """Where the studies of cells live, and what their fits keep meanwhile; picklable.

    A cell is known by its name, a path without a suffix that is safe on every file system. One
    process at a time opens it: the run holds the results.
    """

    def open(self, cell: str) -> BaseStorage:
        """The storage of a cell's studies, one per fold, fit to go on with after a kill."""

    def folder(self, cell: str) -> Path:
        """Where a cell keeps checkpoints and outcomes of folds until it is finished."""

    def discard(self, cell: str) -> None:
        """Remove that folder: the cell's record is stored. Its trials stay, to be added to."""


@dataclass(frozen=True)
class JournalStudies:
    """A journal per cell, below a root folder. Implements `StudyStore`."""

    root: Path

    def open(self, cell: str) -> JournalStorage:
        """The journal of a cell's studies, made whole again after a kill.

        A process killed while appending leaves a half-written line, which Optuna would refuse, and
        its lock. Workers that notice the end of their parent a moment later may have written
        behind that line, so that the journal is kept up to the first line that is not whole:
        trials noted after it are run again.
        """
        path = self.journal(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(path.name + ".lock").unlink(missing_ok=True)
        if path.exists():
            content = path.read_bytes()
            whole = sum(map(len, takewhile(_is_whole, content.splitlines(keepends=True))))
            if whole < len(content):
                with path.open("r+b") as file:
                    file.truncate(whole)
        # Optuna's default lock is a symbolic link, which Windows reserves to administrators
        return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))

    def journal(self, cell: str) -> Path:
        """File of a cell's journal."""
        return self.root / f"{cell}.journal"

    def folder(self, cell: str) -> Path:
        """A folder beside the journal."""
        return self.root / cell

    def discard(self, cell: str) -> None:
        """Remove the folder; see `StudyStore.discard`."""
        shutil.rmtree(self.folder(cell), ignore_errors=True)


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n")
