"""Journals as the project's own search writes them, and what is done to them."""

from __future__ import annotations

from pathlib import Path

from bench.planning.cells import STUDY_VERSION
from bench.planning.make import STUDIES
from bench.tuning.search import Search, recalled, tune_fold
from bench.tuning.storage import JournalStudies
from tests.bench.tuning.test_search import FOLD, LABELS, Trainings

CELL = f"ravdess/speaker-6fold/xlsr__attention__mlp.0123456789abcdef.{STUDY_VERSION}"


def searched(results: Path, cell: str = CELL, trials: int = 3) -> Path:
    """The journal of a cell, one fold of which was tuned."""
    studies = JournalStudies(results / STUDIES)
    space = Trainings()
    storage = studies.open(cell, lambda _, trial: recalled(space, trial, len(FOLD.train), None))
    search = Search(trials, seed_for=lambda *names: 1, folder=studies.folder(cell))
    tune_fold(space, LABELS, FOLD, storage, search)
    return studies.journal(cell)


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and folder below a folder, with its content and when it changed."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted([folder, *folder.rglob("*")])
    }
