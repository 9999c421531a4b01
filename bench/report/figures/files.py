"""Figures as PNG files beside the records: which are outdated, which belong to none any more."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from backbones import reading
from bench.files import storing, unlinked
from bench.records.store import write_atomically
from bench.report.figures import confusion, curves
from bench.report.page import Figure

FOLDER = "figures"
# In bytes; while a file is written its name has 46 more.
_LONGEST_NAME = 200
# Of a PNG its mark is in these.
_HEAD = 4096
_SUFFIXES = (confusion.SUFFIX, curves.SUFFIX)


def path(results: Path, figure: Figure) -> Path:
    """Where a figure lives below the results folder."""
    name = figure.name
    if len(name) > _LONGEST_NAME:
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        name = f"{name[:150]}~{digest}__{name.rpartition('__')[2]}"
    return results / FOLDER / f"{name}.png"


def outdated(results: Path, figures: Sequence[Figure]) -> list[Path]:
    """Files that are missing, or that were drawn from other records."""
    return [path(results, figure) for figure in figures if not _is_current(results, figure)]


def write(results: Path, figures: Sequence[Figure]) -> None:
    """Draw what is outdated, and remove figures that belong to no record any more.

    Raises:
        StorageError: a figure cannot be written or removed, or their folder is a link.
    """
    folder = unlinked(results / FOLDER, results)
    for figure in figures:
        if not _is_current(results, figure):
            write_atomically(path(results, figure), figure.draw())
    kept = {path(results, figure) for figure in figures}
    for suffix in _SUFFIXES:
        for file in folder.glob(f"*__*__{suffix}.png"):
            if file not in kept and not file.is_dir():
                with storing(file, "it belongs to no record any more; make its folder writable"):
                    file.unlink()


def _is_current(results: Path, figure: Figure) -> bool:
    file = path(results, figure)
    try:
        with reading.opened(file) as png:
            return figure.mark.encode() in png.read(_HEAD)
    except OSError:
        return False
