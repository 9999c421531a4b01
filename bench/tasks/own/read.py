"""A path of one's own data → what it holds, whatever kind it is of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.config.own import OwnData
from bench.errors import UserError
from bench.tasks.own import database, folders, tables, times
from bench.tasks.own.columns import passed_over, recognised
from bench.tasks.own.rows import Found, Row

# Tables that a folder may be known by, the first that is there.
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def read(own: OwnData) -> Found:
    """Read a table, or a folder: one with a table, a Kaldi directory, or a folder per class.

    Raises:
        UserError: there is nothing at the path, or nothing that can be read; says what to do.
    """
    path = own.path
    if not path.exists():
        raise UserError(f"there is nothing at {path}; check the path")
    if path.is_file():
        if path.suffix.lower() not in tables.KINDS:
            raise UserError(
                f"{path} is no table that is known by its ending ({', '.join(tables.KINDS)}): "
                "name a table, or a folder"
            )
        return _table(path, own)
    if (path / database.HEADER).is_file():
        return database.read(path, own)
    if (path / folders.WAVES).is_file():
        return folders.kaldi(path)
    found = _tables(path)
    if len(found) > 1:
        listed = ", ".join(sorted(each.name for each in found))
        raise UserError(f"{path} has several tables ({listed}): name one of them")
    return _table(found[0], own) if found else folders.by_class(path)


def _tables(folder: Path) -> list[Path]:
    own = [p for p in sorted(folder.iterdir()) if p.is_file() and not p.name.startswith(".")]
    known = [path for path in own if path.name.lower() in _METADATA]
    # settings and notes are kept as .json beside audio, so that one is no sign of a table
    every = [p for p in own if p.suffix.lower() in tables.KINDS and p.suffix.lower() != ".json"]
    return known[:1] or every


def _table(path: Path, own: OwnData) -> Found:
    table = tables.read(path)
    at = recognised(table.columns, own, path)
    part = next((role for role in ("fold", "split") if role in at), None)
    root = path.parent
    rows = tuple(_rows(path, table, at, part))
    times = [at.pop(role) for role in ("start", "end", "duration") if role in at]
    read_ = {role: f"column '{table.columns[place]}'" for role, place in at.items()}
    if any(row.section for row in rows):
        named = " and ".join(f"'{table.columns[place]}'" for place in times)
        read_["section"] = f"columns {named}" if len(times) > 1 else f"column {named}"
    kind = f"a table ({tables.KINDS[path.suffix.lower()]})"
    return Found(path, kind, root, rows, read_, tuple(passed_over(table.columns, at)), part)


def _rows(path: Path, table: tables.Table, at: dict[str, int], part: str | None) -> Iterator[Row]:
    root = path.parent
    timed = any(role in at for role in ("start", "end"))
    for place, values in table.rows:
        file = values[at["file"]].strip()
        path = root / file
        if "\\" in file and not path.exists():
            path = root / file.replace("\\", "/")
        yield Row(
            place,
            path if file else Path(),
            values[at["label"]].strip(),
            (values[at["group"]].strip() or None) if "group" in at else None,
            values[at[part]].strip() if part else None,
            _section(f"{path}, {place}", values, at) if timed else None,
        )


def _section(
    found: str, values: Sequence[str], at: dict[str, int]
) -> tuple[float, float | None] | None:
    given = (values[at[role]] if role in at else "" for role in ("start", "end", "duration"))
    return times.section(found, *given)
