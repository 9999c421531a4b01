"""Figures as PNG files beside the records: which are outdated, which belong to none any more.

Each has two files, one for light pages and one for dark ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from backbones import reading
from bench.files import storing, unlinked
from bench.records.store import write_atomically
from bench.report.figures import confusion, curves, intervals, speed
from bench.report.page import Figure

FOLDER = "figures"
# In bytes; while a file is written its name has 51 more.
_LONGEST_NAME = 200
# Of a PNG its mark is in these.
_HEAD = 4096
_SUFFIXES = (confusion.SUFFIX, curves.SUFFIX, intervals.SUFFIX, speed.SUFFIX)
_ENDS = {False: ".png", True: "-dark.png"}


def path(results: Path, figure: Figure, dark: bool) -> Path:
    """Where a figure lives below the results folder, for light or for dark pages."""
    name = figure.name
    if len(name) > _LONGEST_NAME:
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        name = f"{name[:150]}~{digest}__{name.rpartition('__')[2]}"
    return results / FOLDER / f"{name}{_ENDS[dark]}"


def outdated(results: Path, figures: Sequence[Figure]) -> list[Path]:
    """Files that are missing, or that were drawn from other records."""
    drawn = _drawn(results, figures)
    return [file for file, (figure, _) in drawn.items() if not _is_current(file, figure)]


def write(results: Path, figures: Sequence[Figure]) -> None:
    """Draw what is outdated, and remove figures that belong to no record any more.

    Raises:
        StorageError: a figure cannot be written or removed, or their folder is a link.
    """
    folder = unlinked(results / FOLDER, results)
    drawn = _drawn(results, figures)
    for file, (figure, dark) in drawn.items():
        if not _is_current(file, figure):
            write_atomically(file, figure.draw(dark))
    for suffix, end in product(_SUFFIXES, _ENDS.values()):
        for file in folder.glob(f"*__*__{suffix}{end}"):
            if file not in drawn and not file.is_dir():
                with storing(file, "it belongs to no record any more; make its folder writable"):
                    file.unlink()


def _drawn(results: Path, figures: Sequence[Figure]) -> dict[Path, tuple[Figure, bool]]:
    """The files that figures are to have, and whether each is for dark pages."""
    return {
        path(results, figure, dark): (figure, dark) for figure in figures for dark in (False, True)
    }


def _is_current(file: Path, figure: Figure) -> bool:
    try:
        with reading.opened(file) as png:
            return figure.mark.encode() in png.read(_HEAD)
    except OSError:
        return False
