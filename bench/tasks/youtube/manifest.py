"""What became of every video of a table, in `manifest.parquet`."""

from __future__ import annotations

import csv
import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from bench.errors import StorageError, UserError
from bench.files import replacing
from bench.tasks.youtube.links import Video, intact
from bench.tasks.youtube.statuses import FINAL, Status
from bench.tasks.youtube.table import LinkTable

MANIFEST = "manifest.parquet"
EXCLUDED = "excluded.csv"
# A copy of the table last fetched, so that a later fetch needs no argument.
TABLE = "table.csv"
AUDIO = "audio"

NOT_TRIED: Literal["not tried"] = "not tried"
State = Status | Literal["not tried"]
STATES: tuple[State, ...] = (*get_args(Status), NOT_TRIED)


@dataclass(frozen=True)
class Item:
    """One video of the table; None is what is not known."""

    left: str  # the id as the table has it, which may have lost characters; unique
    row: int  # in the table, as a spreadsheet counts
    id: str | None  # the one to use; None where it is damaged and not repaired
    category: str  # in the table, as title and channel
    title: str
    channel: str | None
    status: State = NOT_TRIED  # `ok` where the sound is here, else why not
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

    @classmethod
    def of(cls, video: Video) -> Item:
        """A video nobody has tried yet."""
        id = video.id if intact(video.id) else None
        return cls(video.id, video.row, id, video.category, video.title, video.channel)

    def untried(self) -> Item:
        """The same video as if nobody had tried it; a repaired id is kept."""
        told = (self.left, self.row, self.id, self.category, self.title, self.channel)
        return Item(*told, in_table=self.in_table)

    def target(self, folder: Path) -> Path:
        """Where its sound belongs; named by a digest, as some disks ignore the case of letters."""
        if self.id is None:
            raise ValueError(f"video '{self.left}' has no id")
        return folder / AUDIO / f"{hashlib.sha256(self.id.encode()).hexdigest()[:20]}.mka"


class Ledger:
    """Items of a folder that this process has locked, safe to be changed by several threads.

    The manifest is written after every change: it is small, downloads are slow, and so a kill
    loses no more than what was under way.

    Args:
        folder: of the task.
        table: of links.
        seconds: wanted of the beginning of each video.
        again: statuses to try again although they are final.

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
            self._items[video.id] = replace(
                known.get(video.id, Item.of(video)),
                row=video.row,
                category=video.category,
                title=video.title,
                channel=video.channel,
                in_table=True,
            )
        again = set(again)
        for left, item in self._items.items():
            file = folder / AUDIO / str(item.file)
            there = file.is_file() and file.stat().st_size == item.bytes  # nor cut by somebody
            gone = item.status == "ok" and not there
            if gone or (item.status in again and item.in_table):
                self._items[left] = item.untried()
        with writing(folder / TABLE) as partial:
            partial.write_bytes(table.data)
        _write_excluded(folder, table)
        write(folder, self._items.values())

    @property
    def items(self) -> tuple[Item, ...]:
        """All items, those of earlier tables included."""
        with self._lock:
            return tuple(self._items.values())

    def to_repair(self) -> tuple[Item, ...]:
        """Videos whose id is to be searched for."""
        return self._open(lambda item: item.id is None)

    def to_fetch(self) -> tuple[Item, ...]:
        """Videos whose sound is to be fetched."""
        return self._open(lambda item: item.id is not None)

    def _open(self, wanted: Callable[[Item], bool]) -> tuple[Item, ...]:
        """The categories in turn: the table is sorted by them; half a fetch should be of use."""
        before: Counter[str] = Counter()
        turns = []
        for item in self.items:
            if item.in_table and not item.is_final and wanted(item):
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
        with path.open("rb") as file:
            rows = pq.read_table(file).to_pylist()
        return TypeAdapter(tuple[Item, ...]).validate_python(rows)
    except FileNotFoundError:
        return ()
    except (OSError, pa.ArrowException, ValidationError) as error:
        raise UserError(
            f"{path} cannot be read ({' '.join(str(error).split())[:120]}): restore it, or move it "
            "away and fetch again (finished downloads are then made anew)"
        ) from error


def write(folder: Path, items: Iterable[Item]) -> None:
    """Write the manifest, whole or not at all; a `StorageError` where it cannot be."""
    rows = sorted(items, key=lambda item: (not item.in_table, item.row, item.left))
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=_schema())
    with writing(folder / MANIFEST) as partial:
        pq.write_table(table, partial)


def _refuse_other_length(folder: Path, items: Iterable[Item], seconds: float) -> None:
    """Raise where clips of several lengths would be mixed: length tells where a clip is from."""
    lengths = {item.asked_seconds for item in items if item.status == "ok"}
    if others := lengths - {seconds, None}:
        held = " and ".join(f"{other:g}" for other in sorted(filter(None, others)))
        raise UserError(
            f"{folder} holds the first {held} s of each video, and {seconds:g} s are asked for: "
            f"use --seconds {held}, or another folder with --to"
        )


def _write_excluded(folder: Path, table: LinkTable) -> None:
    """List the rows of the table that are left out, each with its reason."""
    with (
        writing(folder / EXCLUDED) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(("row", "why", "reason", "link", "title", "category"))
        for entry in table.excluded:
            video = entry.video
            told = (video.row, entry.why, entry.reason, video.link, video.title, video.category)
            writer.writerow(told)


def _schema() -> pa.Schema:
    """Columns as `Item` declares them, so that one without values has its type too."""
    arrow = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    columns = []
    for name, hint in get_type_hints(Item).items():
        kinds = {hint, *get_args(hint)}
        kind = next((type for key, type in arrow.items() if key in kinds), pa.string())
        columns.append(pa.field(name, kind, nullable=type(None) in kinds))
    return pa.schema(columns)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Write a file of the folder whole or not at all; a `StorageError` where it cannot be."""
    try:
        with replacing(path) as partial:
            yield partial
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> StorageError:
    """Return what to say where a file or folder of the fetch cannot be written."""
    return StorageError(
        f"{path} cannot be written ({error.strerror or error}): free some space, make it writable "
        "or choose another folder with --to, then run the same command again; finished downloads "
        "are kept"
    )
