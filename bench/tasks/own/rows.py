"""What is read of a table or folder before anything is judged: one row for each labelled file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One labelled file.

    Attributes:
        place: where it is told, such as `line 7`, or the file itself.
        path: of the file; nobody has looked whether it is there.
        label: as text, empty where there is none.
        group: None where nothing says it.
        part: the fold or split that a table names; None likewise.
        section: seconds where it begins and ends in the file, None being the file's end; None
            where it is the whole file.
    """

    place: str
    path: Path
    label: str
    group: str | None = None
    part: str | None = None
    section: tuple[float, float | None] | None = None

    def of(self, group: str | None) -> Row:
        """The same file of a group."""
        return replace(self, group=group)


@dataclass(frozen=True)
class Found:
    """What a path holds.

    Attributes:
        path: of the table or folder that was read.
        kind: in words, such as `a table (CSV)`.
        root: folder that file names are relative to.
        rows: in their order.
        read: by what is read (`file`, `label`, `group`, `part`, `section`) the column or place.
        notes: what to know of how it was read.
        parts: `fold` or `split`, where a table names parts.
    """

    path: Path
    kind: str
    root: Path
    rows: tuple[Row, ...]
    read: dict[str, str]
    notes: tuple[str, ...] = ()
    parts: str | None = None
