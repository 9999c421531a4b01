"""Predictions as a table on disk that is appended to, and goes on where a kill left it."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from backbones.reading import TABLE, parse_json, read_bytes
from bench.errors import UserError
from bench.files import storing
from bench.printable import no_formula, printable
from bench.winner.model import Predicted

Format = Literal["csv", "jsonl"]
_DIGITS = 6


def line(row: Predicted, labels: Sequence[str], kind: Format, top: int | None = None) -> str:
    """One row as text; of `top` only so many of the likeliest labels."""
    values = _values(row, labels, top)
    if kind == "jsonl":
        rounded = {k: round(v, _DIGITS) if isinstance(v, float) else v for k, v in values.items()}
        return json.dumps(rounded, ensure_ascii=False) + "\n"
    return _csv([_text(own) for own in values.values()])


def header(labels: Sequence[str], kind: Format, top: int | None = None) -> str:
    """What stands before the rows; nothing in JSON lines."""
    return "" if kind == "jsonl" else _csv(map(_text, _values(Predicted(""), labels, top)))


def append(
    path: Path,
    files: Sequence[str],
    labels: Sequence[str],
    kind: Format,
    top: int | None,
    predict: Callable[[Sequence[str]], Iterable[Predicted]],
) -> None:
    """Write a row for each file, and go on behind those that are there already.

    Raises:
        UserError: what is there is of other files, or no such table.
        StorageError: it cannot be written.
    """
    first = header(labels, kind, top)
    done = _done(path, first, files, kind)
    with storing(path, "name another file with --out"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(done.size)
            file.seek(done.size)
            if not done.size:
                file.write(first.encode())
            for row in predict(files[done.rows :]):
                file.write(line(row, labels, kind, top).encode())
                file.flush()
            os.fsync(file.fileno())


class _Done:
    """Whole rows that are there: how many, and how many bytes with what stands before them."""

    def __init__(self, rows: int = 0, size: int = 0) -> None:
        self.rows, self.size = rows, size


def _done(path: Path, first: str, files: Sequence[str], kind: Format) -> _Done:
    if not path.exists():
        return _Done()
    try:
        content = read_bytes(path, TABLE)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); name another file") from error
    begun = first.encode()
    if not content.startswith(begun) and not begun.startswith(content):
        raise UserError(f"{path} is no table of this winner's predictions; name another with --out")
    done = _Done(0, len(begun) if content.startswith(begun) else 0)
    if done.size < len(begun):
        return done
    for raw in content[done.size :].splitlines(keepends=True):
        if not raw.endswith(b"\n"):
            break  # cut by a kill
        named = _file(raw.decode(errors="replace"), kind)
        wanted = files[done.rows] if done.rows < len(files) else None
        if wanted is None or named != (_text(wanted) if kind == "csv" else wanted):
            raise UserError(
                f"{path} has a row of '{named}', which is not file {done.rows + 1} of those asked "
                "for: name another file with --out"
            )
        done.rows += 1
        done.size += len(raw)
    return done


def _file(text: str, kind: Format) -> str:
    try:
        return str(parse_json(text)["file"]) if kind == "jsonl" else next(csv.reader([text]))[0]
    except (ValueError, KeyError, TypeError, IndexError, StopIteration, csv.Error):
        return text.strip()


def _values(row: Predicted, labels: Sequence[str], top: int | None) -> dict[str, Any]:
    said = row.probabilities
    values: dict[str, Any] = {"file": row.file, "label": row.label}
    if top is None:
        values |= {
            f"p_{label}": None if said is None else said[n] for n, label in enumerate(labels)
        }
    else:
        order = [] if said is None else sorted(range(len(said)), key=lambda n: -said[n])
        for place in range(min(top, len(labels))):
            known = place < len(order) and said is not None
            values[f"label_{place + 1}"] = labels[order[place]] if known else ""
            values[f"p_{place + 1}"] = (
                round(said[order[place]], _DIGITS) if known and said else None
            )
    return values | {"in_training": row.in_training, "reason": row.reason}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{_DIGITS}f}"
    return "" if value is None else no_formula(printable(str(value)))


def _csv(values: Iterable[str]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()
