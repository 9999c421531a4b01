"""Databases of audformat, whose tables and schemes its own library joins."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd

from backbones.reading import MANIFEST, parse_yaml, read_text
from bench.config.own import OwnData
from bench.errors import UserError
from bench.tasks.own.columns import recognised
from bench.tasks.own.rows import Found, Row

HEADER = "db.yaml"
_PARTS = ("fold", "split")


def read(folder: Path, own: OwnData) -> Found:
    """Read the labels, speakers and parts of a database; its schemes stand for columns.

    Raises:
        UserError: audformat is not installed, the database cannot be read, or holds pickles, which
            run code when they are read.
    """
    if importlib.util.find_spec("audformat") is None:
        raise UserError(
            f"{folder} is a database of audformat, which takes its library: pip install "
            "'voxgrid[audformat]'"
        )
    pickles = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".pkl")
    if pickles:
        raise UserError(
            f"{pickles[0]} is a pickle, and pickles are not read: save the database's tables as "
            "CSV or parquet, and remove it"
        )
    import audformat

    try:
        # the library's own reader of YAML would make objects of what a header names
        parse_yaml(read_text(folder / HEADER, MANIFEST))
        database = audformat.Database.load(str(folder))
        names = ["file", *database.schemes]
        at = recognised(names, own.model_copy(update={"file_column": None}), folder)
        part = next((role for role in _PARTS if role in at), None)
        more = [names[at[role]] for role in ("group", part) if role is not None and role in at]
        frame = database.get(names[at["label"]], more)
    except (OSError, ValueError, RuntimeError, KeyError, audformat.errors.BadKeyError) as error:
        raise UserError(f"{folder} is no database that audformat reads: {error}") from error
    roles = {"label": at["label"]} | {r: at[r] for r in ("group", part) if r and r in at}
    columns = {role: frame[names[place]].tolist() for role, place in roles.items()}
    rows = []
    for n, index in enumerate(frame.index):
        file, *times = index if isinstance(index, tuple) else (index,)
        values = {role: _text(own_[n]) for role, own_ in columns.items()}
        rows.append(
            Row(
                f"row {n + 1}",
                folder / file,
                values["label"],
                values.get("group") or None,
                values[part] if part else None,
                _section(times),
            )
        )
    told = {role: f"scheme '{names[place]}'" for role, place in roles.items()}
    if any(row.section for row in rows):
        told["section"] = "segments"
    kind = "a database of audformat"
    return Found(folder, kind, folder, tuple(rows), {"file": "its files", **told}, (), part)


def _section(times: list[pd.Timedelta]) -> tuple[float, float | None] | None:
    """Seconds of a segment; None of a whole file."""
    if not times:
        return None
    start, end = (None if pd.isna(time) else time.total_seconds() for time in times)
    if not start and end is None:
        return None
    return start or 0.0, end


def _text(value: object) -> str:
    return "" if pd.isna(value) else str(value).strip()  # type: ignore[call-overload]
