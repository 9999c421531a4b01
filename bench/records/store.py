"""Records on disk: one JSON file per cell, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from backbones import reading
from bench.config.grid import Cell
from bench.errors import UserError, said
from bench.files import replacing, storing, unlinked
from bench.printable import printable
from bench.records.schema import SCHEMA_VERSION, Record

_ADVICE = (
    "free some space, make the folder writable or choose another with --results, then run again: "
    "what is finished is kept"
)
# Records have less of both; what has more takes longer to refuse than its bytes to read.
_MOST_FIELDS = 2000
_DEEPEST = 8


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and only where its bytes change.

    Raises:
        StorageError: the folder is read-only or the disk is full.
    """
    with storing(path, _ADVICE):
        with suppress(OSError), reading.opened(path) as file:
            if file.read(len(content) + 1) == content:
                return
        with replacing(path) as partial, partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def record_path(results: Path, cell: Cell) -> Path:
    """Where the record of a cell lives below the results folder."""
    return results / f"{cell.relative_path}.json"


def predictions_path(results: Path, cell: Cell) -> Path:
    """Where the per-clip predictions of a cell live, beside its record."""
    return results / f"{cell.relative_path}.parquet"


def inner_path(results: Path, cell: Cell) -> Path:
    """Where what a cell's chosen settings said on inner folds lives, beside its record."""
    return results / f"{cell.relative_path}.inner.parquet"


@dataclass(frozen=True)
class Unreadable:
    """A file that should hold a record, and in words why none can be read from it."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path} cannot be read ({self.reason})"


@dataclass(frozen=True)
class Folder:
    """A results folder in order of paths; `copies` lie elsewhere than at their cell's address."""

    records: tuple[Record, ...]
    unreadable: tuple[Unreadable, ...]
    copies: tuple[Path, ...]

    @classmethod
    def read(cls, results: Path) -> Folder:
        """Read every file that should be a record.

        Raises:
            UserError: a record is of a newer schema.
        """
        own, unreadable, copies = [], [], []
        for path in record_files(results):
            found = read(path)
            if isinstance(found, Unreadable):
                unreadable.append(found)
            elif path == record_path(results, found.cell):
                own.append(found)
            else:
                copies.append(path)
        return cls(tuple(own), tuple(unreadable), tuple(copies))


def write(
    results: Path, record: Record, predictions: bytes | None = None, inner: bytes | None = None
) -> Path:
    """Store a record, and before it the predictions that it tells of, of test and inner folds.

    A skip or a failure never takes the place of a result that was measured before, nor of a file
    that cannot be read and may hold one; the same skip or failure again keeps its file byte for
    byte.

    Raises:
        StorageError: the folder is read-only, the disk is full, or a link leads out of the folder.
    """
    path = record_path(results, record.cell)
    unlinked(path.parent, results)
    if record.status != "ok" and os.path.lexists(path):
        stored = read(path)
        if isinstance(stored, Unreadable) or stored.status == "ok" or stored.same_outcome(record):
            return path
    if predictions is not None:
        write_atomically(predictions_path(results, record.cell), predictions)
    if inner is not None:
        write_atomically(inner_path(results, record.cell), inner)
    text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode())
    return path


def read(path: Path) -> Record | Unreadable:
    """The record in a file, or why there is none.

    Raises:
        UserError: it is of a newer schema: whoever wrote it knows more than this code.
    """
    if path.is_symlink():
        return Unreadable(path, "it is a link, and only a file counts as a record")
    try:
        content = reading.read_bytes(path, reading.RECORD)
    except OSError as error:
        return Unreadable(path, error.strerror or said(error))
    try:
        values = reading.parse_json(content, _MOST_FIELDS)
    except ValueError:
        return Unreadable(path, "it is no JSON")
    try:
        return Record.model_validate(values)
    except ValidationError as error:
        return Unreadable(path, _why(path, values, error))


def _why(path: Path, values: Any, error: ValidationError) -> str:
    version = values.get("schema_version") if isinstance(values, dict) else None
    if isinstance(version, int) and SCHEMA_VERSION < version < 1000:
        raise UserError(
            f"{path} is a record of schema {version}, and this voxgrid knows {SCHEMA_VERSION}; "
            "upgrade voxgrid or name another folder with --results"
        )
    if isinstance(version, int) and version < SCHEMA_VERSION:
        return f"it is of schema {version}, and this voxgrid reads {SCHEMA_VERSION}"
    name = field(error)
    return f"'{name}' is not what a record holds there" if name else "it is no record"


def field(error: ValidationError) -> str:
    """The first field that is wrong in what was read; empty where all of it is."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return printable(".".join(map(str, first["loc"])))[:200]


def read_all(results: Path) -> Iterator[Record]:
    """Every record at its own address below a results folder, in order of their paths.

    Raises:
        UserError: a record is of a newer schema.
    """
    yield from Folder.read(results).records


def record_files(results: Path) -> list[Path]:
    """What should be records: `<task>/<protocol>/…/<a>__<b>__<c>.json`."""
    return found(results, "*__*__*.json")


def found(folder: Path, pattern: str) -> list[Path]:
    """What lies below a folder by the pattern of its name, in order; nothing hidden.

    Links to folders are not followed, and what lies deeper than anything of ours is not looked at.
    """
    paths = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        shown = (name for name in (*folders, *files) if not name.startswith("."))
        paths += [Path(place, name) for name in shown if fnmatch(name, pattern)]
        if len(Path(place).relative_to(folder).parts) >= _DEEPEST:
            folders.clear()
    return sorted(paths)
