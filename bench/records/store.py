"""Records on disk: one JSON file per cell, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.config.grid import Cell
from bench.errors import StorageError
from bench.files import replacing
from bench.records.schema import Record


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and only where its bytes change.

    Raises:
        StorageError: the folder is read-only or the disk is full.
    """
    try:
        if path.exists() and path.read_bytes() == content:
            return
        with replacing(path) as partial, partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}); free some space, make the "
            "folder writable or choose another with --results, then run again: what is finished "
            "is kept"
        ) from error


def record_path(results: Path, cell: Cell) -> Path:
    """Where the record of a cell lives below the results folder."""
    return results / f"{cell.relative_path}.json"


def predictions_path(results: Path, cell: Cell) -> Path:
    """Where the per-clip predictions of a cell live, beside its record."""
    return results / f"{cell.relative_path}.parquet"


def write(results: Path, record: Record) -> Path:
    """Store a record.

    A skip or a failure never takes the place of a result that was measured before, nor of a file
    that cannot be read and may hold one; the same skip or failure again keeps its file byte for
    byte.
    """
    path = record_path(results, record.cell)
    if record.status != "ok" and path.exists():
        stored = read(path)
        if stored is None or stored.status == "ok" or stored.same_outcome(record):
            return path
    text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode())
    return path


def read(path: Path) -> Record | None:
    """The record in a file, or None where it is damaged or of another schema (it runs again)."""
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValueError:  # pydantic's ValidationError is one
        return None


def is_final(results: Path, cell: Cell, fingerprint: str, trials: int) -> bool:
    """Whether a cell has a record that nothing would change: it is never computed again.

    Args:
        results: folder of the records.
        cell: which one.
        fingerprint: of everything that decides its scores today.
        trials: wanted per fold; a record of more is final too.
    """
    path = record_path(results, cell)
    stored = read(path) if path.exists() else None
    return (
        stored is not None
        and stored.status == "ok"
        and stored.provenance.fingerprint == fingerprint
        and stored.trials >= trials
        and predictions_path(results, cell).exists()
    )


def read_all(results: Path) -> Iterator[Record]:
    """Every readable record below a results folder, in order of their paths."""
    for path in record_files(results):
        record = read(path)
        if record is not None:
            yield record


def record_files(results: Path) -> Iterable[Path]:
    """Files that should be records: `<task>/<protocol>/…/<a>__<b>__<c>.json`."""
    return sorted(
        path
        for path in results.rglob("*__*__*.json")
        if not any(part.startswith(".") for part in path.relative_to(results).parts)
    )
