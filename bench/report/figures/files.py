"""Figures as PNG files beside the records: which are outdated, which belong to none any more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.files import storing
from bench.records.store import write_atomically
from bench.report.figures import confusion, curves
from bench.report.page import Figure

FOLDER = "figures"
_SUFFIXES = (confusion.SUFFIX, curves.SUFFIX)


def path(results: Path, figure: Figure) -> Path:
    """Where a figure lives below the results folder."""
    return results / FOLDER / f"{figure.name}.png"


def outdated(results: Path, figures: Sequence[Figure]) -> list[Path]:
    """Files that are missing, or that were drawn from other records."""
    return [path(results, figure) for figure in figures if not _is_current(results, figure)]


def write(results: Path, figures: Sequence[Figure]) -> None:
    """Draw what is outdated, and remove figures that belong to no record any more.

    Raises:
        StorageError: a figure cannot be written or removed.
    """
    for figure in figures:
        if not _is_current(results, figure):
            write_atomically(path(results, figure), figure.draw())
    kept = {path(results, figure) for figure in figures}
    for suffix in _SUFFIXES:
        for file in (results / FOLDER).glob(f"*__*__{suffix}.png"):
            if file not in kept:
                with storing(file, "it belongs to no record any more; make its folder writable"):
                    file.unlink()


def _is_current(results: Path, figure: Figure) -> bool:
    file = path(results, figure)
    return file.is_file() and figure.mark.encode() in file.read_bytes()
