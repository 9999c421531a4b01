"""Records on disk: one JSON file per cell, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from bench.config.grid import Cell
from bench.errors import UserError
from bench.files import replacing, storing
from bench.records.schema import SCHEMA_VERSION, Record
from bench.scoring import score

_ADVICE = (
    "free some space, make the folder writable or choose another with --results, then run again: "
    "what is finished is kept"
)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and only where its bytes change.

    Raises:
        StorageError: the folder is read-only or the disk is full.
    """
    with storing(path, _ADVICE):
        if path.exists() and path.read_bytes() == content:
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


def write(results: Path, record: Record) -> Path:
    """Store a record.

    A skip or a failure never takes the place of a result that was measured before, nor of a file
    that cannot be read and may hold one; the same skip or failure again keeps its file byte for
    byte.
    """
    path = record_path(results, record.cell)
    if record.status != "ok" and path.exists():
        stored = read(path)
        if isinstance(stored, Unreadable) or stored.status == "ok" or stored.same_outcome(record):
            return path
    text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode())
    return path


def read(path: Path) -> Record | Unreadable:
    """The record in a file, or why there is none.

    Raises:
        UserError: it is of a newer schema: whoever wrote it knows more than this code.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        return Unreadable(path, error.strerror or str(error))
    try:
        return Record.model_validate_json(content)
    except ValidationError as error:
        return Unreadable(path, _why(path, content, error))


def _why(path: Path, content: bytes, error: ValidationError) -> str:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return "it is no JSON"
    version = values.get("schema_version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UserError(
            f"{path} is a record of schema {version}, and this voxgrid knows {SCHEMA_VERSION}; "
            "upgrade voxgrid or name another folder with --results"
        )
    if isinstance(version, int) and version < SCHEMA_VERSION:
        return f"it is of schema {version}, and this voxgrid reads {SCHEMA_VERSION}"
    field = ".".join(map(str, error.errors()[0]["loc"]))
    return f"'{field}' is not what a record holds there" if field else "it is no record"


def flaw(results: Path, record: Record) -> str | None:
    """What is wrong with the predictions of a finished record; None where they give its scores."""
    from pyarrow import parquet  # heavy, and workers need none of it

    path = predictions_path(results, record.cell)
    try:
        table = parquet.read_table(path, page_checksum_verification=True)
        truth, predicted = (
            np.array([record.labels.index(label) for label in table.column(name).to_pylist()])
            for name in ("label", "predicted")
        )
    except FileNotFoundError:
        return f"its predictions {path} are not there"
    except (OSError, ValueError, KeyError) as error:  # Arrow's own errors are some of these
        return f"its predictions {path} cannot be read ({type(error).__name__})"
    given = score(truth, predicted, record.labels) if len(truth) else None
    if given is None or record.scores is None or not given.close_to(record.scores):
        return f"its predictions {path} do not give its scores"
    return None


def read_all(results: Path) -> Iterator[Record]:
    """Every record at its own address below a results folder, in order of their paths.

    Raises:
        UserError: a record is of a newer schema.
    """
    yield from Folder.read(results).records


def record_files(results: Path) -> Iterable[Path]:
    """Files that should be records: `<task>/<protocol>/…/<a>__<b>__<c>.json`."""
    return sorted(
        path
        for path in results.rglob("*__*__*.json")
        if not any(part.startswith(".") for part in path.relative_to(results).parts)
    )
