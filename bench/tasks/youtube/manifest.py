"""What became of every video of a table, in `manifest.parquet`; repaired ids beside it."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import StorageError, UserError
from bench.files import replacing
from bench.tasks.youtube.links.ids import intact
from bench.tasks.youtube.links.repair import RepairRow
from bench.tasks.youtube.links.videos import CATEGORIES, Excluded, Video
from bench.tasks.youtube.site.statuses import FINAL, Status

MANIFEST = "manifest.parquet"
REPAIRS = "repairs.parquet"
EXCLUDED = "excluded.csv"
# A copy of the table last fetched, so that a later fetch needs no argument.
TABLE = "table.csv"
AUDIO = "audio"

NOT_TRIED: Literal["not tried"] = "not tried"
State = Status | Literal["not tried"]
STATES: tuple[State, ...] = (*get_args(Status), NOT_TRIED)


@dataclass(frozen=True)
class Item:
    """One video of the table.

    Attributes:
        left: the id as the table has it, which may have lost characters; unique.
        row: its row in the table, as a spreadsheet counts.
        id: the id to use; None where it is damaged and not repaired.
        category: in the table.
        title: in the table.
        channel: in the table; None where the description names none.
        status: `ok` where the sound is here, else why not.
        reason: in words; empty where there is nothing to add.
        file: name of the file in `audio/`.
        sha256: of that file.
        seconds: sound in that file.
        asked_seconds: how much of the beginning was asked for.
        bytes: size of that file.
        codec: of the sound.
        duration: of the whole video, in seconds; None where the site does not say it.
        found_title: on the site.
        found_channel: on the site.
        channel_id: on the site.
        fetched_at: when it was last tried, UTC.
        in_table: False for what only an earlier table held.
    """

    left: str
    row: int
    id: str | None
    category: str
    title: str
    channel: str | None
    status: State = NOT_TRIED
    reason: str = ""
    file: str | None = None
    sha256: str | None = None
    seconds: float | None = None
    asked_seconds: float | None = None
    bytes: int | None = None
    codec: str | None = None
    duration: float | None = None
    found_title: str | None = None
    found_channel: str | None = None
    channel_id: str | None = None
    fetched_at: str | None = None
    in_table: bool = True

    @classmethod
    def of(cls, video: Video) -> Item:
        """A video nobody has tried yet."""
        return cls(
            left=video.id,
            row=video.row,
            id=video.id if intact(video.id) else None,
            category=video.category,
            title=video.title,
            channel=video.channel,
        )

    @property
    def is_final(self) -> bool:
        """Whether a further fetch would leave it as it is."""
        return self.status in FINAL

    def untried(self) -> Item:
        """The same video as if nobody had tried it; a repaired id is kept."""
        kept = {"left", "row", "id", "category", "title", "channel", "in_table"}
        return Item(**{name: value for name, value in asdict(self).items() if name in kept})

    def target(self, folder: Path) -> Path:
        """Where its sound belongs: named by a digest, since ids that differ only in case would
        be one file on some disks."""
        if self.id is None:
            raise ValueError(f"video '{self.left}' has no id")
        return folder / AUDIO / f"{hashlib.sha256(self.id.encode()).hexdigest()[:20]}.mka"


_ITEM = pa.schema(
    [
        pa.field("left", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        ("id", pa.string()),
        pa.field("category", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        ("channel", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        ("file", pa.string()),
        ("sha256", pa.string()),
        ("seconds", pa.float64()),
        ("asked_seconds", pa.float64()),
        ("bytes", pa.int64()),
        ("codec", pa.string()),
        ("duration", pa.float64()),
        ("found_title", pa.string()),
        ("found_channel", pa.string()),
        ("channel_id", pa.string()),
        ("fetched_at", pa.string()),
        pa.field("in_table", pa.bool_(), nullable=False),
    ]
)
_REPAIR = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("left", pa.string(), nullable=False),
        ("id", pa.string()),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("lost_front", pa.string(), nullable=False),
        pa.field("lost_back", pa.string(), nullable=False),
        pa.field("candidates", pa.int64(), nullable=False),
        pa.field("fitting", pa.list_(pa.string()), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        ("found_title", pa.string()),
        ("title_similarity", pa.float64()),
        ("channel", pa.string()),
        ("found_channel", pa.string()),
        ("channel_similarity", pa.float64()),
        ("duration", pa.float64()),
    ]
)

Row = TypeVar("Row", Item, RepairRow)


def read(folder: Path) -> tuple[Item, ...]:
    """Return the items of a folder, none where there is no manifest.

    Raises:
        UserError: the manifest cannot be read, or is not one.
    """
    return tuple(_rows(folder / MANIFEST, _ITEM, Item))


def read_repairs(folder: Path) -> tuple[RepairRow, ...]:
    """Return the repairs of a folder, none where there are none.

    Raises:
        UserError: the file cannot be read, or is not one of repairs.
    """
    return tuple(
        replace(row, fitting=tuple(row.fitting))
        for row in _rows(folder / REPAIRS, _REPAIR, RepairRow)
    )


def write(folder: Path, items: Iterable[Item]) -> None:
    """Write the manifest, whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    rows = sorted(items, key=lambda item: (not item.in_table, item.row, item.left))
    _write(folder / MANIFEST, [asdict(row) for row in rows], _ITEM)


