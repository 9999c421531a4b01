"""Results of machines that share nothing, joined into one folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backbones import reading
from bench.config.grid import Cell
from bench.errors import UserError
from bench.files import unlinked
from bench.records import proof, store
from bench.records.schema import Record

# How many records that conflict are named.
_FIRST = 3


@dataclass(frozen=True)
class Merge:
    """What joining folders comes to; nothing is written before `carry_out`.

    Attributes:
        results: the folder they are joined in.
        taken: records that it lacks, each with the folder that it comes from.
        kept: how many records of other folders it has already, or has a result in place of.
    """

    results: Path
    taken: tuple[tuple[Path, Record], ...]
    kept: int

    def carry_out(self) -> None:
        """Copy records and predictions byte for byte, each record after its predictions.

        Raises:
            StorageError: the folder cannot be written; what was copied stays.
        """
        for folder, record in self.taken:
            unlinked(store.record_path(self.results, record.cell).parent, self.results)
            for place, kind in (
                (store.predictions_path, reading.PREDICTIONS),
                (store.inner_path, reading.PREDICTIONS),
                (store.record_path, reading.RECORD),
            ):
                source = place(folder, record.cell)
                if source.exists():
                    content = reading.read_bytes(source, kind)
                    store.write_atomically(place(self.results, record.cell), content)


def merged(folders: Sequence[Path], results: Path) -> Merge:
    """Compare the records of folders with each other and with those of `results`.

    The same record twice is one. A result takes the place of a skip or a failure; of several of
    these the first stays.

    Raises:
        UserError: a folder holds no record, a file that should be one cannot be read, its
            predictions do not bear a record out, or two folders hold different results of a cell.
    """
    chosen: dict[Cell, tuple[Path, Record]] = {}
    conflicts, kept = [], 0
    for folder in dict.fromkeys([results, *folders]):
        found = _records(folder, wanted=folder != results)
        for record in found:
            before = chosen.setdefault(record.cell, (folder, record))
            if before[1] is record:
                continue
            kept += 1
            if record.status != "ok" or before[1] == record:
                continue
            if before[1].status != "ok":
                chosen[record.cell] = folder, record
            else:
                places = [str(store.record_path(f, record.cell)) for f in (before[0], folder)]
                conflicts.append(f"{record.cell}: {' and '.join(places)}")
    if conflicts:
        more = len(conflicts) - _FIRST
        shown = "; ".join(conflicts[:_FIRST]) + (f"; and {more} more" if more > 0 else "")
        raise UserError(
            f"{len(conflicts)} cells have different results, and only you can say which count: "
            f"{shown}; remove one of each, or merge into another folder with --results; nothing "
            "was written"
        )
    taken = tuple(own for own in chosen.values() if own[0] != results)
    for folder, record in taken:
        flaw = proof.flaw(folder, record) if record.status == "ok" else None
        if flaw:
            raise UserError(f"{record.cell}: {flaw}; nothing was written")
    return Merge(results, taken, kept)


def _records(folder: Path, *, wanted: bool) -> tuple[Record, ...]:
    if wanted and not folder.is_dir():
        raise UserError(f"there is no folder {folder} to merge; check its path")
    found = store.Folder.read(folder) if os.path.lexists(folder) else store.Folder((), (), ())
    if found.unreadable:
        raise UserError(f"{found.unreadable[0]}; mend or remove it; nothing was written")
    if wanted and not found.records:
        raise UserError(f"{folder} holds no records; name a results folder of `voxgrid run`")
    return found.records
