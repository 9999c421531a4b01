"""One's own data as a task: rows → clips, classes and the protocols that fit, or a sentence."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.clips import Clip, Exclusion, Section, Task, shortened
from bench.config.own import OwnData
from bench.errors import UserError
from bench.printable import printable
from bench.tasks import TASKS
from bench.tasks.entry import Entry
from bench.tasks.own import groups
from bench.tasks.own.read import read
from bench.tasks.own.rows import Found, Row

# What the group of every clip is where nobody is known: so it is on all sides, which leaks.
UNKNOWN = "unknown"
GROUPED = ("group-kfold", "random-kfold", "leave-one-group-out")
_ORIGIN = "bench.tasks.own"
# Groups that a class has to be of, so that some are left to fit on when others are held out.
_FEWEST_GROUPS = 3
_FEWEST_CLIPS = 6


@dataclass(frozen=True)
class OwnTask:
    """A task that somebody's path is, under a name; what `bench.tasks.entry.TaskModule` asks."""

    name: str
    own: OwnData

    @property
    def ENTRY(self) -> Entry:  # noqa: N802 as modules of tasks have it
        """What is known of it; the data are read for that."""
        task = self.task
        return Entry(task.name, task.protocols, f"your data in {self.own.path}", self.group)

    @property
    def group(self) -> str:
        """What clips are grouped by, in one word."""
        return "speaker" if self.own.groups else "clip"

    def resolve(self, data_root: Path | None, cache: Path, allow_download: bool) -> Task:
        """Return the clips; where they are is known."""
        return self.task

    @cached_property
    def found(self) -> Found:
        """What was read, with the groups that its settings name."""
        found = read(self.own)
        return groups.named(found, self.own.speaker) if self.own.speaker else found

    @cached_property
    def task(self) -> Task:
        """The task that is made of it.

        Raises:
            UserError: what was read makes no task.
        """
        return _task(self.name, self.own, self.found)

    @property
    def labelled(self) -> Task:
        """All labelled clips, for a winner to be tested on: no fold has to be made of them.

        Raises:
            UserError: there is none, or labels differ in next to nothing.
        """
        rows, excluded, notes = _rows(self.found)
        return Task(
            self.name,
            tuple(sorted({row.label for row in rows})),
            _clips(self.found, rows),
            (),
            excluded=tuple(excluded),
            notes=(*self.found.notes, *notes),
        )


def declare(data: Mapping[str, OwnData]) -> None:
    """Make one's own data known to this process as tasks, each read when it is asked for.

    Raises:
        UserError: a name is that of a task that is no one's own.
    """
    for name, own in data.items():
        if name in TASKS.names() and TASKS.origin(name) != _ORIGIN:
            raise UserError(
                f"'{name}' is a task of {TASKS.origin(name)} and cannot be that of {own.path}: "
                "name it otherwise with --name"
            )
        TASKS.put(name, OwnTask(name, own), _ORIGIN)


def _task(name: str, own: OwnData, found: Found) -> Task:
    rows, excluded, notes = _rows(found)
    rows = _grouped(found, own, rows)
    rows, dropped = _small(found, own, rows)
    protocols = _protocols(own, found)
    labels = tuple(sorted({row.label for row in rows}))
    if len(labels) < 2:
        raise UserError(f"{found.path} has one class, '{labels[0]}'; two are the least")
    return Task(
        name,
        labels,
        _clips(found, rows),
        protocols,
        excluded=(*excluded, *dropped),
        notes=(*found.notes, *notes),
        default=protocols[:1],
    )


def _rows(found: Found) -> tuple[list[Row], list[Exclusion], list[str]]:
    """Rows with a label and a file, whose labels are told apart; one at least."""
    rows, excluded, notes = _usable(found)
    if not rows:
        first = f"; the first, {excluded[0].clip}: {excluded[0].reason}" if excluded else ""
        raise UserError(f"{found.path}: none of {len(found.rows)} rows can be used{first}")
    _refuse_unlike(found, "label", (row.label for row in rows))
    return rows, excluded, notes


def _clips(found: Found, rows: list[Row]) -> tuple[Clip, ...]:
    return tuple(
        Clip(
            id,
            row.path,
            row.label,
            row.group or UNKNOWN,
            row.part,
            Section(row.path, *row.section) if row.section else None,
        )
        for id, row in zip(_ids(found, rows), rows, strict=True)
    )