def write_repairs(folder: Path, repairs: Iterable[RepairRow]) -> None:
    """Write the repairs, whole or not at all.

    Raises:
        StorageError: they cannot be written.
    """
    rows = sorted(repairs, key=lambda repair: (repair.row, repair.left))
    _write(folder / REPAIRS, [asdict(row) for row in rows], _REPAIR)


def write_excluded(folder: Path, excluded: Sequence[Excluded]) -> None:
    """List the rows of the table that are left out, each with its reason.

    Raises:
        StorageError: the list cannot be written.
    """
    path = folder / EXCLUDED
    try:
        with (
            replacing(path) as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(("row", "why", "reason", "link", "title", "category"))
            for entry in excluded:
                video = entry.video
                writer.writerow(
                    (video.row, entry.why, entry.reason, video.link, video.title, video.category)
                )
    except OSError as error:
        raise _unwritable(path, error) from error


def write_table(folder: Path, content: bytes) -> None:
    """Keep a copy of the table.

    Raises:
        StorageError: it cannot be written.
    """
    path = folder / TABLE
    try:
        if not path.is_file() or path.read_bytes() != content:
            with replacing(path) as partial:
                partial.write_bytes(content)
    except OSError as error:
        raise _unwritable(path, error) from error


def merged(old: Sequence[Item], videos: Sequence[Video]) -> list[Item]:
    """Bring a manifest up to date with a table.

    Args:
        old: items of earlier fetches.
        videos: of the table.

    Returns:
        An item for each video, with what is known of it, then those of earlier tables, marked.
    """
    known = {item.left: item for item in old}
    items = []
    for video in videos:
        item = Item.of(video)
        if before := known.pop(video.id, None):
            item = replace(
                before,
                row=item.row,
                id=before.id or item.id,
                category=item.category,
                title=item.title,
                channel=item.channel,
                in_table=True,
            )
        items.append(item)
    return [*items, *(replace(item, in_table=False) for item in known.values())]


def by_category(items: Iterable[Item]) -> Mapping[State, Mapping[str, int]]:
    """Count the videos of the table by status and category; statuses nobody has are left out."""
    found = Counter((item.status, item.category) for item in items if item.in_table)
    return {
        status: {category: found[status, category] for category in CATEGORIES}
        for status in STATES
        if any(found[status, category] for category in CATEGORIES)
    }


def _rows(path: Path, schema: pa.Schema, row: type[Row]) -> list[Row]:
    try:
        # the file itself, as a folder name such as `id=5` would be read as a column
        with path.open("rb") as file:
            table = pq.read_table(file)
    except FileNotFoundError:
        return []
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} cannot be read ({_line(error)}): {_NEXT}") from error
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise UserError(f"{path} has no column '{missing[0]}': {_NEXT}")
    names = {field.name for field in fields(row)}
    try:
        values: list[dict[str, Any]] = table.select(schema.names).cast(schema).to_pylist()
    except (ValueError, pa.ArrowException) as error:
        raise UserError(f"{path} holds unexpected values ({_line(error)}): {_NEXT}") from error
    return [row(**{key: value for key, value in one.items() if key in names}) for one in values]


_NEXT = "restore it, or move it away and fetch again (finished downloads are then made anew)"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _write(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    try:
        with replacing(path) as partial:
            pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), partial)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path} cannot be written ({error.strerror or error}): free some space or make the "
        "folder writable, then run the same command again; finished downloads are kept"
    )
