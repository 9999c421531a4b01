"""Parquet files that say something else than what they unpack to."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

ROWS = 20


def _varint(number: int, length: int = 0) -> bytes:
    """As Thrift writes a number, with needless zeros up to a length."""
    number, written = number << 1, b""
    while number >= 128 or len(written) < length - 1:
        written += bytes([number & 127 | 128])
        number >>= 7
    return written + bytes([number])


def _changed(data: bytes, number: int, to: int, after: int = 0) -> bytes:
    """The file with a number in place of another, the first behind a place."""
    old = _varint(number)
    new = _varint(to, len(old))
    assert len(old) == len(new)
    assert old in data[after:]
    return data[:after] + data[after:].replace(old, new, 1)


def _written(texts: Sequence[str], columns: Sequence[str], **options: object) -> bytes:
    buffer = io.BytesIO()
    table = pa.table(dict.fromkeys(columns, pa.array(texts)))
    parquet.write_table(table, buffer, write_statistics=False, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def _packed(columns: Sequence[str], codec: str) -> bytes:
    """A few kilobytes that are a text of 30 MB, and a footer that tells of some bytes."""
    data = _written(["x" * 30_000_000], columns, compression=codec, use_dictionary=False)
    facts = parquet.ParquetFile(io.BytesIO(data)).metadata
    group, footer = facts.row_group(0), len(data) - 8 - facts.serialized_size
    for i in range(group.num_columns):
        data = _changed(data, group.column(i).total_uncompressed_size, 1, footer)
    return _changed(data, group.total_byte_size, 1, footer)


def _large_page(columns: Sequence[str]) -> bytes:
    """A page of 1.5 MB that says to unpack to 128 MiB."""
    data = _written(["x" * 75_000] * ROWS, columns, use_dictionary=False)
    for size in range(75_004 * ROWS, 75_004 * ROWS + 20):  # and the levels
        if _varint(size) in data[:100]:
            return _changed(data, size, (128 << 20) - 1)
    raise AssertionError("no page")


def _many_words(columns: Sequence[str]) -> bytes:
    """A dictionary of 100 words that says to have 8,191."""
    return _changed(_written([f"class{i}" for i in range(100)] * ROWS, columns), 100, 8191)


LIES: dict[str, Callable[[Sequence[str]], bytes]] = {
    "packed by brotli": lambda columns: _packed(columns, "brotli"),
    "packed by zstd": lambda columns: _packed(columns, "zstd"),
    "packed by gzip": lambda columns: _packed(columns, "gzip"),
    "a large page": _large_page,
    "many words": _many_words,
}


def plant(name: str, path: Path, columns: Sequence[str]) -> None:
    """Write one of the files."""
    path.write_bytes(LIES[name](columns))