def _usable(found: Found) -> tuple[list[Row], list[Exclusion], list[str]]:
    """Rows with a label and a file, each file once."""
    rows: dict[tuple[Path, Any], Row] = {}
    excluded, again = [], 0
    for row in found.rows:
        named = printable(f"{row.place}: {row.path.name}")
        before = rows.get((row.path, row.section))
        if not row.path.name:
            excluded.append(Exclusion(row.place, "no file is named"))
        elif not row.label:
            excluded.append(Exclusion(named, "no label"))
        elif before is not None and before.label != row.label:
            raise UserError(
                f"{found.path}: {row.path.name} is '{before.label}' in {before.place} and "
                f"'{row.label}' in {row.place}; a file has one label, so remove one of the rows"
            )
        elif before is not None:
            again += 1
        elif not row.path.is_file():
            excluded.append(Exclusion(named, f"there is no file {row.path}"))
        else:
            rows[row.path, row.section] = row
    notes = [f"{again} rows name a file that another row names too, with one label"] * bool(again)
    return list(rows.values()), excluded, notes


def _refuse_unlike(found: Found, what: str, values: Iterable[str]) -> None:
    """Raise where two differ in nothing but spaces, case or the form of their characters."""
    spelt: dict[str, str] = {}
    for value in values:
        plain = " ".join(unicodedata.normalize("NFKC", value).casefold().split())
        other = spelt.setdefault(plain, value)
        if other != value:
            raise UserError(
                f"{found.path}: the {what}s '{other}' and '{value}' differ in nothing but spaces, "
                "case or the form of their characters: write them alike"
            )


def _grouped(found: Found, own: OwnData, rows: list[Row]) -> list[Row]:
    """Rows whose groups are all known; or of one group that nobody knows, where that was asked."""
    if not own.groups:
        return [row.of(UNKNOWN) for row in rows]
    without = [row for row in rows if not row.group]
    if without and len(without) == len(rows):
        raise UserError(
            f"{found.path} does not say who speaks, and without that figures are too good: "
            f"{groups.told(groups.guesses(found))}; or name the column with --group-column, or "
            "run all the same with --no-groups"
        )
    if without:
        raise UserError(
            f"{found.path}, {without[0].place}: no speaker, as in {len(without)} rows: fill them in"
        )
    _refuse_unlike(found, "speaker", (str(row.group) for row in rows))
    return rows


def _small(found: Found, own: OwnData, rows: list[Row]) -> tuple[list[Row], list[Exclusion]]:
    """Without classes that cannot be both fitted and tested; those are refused unless dropped."""
    clips: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        clips[row.label].append(row)
    small = {}
    for label, own_rows in clips.items():
        speakers = sorted({str(row.group) for row in own_rows})
        if len(own_rows) < _FEWEST_CLIPS:
            small[label] = f"{len(own_rows)} clips, and {_FEWEST_CLIPS} are the least"
        elif own.groups and found.parts is None and len(speakers) < _FEWEST_GROUPS:
            small[label] = (
                f"clips of {shortened(speakers)} alone, and {_FEWEST_GROUPS} speakers are the least"
            )
    if not small:
        return rows, []
    if not own.drop_small:
        label, why = next(iter(small.items()))
        raise UserError(
            f"{found.path}: class '{label}' has {why}: add some, leave such classes "
            f"({shortened(list(small))}) out with --drop-small"
            + (", or run with --no-groups" if "alone" in why else "")
        )
    kept = [row for row in rows if row.label not in small]
    if not kept:
        raise UserError(f"{found.path}: every class is too small; add clips")
    dropped = [
        Exclusion(printable(row.path.name), f"its class '{row.label}' has {small[row.label]}")
        for row in rows
        if row.label in small
    ]
    return kept, dropped


def _protocols(own: OwnData, found: Found) -> tuple[str, ...]:
    """Those that fit, the one that runs by default first."""
    rest = GROUPED if own.groups else ("random-kfold",)
    return (f"own-{found.parts}", *rest) if found.parts else rest


def _ids(found: Found, rows: list[Row]) -> list[str]:
    """Names of files without their endings, and of their folders where those are not distinct.

    Behind the name of a section's file stand its start and end.
    """
    stems = [row.path.stem + _timed(row) for row in rows]
    if len(set(stems)) == len(stems):
        return stems
    ids = [_joined(row.path, found.root) + _timed(row) for row in rows]
    if twice := [id for id, count in Counter(ids).items() if count > 1]:
        raise UserError(f"{found.path}: folders and names call two files '{twice[0]}': rename one")
    return ids


def _timed(row: Row) -> str:
    if row.section is None:
        return ""
    start, end = row.section
    return f"_{start:.3f}-{'end' if end is None else f'{end:.3f}'}"


def _joined(path: Path, root: Path) -> str:
    try:
        parts = path.relative_to(root).parts
    except ValueError:
        parts = path.parts[1:]
    return "__".join((*parts[:-1], path.stem))
