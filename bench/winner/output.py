"""Predictions as a table on disk that is appended to, and goes on where a kill left it."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from backbones.reading import TABLE, parse_json, read_bytes
from bench.errors import UserError
from bench.files import storing
from bench.printable import no_formula, printable
from bench.winner.model import Predicted

Format = Literal["csv", "jsonl"]
_DIGITS = 6


@dataclass(frozen=True)
class Form:
    """What a table of predictions looks like.

    Attributes:
        labels: of the winner.
        top: how many of the likeliest labels are written; None writes the probability of each.
        windows: whether rows are of parts of files, with their start and end.
    """

    labels: Sequence[str]
    kind: Format = "csv"
    top: int | None = None
    windows: bool = False


def line(row: Predicted, form: Form) -> str:
    """One row as text."""
    values = _values(row, form)
    if form.kind == "jsonl":
        rounded = {k: round(v, _DIGITS) if isinstance(v, float) else v for k, v in values.items()}
        return json.dumps(rounded, ensure_ascii=False) + "\n"
    return _csv([_text(own) for own in values.values()])


def header(form: Form) -> str:
    """What stands before the rows; nothing in JSON lines."""
    return "" if form.kind == "jsonl" else _csv(map(_text, _values(Predicted(""), form)))


def append(
    path: Path,
    files: Sequence[str],
    form: Form,
    predict: Callable[[Sequence[str]], Iterable[Predicted]],
) -> None:
    """Write the rows of each file, and go on behind those that are there already.

    Raises:
        UserError: what is there is of other files, or no such table.
        StorageError: it cannot be written.
    """
    first = header(form)
    done = _done(path, first, files, form)
    with storing(path, "name another file with --out"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(done.size)
            file.seek(done.size)
            if not done.size:
                file.write(first.encode())
            for row in predict(files[done.files :]):
                file.write(line(row, form).encode())
                file.flush()
            os.fsync(file.fileno())


@dataclass
class _Done:
    """Files whose rows are all there: how many, and how many bytes with what stands before them."""

    files: int = 0
    size: int = 0


def _done(path: Path, first: str, files: Sequence[str], form: Form) -> _Done:
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
    size, current = done.size, -1
    for raw in content[done.size :].splitlines(keepends=True):
        if not raw.endswith(b"\n"):
            break  # cut by a kill
        named = _file(raw.decode(errors="replace"), form.kind)
        if not (form.windows and current >= 0 and named == _named(files[current], form)):
            # a file whose windows are followed by another's has them all
            done.files, done.size, current = current + 1, size, current + 1
        if current >= len(files) or named != _named(files[current], form):
            raise UserError(
                f"{path} has a row of '{named}', which is not file {current + 1} of those asked "
                "for: name another file with --out"
            )
        size += len(raw)
    if not form.windows:
        done.files, done.size = current + 1, size
    return done


def _named(file: str, form: Form) -> str:
    return _text(file) if form.kind == "csv" else file


def _file(text: str, kind: Format) -> str:
    try:
        return str(parse_json(text)["file"]) if kind == "jsonl" else next(csv.reader([text]))[0]
    except (ValueError, KeyError, TypeError, IndexError, StopIteration, csv.Error):
        return text.strip()


def _values(row: Predicted, form: Form) -> dict[str, Any]:
    said, labels, top = row.probabilities, form.labels, form.top
    values: dict[str, Any] = {"file": row.file}
    if form.windows:
        start, end = row.window or (None, None)
        values |= {"start": start, "end": end}
    values["label"] = row.label
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
    return values | {
        "in_training": row.in_training, "abstains": row.abstains, "reason": row.reason
    }  # fmt: skip


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
