"""What became of every video of a table, in `manifest.parquet`."""

from __future__ import annotations

import csv
import hashlib
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ConfigDict, TypeAdapter

from backbones import reading
from bench.errors import UserError
from bench.files import replacing, storing
from bench.footers import rows_of
from bench.printable import no_formula
from bench.tasks.youtube.links import Found, Video, intact
from bench.tasks.youtube.statuses import FINAL, Status
from bench.tasks.youtube.table import LinkTable

MANIFEST = "manifest.parquet"
EXCLUDED = "excluded.csv"
_COLUMNS = ("row", "why", "reason", "link", "title", "category")
# A copy of the table last fetched, so that a later fetch needs no argument.
TABLE = "table.csv"
AUDIO = "audio"
UNWRITABLE = (
    "free some space, make it writable or choose another folder with --to, then run the same "
    "command again; finished downloads are kept"
)


@dataclass(frozen=True, kw_only=True)
class Item(Video):
    """A video of the table and what became of it; None is what is not known."""

    # no cell of a CSV file is longer
    __pydantic_config__ = ConfigDict(str_max_length=csv.field_size_limit(), allow_inf_nan=False)

    id: str | None  # the one to use; None where it is damaged and not repaired
    status: Status = "not tried"  # `ok` where the sound is here, else why not
    reason: str = ""  # in words; empty where there is nothing to add
    file: str | None = None  # its name in `audio/`
    sha256: str | None = None  # of that file
    seconds: float | None = None  # of sound in that file
    asked_seconds: float | None = None  # of the beginning
    bytes: int | None = None  # of that file
    codec: str | None = None  # of the sound
    duration: float | None = None  # of the whole video, in seconds, on the site
    found_title: str | None = None  # on the site, as the channel
    found_channel: str | None = None
    channel_id: str | None = None
    fetched_at: str | None = None  # when it was last tried, UTC
    in_table: bool = True  # False for what only an earlier table held

    @property
    def is_final(self) -> bool:
        """Whether a further fetch would leave it as it is."""
        return self.status in FINAL

    def untried(self) -> Item:
        """The same video as if nobody had tried it; a repaired id is kept."""
        told = {field.name: getattr(self, field.name) for field in fields(Video)}
        return Item(**told, id=self.id, in_table=self.in_table)

    def identified(self, found: Found) -> Item:
        """The same video with what the site says of it."""
        return replace(
            self,
            id=found.id,
            duration=found.duration,
            found_title=found.title,
            found_channel=found.channel,
            channel_id=found.channel_id,
        )

    def target(self, folder: Path) -> Path:
        """Where its sound belongs; named by a digest, as some disks ignore the case of letters."""
        return folder / AUDIO / f"{hashlib.sha256(str(self.id).encode()).hexdigest()[:20]}.mka"


