"""Figures as PNG files beside the records: which are wanted, which are outdated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from bench.errors import StorageError
from bench.records import store as records
from bench.records.schema import Record
from bench.report.figures import confusion, curves

FOLDER = "figures"
_KINDS = (confusion, curves)


class Figure(Protocol):
    """Something to draw from the records."""

    @property
    def name(self) -> str:
        """Of the file, without `.png`; ends in `__` and the suffix of its kind."""
        ...

    @property
    def title(self) -> str:
        """What is drawn, in words."""
        ...

    @property
    def mark(self) -> str:
        """Digest of what is drawn; the file carries it, whatever machine drew the pixels."""
        ...

    def draw(self) -> bytes:
        """The PNG, its mark within."""
        ...


def wanted(found: Sequence[Record]) -> list[Figure]:
    """Every figure of these records."""
    return [figure for kind in _KINDS for figure in kind.wanted(found)]


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
            records.write_atomically(path(results, figure), figure.draw())
    kept = {path(results, figure) for figure in figures}
    for kind in _KINDS:
        for file in (results / FOLDER).glob(f"*__*__{kind.SUFFIX}.png"):
            if file not in kept:
                _remove(file)


def _remove(file: Path) -> None:
    try:
        file.unlink()
    except OSError as error:
        raise StorageError(
            f"{file} belongs to no record any more and cannot be removed ({error.strerror}); "
            "make its folder writable"
        ) from error


def _is_current(results: Path, figure: Figure) -> bool:
    file = path(results, figure)
    return file.is_file() and figure.mark.encode() in file.read_bytes()
