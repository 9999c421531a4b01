"""The footer of a Parquet file from elsewhere: how it is packed, and how many rows it promises.

What a page unpacks to stands in the page, and pyarrow takes so much memory before it looks. Snappy,
in which voxgrid writes, gives 21 times its bytes at the most; others give a million times. pyarrow
itself cannot be asked: it aborts the process where a column's part of the footer is odd.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from backbones.reading import Kind

# What stands at the very end: the length of the footer, and a mark.
_END = 8
# One of 1,440 clips has 2 kB, whatever their number.
_MOST_BYTES = 1 << 20
_DEEPEST = 16
# Not at all, and Snappy.
_KNOWN = {0, 1}
_ROW_GROUPS, _COLUMNS, _BYTES, _ROWS, _ABOUT, _CODEC = 4, 1, 2, 3, 3, 4


def rows_of(file: BinaryIO, kind: Kind) -> int:
    """How many rows a Parquet file promises.

    Raises:
        ValueError: it is none, is packed by something else than Snappy, or promises to unpack to
            more than its kind.
    """
    end = max(0, file.seek(0, os.SEEK_END) - _END)
    file.seek(end)
    length = int.from_bytes(file.read(4), "little")
    if length > min(end, _MOST_BYTES):
        raise ValueError("it has no footer of Parquet")
    file.seek(end - length)
    try:
        groups = _struct(io.BytesIO(file.read(length)), _DEEPEST)[_ROW_GROUPS]
        codecs = {column[_ABOUT][_CODEC] for group in groups for column in group[_COLUMNS]}
        promised = sum(group[_BYTES] for group in groups)
        rows = sum(group[_ROWS] for group in groups)
    except (LookupError, TypeError) as error:
        raise ValueError("its footer is damaged") from error
    if codecs - _KNOWN:
        raise ValueError("it is packed by something else than Snappy")
    if promised > kind.most:
        raise ValueError(f"it {kind.excess}")
    return int(rows)


def _struct(source: io.BytesIO, deepest: int) -> dict[int, Any]:
    """The fields of a structure by their numbers, as Thrift's compact protocol writes them."""
    fields, number = {}, 0
    while head := source.read(1)[0]:
        number = number + (head >> 4) if head >> 4 else _integer(source)
        fields[number] = (
            head & 15 == 1 if head & 15 in (1, 2) else _value(source, head & 15, deepest)
        )
    return fields


def _value(source: io.BytesIO, kind: int, deepest: int) -> Any:
    if kind in (4, 5, 6):
        return _integer(source)
    if kind == 8:
        return source.read(_plain(source))
    if kind == 9 and deepest:
        head = source.read(1)[0]
        count = head >> 4 if head >> 4 < 15 else _plain(source)
        return [_value(source, head & 15, deepest - 1) for _ in range(count)]
    if kind == 12 and deepest:
        return _struct(source, deepest - 1)
    if kind in (1, 2, 3, 7):  # a truth in a list, a byte, a number with a point
        return source.read(8 if kind == 7 else 1)[0]
    raise ValueError("its footer is damaged")


def _integer(source: io.BytesIO) -> int:
    found = _plain(source)
    return found >> 1 ^ -(found & 1)


def _plain(source: io.BytesIO) -> int:
    found = 0
    for shift in range(0, 64, 7):
        byte = source.read(1)[0]
        found |= (byte & 127) << shift
        if byte < 128:
            return found
    raise ValueError("its footer is damaged")