class Ledger:
    """Items of a folder that this process has locked, safe to be changed by several threads.

    The manifest is written after every change: it is small, downloads are slow, and so a kill
    loses no more than what was under way.

    `seconds` of the beginning of each video are wanted, and those with a status of `again` are
    tried again although it is final.

    Raises:
        UserError: the folder holds clips of another length, or its manifest cannot be read.
        StorageError: the folder cannot be written.
    """

    def __init__(
        self, folder: Path, table: LinkTable, seconds: float, again: Iterable[str] = ()
    ) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        known = {item.left: item for item in read(folder)}
        _refuse_other_length(folder, known.values(), seconds)
        # those of earlier tables are kept, and marked
        self._items = {left: replace(item, in_table=False) for left, item in known.items()}
        for video in table.videos:
            told = {**asdict(video), "in_table": True}
            item = known.get(video.left)
            fresh = Item(**told, id=video.left if intact(video.left) else None)
            self._items[video.left] = fresh if item is None else replace(item, **told)
        again = set(again)
        for left, item in self._items.items():
            file = item.target(folder)
            there = file.is_file() and file.stat().st_size == item.bytes  # nor cut by somebody
            gone = item.status == "ok" and not there
            if gone or (item.status in again and item.in_table):
                self._items[left] = item.untried()
        with storing(folder, UNWRITABLE):
            with replacing(folder / TABLE) as partial:
                partial.write_bytes(table.data)
            with (
                replacing(folder / EXCLUDED) as partial,
                partial.open("w", newline="", encoding="utf-8") as listed,
            ):
                writer = csv.DictWriter(listed, _COLUMNS, extrasaction="ignore")
                writer.writeheader()
                for entry in table.excluded:
                    cells = asdict(entry) | asdict(entry.video)
                    writer.writerow({name: no_formula(str(cell)) for name, cell in cells.items()})
        write(folder, self._items.values())

    def to_do(self, repair: bool = True) -> tuple[Item, ...]:
        """Videos to be fetched, those without an id among them where that is to be repaired.

        The categories take turns: the table is sorted by them; half a fetch should be of use.
        """
        before: Counter[str] = Counter()
        turns = []
        for item in self._items.values():
            if item.in_table and not item.is_final and (repair or item.id):
                turns.append((before[item.category], item))
                before[item.category] += 1
        return tuple(item for _, item in sorted(turns, key=lambda turn: turn[0]))

    def settle(self, item: Item) -> None:
        """Note what became of a video; a `StorageError` where that cannot be written."""
        with self._lock:
            self._items[item.left] = item
            write(self.folder, self._items.values())


def read(folder: Path) -> tuple[Item, ...]:
    """Return the items of a folder, if any; a `UserError` where its manifest is none."""
    path = folder / MANIFEST
    try:
        # the file itself, as a folder name such as `id=5` would be read as a column
        with reading.opened(path, reading.MANIFEST) as file:
            if (count := rows_of(file, reading.MANIFEST)) > reading.MOST_ROWS:
                raise ValueError(f"it promises {count} rows")
            rows = list(_rows(pq.ParquetFile(file)))
        return TypeAdapter(tuple[Item, ...]).validate_python(rows)
    except FileNotFoundError:
        return ()
    except (OSError, MemoryError, OverflowError, ValueError, pa.ArrowException) as error:
        raise UserError(
            f"{path} cannot be read ({' '.join(str(error).split())[:120]}): restore it, or move it "
            "away and fetch again (finished downloads are then made anew)"
        ) from error


def _rows(table: pq.ParquetFile) -> Iterator[dict[str, object]]:
    """The rows of a manifest; a `ValueError` where they are too large or nested."""
    if any(map(pa.types.is_nested, table.schema_arrow.types)):
        raise ValueError("its cells hold lists or tables")
    held = 0
    for batch in table.iter_batches(16):  # a long text in the file may stand for many cells
        cells = batch.to_pylist()
        held += len(str(cells))
        if held > reading.MANIFEST.most:
            raise ValueError(f"it {reading.MANIFEST.excess}")
        yield from cells


def write(folder: Path, items: Iterable[Item]) -> None:
    """Write the manifest, whole or not at all; a `StorageError` where it cannot be."""
    rows = sorted(items, key=lambda item: (not item.in_table, item.row, item.left))
    table = pa.Table.from_pylist([asdict(row) for row in rows])
    path = folder / MANIFEST
    with storing(path, UNWRITABLE), replacing(path) as partial:
        pq.write_table(table, partial)


def _refuse_other_length(folder: Path, items: Iterable[Item], seconds: float) -> None:
    """Raise where clips of several lengths would be mixed: length tells where a clip is from."""
    lengths = {item.asked_seconds or seconds for item in items if item.status == "ok"}
    if others := lengths - {seconds}:
        held = " and ".join(f"{other:g}" for other in sorted(others))
        raise UserError(
            f"{folder} holds the first {held} s of each video, and {seconds:g} s are asked for: "
            f"use --seconds {held}, or another folder with --to"
        )
