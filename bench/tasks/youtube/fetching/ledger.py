"""The folder of a fetch: what is known of each video, written after every step."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.errors import UserError
from bench.tasks.youtube import manifest
from bench.tasks.youtube.links.repair import RepairRow
from bench.tasks.youtube.links.table import Table
from bench.tasks.youtube.manifest import Item, State


class Ledger:
    """Items of a folder, safe to be changed by several threads.

    The manifest is written after every change: it is small, downloads are slow, and so a kill
    loses no more than what was under way.

    Args:
        folder: of the task; must be locked by this process.
        table: the table of links.
        seconds: how much of the beginning of each video is wanted.
        again: statuses to try again although they are final.

    Raises:
        UserError: the folder holds clips of another length, or its manifest cannot be read.
        StorageError: the folder cannot be written.
    """

    def __init__(
        self, folder: Path, table: Table, seconds: float, again: Collection[State] = ()
    ) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._repairs = {repair.left: repair for repair in manifest.read_repairs(folder)}
        items = manifest.merged(manifest.read(folder), table.videos)
        _refuse_other_length(folder, items, seconds)
        self._items = {item.left: self._refreshed(item, again) for item in items}
        manifest.write_excluded(folder, table.excluded)
        manifest.write(folder, self._items.values())

    def _refreshed(self, item: Item, again: Collection[State]) -> Item:
        """The item as it is to be treated now."""
        if item.status == "ok":
            if item.file is not None:
                path = self.folder / manifest.AUDIO / item.file
                if path.is_file() and path.stat().st_size == item.bytes:
                    return item
            return item.untried()  # somebody removed or cut the file
        if item.status in again and item.in_table:
            if item.status == "not repaired":
                self._repairs.pop(item.left, None)
            return item.untried()
        return item

    @property
    def items(self) -> tuple[Item, ...]:
        """All items, those of earlier tables included."""
        with self._lock:
            return tuple(self._items.values())

    def to_repair(self) -> tuple[Item, ...]:
        """Videos whose id is to be searched for."""
        return _mixed(item for item in self.items if item.id is None and _is_open(item))

    def to_fetch(self) -> tuple[Item, ...]:
        """Videos whose sound is to be fetched."""
        return _mixed(item for item in self.items if item.id is not None and _is_open(item))

    def settle(self, item: Item) -> None:
        """Note what became of a video.

        Raises:
            StorageError: the manifest cannot be written.
        """
        with self._lock:
            self._items[item.left] = item
            manifest.write(self.folder, self._items.values())

    def settle_repair(self, item: Item, repair: RepairRow) -> None:
        """Note what became of a damaged id.

        Raises:
            StorageError: the table of repairs or the manifest cannot be written.
        """
        with self._lock:
            self._repairs[repair.left] = repair
            # evidence first: a repaired id in the manifest means that its evidence is there
            manifest.write_repairs(self.folder, self._repairs.values())
        if repair.id is not None:
            self.settle(replace(item.untried(), id=repair.id))
        else:
            self.settle(replace(item, status="not repaired", reason=_why_not(repair)))


def _mixed(items: Iterable[Item]) -> tuple[Item, ...]:
    """The categories in turn: the table is sorted by them, and half a fetch should be of use."""
    before: Counter[str] = Counter()
    turns = []
    for item in items:
        turns.append((before[item.category], item))
        before[item.category] += 1
    return tuple(item for _, item in sorted(turns, key=lambda turn: turn[0]))


def _is_open(item: Item) -> bool:
    return item.in_table and not item.is_final


def _why_not(repair: RepairRow) -> str:
    if repair.outcome == "several fit":
        return f"the ids {' and '.join(repair.fitting)} both fit what is left of it"
    found = "1 video" if repair.candidates == 1 else f"{repair.candidates} videos"
    return f"no id fits what is left of it; a search for the title found {found}"


def _refuse_other_length(folder: Path, items: Sequence[Item], seconds: float) -> None:
    """Raise where clips of several lengths would be mixed: length tells where a clip is from."""
    lengths = {item.asked_seconds for item in items if item.status == "ok"}
    others = sorted(length for length in lengths if length and length != seconds)
    if others:
        held = " and ".join(f"{other:g}" for other in others)
        raise UserError(
            f"{folder} holds the first {held} s of each video, and {seconds:g} s are asked for: "
            f"use --seconds {held}, or another folder with --to"
        )
