"""Tables of labelled files: CSV, TSV, parquet and JSON lines → columns and rows of text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from backbones.reading import MOST_ROWS, TABLE, parse_json, read_bytes
from bench.errors import UserError
from bench.footers import rows_of

KINDS = {
    ".csv": "CSV",
    ".tsv": "TSV",
    ".parquet": "parquet",
    ".jsonl": "JSON lines",
    ".json": "JSON lines",
    ".ndjson": "JSON lines",
}
_DELIMITERS = ",;\t|"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Table:
    """Text by row and column.

    Attributes:
        rows: place of each, such as `line 7`, and its values in the order of the columns.
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, Sequence[str]]]


def read(path: Path) -> Table:
    """Read a table by what its name ends with.

    Raises:
        UserError: it cannot be read, and why; or it has no row.
    """
    kind = KINDS[path.suffix.lower()]
    try:
        content = read_bytes(path, TABLE)
        if kind == "parquet":
            table = _parquet(content)
        elif kind == "JSON lines":
            table = _json_lines(_text(content))
        else:
            table = _csv(_text(content), "\t" if kind == "TSV" else None)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:
        raise UserError(f"{path} is no table in {kind}: {error}") from error
    if not table.columns:
        raise UserError(f"{path} is empty; write a line of names, and a row for each file")
    if not table.rows:
        raise UserError(f"{path} has a line of names and no row; add a row for each file")
    if len(table.rows) > MOST_ROWS:
        raise UserError(f"{path} has more than {MOST_ROWS} rows; cut it into parts")
    twice = {name for name in table.columns if table.columns.count(name) > 1}
    if twice:
        raise UserError(f"{path} has two columns '{min(twice)}'; rename one")
    return table


def _text(content: bytes) -> str:
    """As text; a byte order mark says which Unicode it is in, and otherwise it is UTF-8."""
    if content.startswith(_UTF16):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not in UTF-8; save it as UTF-8") from error


def _csv(text: str, delimiter: str | None) -> Table:
    lines = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter or _delimiter(text), strict=True
    )
    header: tuple[str, ...] | None = None
    rows = []
    try:
        for values in lines:
            if not any(map(str.strip, values)):
                continue
            if header is None:
                header = tuple(map(str.strip, values))
            elif len(values) != len(header):
                raise ValueError(
                    f"line {lines.line_num} has {len(values)} values, and the first line names "
                    f"{len(header)} columns; quote values that hold the separator"
                )
            else:
                rows.append((f"line {lines.line_num}", values))
    except csv.Error as error:
        raise ValueError(f"line {lines.line_num}: {error}") from error
    return Table(header or (), rows)


def _delimiter(text: str) -> str:
    """What is most often in the first line."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(_DELIMITERS, key=lambda each: (first.count(each), -_DELIMITERS.index(each)))


def _json_lines(text: str) -> Table:
    if text.lstrip().startswith("["):
        objects = [(f"row {at}", own) for at, own in enumerate(parse_json(text), start=1)]
    else:
        objects = list(_objects(text))
    columns: dict[str, None] = {}
    for place, own in objects:
        if not isinstance(own, dict):
            raise ValueError(f"{place} is no object in braces")
        columns |= dict.fromkeys(own)
    rows = [(place, [_value(own.get(name)) for name in columns]) for place, own in objects]
    return Table(tuple(columns), rows)


def _objects(text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield f"line {number}", parse_json(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error


def _parquet(content: bytes) -> Table:
    rows_of(io.BytesIO(content), TABLE)  # refuses what would unpack to more than memory holds
    try:
        frame = pd.read_parquet(io.BytesIO(content))
    # what pyarrow raises of a file that is none is one of its own, which are these
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(str(error).partition("\n")[0]) from error
    columns = [[_value(own) for own in frame[name].tolist()] for name in frame.columns]
    rows = zip(*columns, strict=True)
    return Table(
        tuple(map(str, frame.columns)),
        [(f"row {number}", values) for number, values in enumerate(rows, start=1)],
    )


def _value(value: Any) -> str:
    """As text: a label 1 is `1`, what is missing is empty."""
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a column of whole numbers in which some are missing
    return str(value)
