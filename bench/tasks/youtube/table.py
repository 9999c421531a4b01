"""The table of links: read, cleaned, with one record per video and a reason per row left out."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backbones.reading import MOST_ROWS, TABLE, pointer, read_bytes
from bench.clips import shortened
from bench.errors import UserError
from bench.protocols.grouping import components
from bench.tasks.youtube.links import (
    CATEGORIES,
    Video,
    category_of,
    channel_of,
    from_link,
    intact,
    plain_title,
    repairable,
    short,
    stripped,
)

# the author's header, and the one of the copy on Kaggle
_COLUMNS = {
    "link": ("link", "videourl", "url"),
    "title": ("title",),
    "description": ("description",),
    "category": ("category",),
}
_COLUMNS_LOOKED_AT = 1000
_NAMED = 5  # categories of one link or title, in a reason
_WANTED = "a CSV file with the columns link (or Videourl), title, description, category is wanted"


@dataclass(frozen=True)
class ExcludedRow:
    """A row left out."""

    video: Video
    why: str  # the kind of reason, to be counted
    reason: str  # in one sentence


@dataclass(frozen=True)
class LinkTable:
    """A table of links as read, in its order; of each link and each title there is one video."""

    videos: tuple[Video, ...]
    excluded: tuple[ExcludedRow, ...]
    data: bytes  # of the file


def read(source: Path) -> LinkTable:
    """Read a table of links from a CSV file, as `parse` does; a `UserError` where it cannot be."""
    try:
        return parse(read_bytes(source, TABLE), str(source))
    except OSError as error:
        raise UserError(
            f"the table {source} cannot be read ({error.strerror or error}): {_WANTED}"
        ) from error


def parse(data: bytes, source: str) -> LinkTable:
    """Read a table of links from the bytes of a CSV file.

    Damaged UTF-8 is replaced by `�`: in a title or a channel that harms nothing, and a link
    holding it is excluded as unreadable.

    Raises:
        UserError: it is no such table, or holds no usable video; messages call it `source`.
    """
    if reason := pointer(data):
        raise UserError(f"the table {source} {reason}")
    lines = _cells(data, source)
    if not lines:
        raise UserError(f"the table {source} is empty: {_WANTED}")
    header = lines[0][1]
    columns = _columns(header, source)
    # a first pass over each row alone, a second one over what rows say together
    usable: list[Video] = []
    excluded: list[ExcludedRow] = []
    seen: dict[tuple[str, ...], int] = {}
    for row, cells in lines[1:]:
        video = _video(row, cells, columns)
        first = seen.setdefault(tuple(cells), row)
        if first != row:
            excluded.append(ExcludedRow(video, "copy of a row", f"the same cells as row {first}"))
        elif len(cells) != len(header):
            reason = f"{len(cells)} cells, where the header has {len(header)}"
            excluded.append(ExcludedRow(video, "wrong number of cells", reason))
        elif video.category not in CATEGORIES:
            reason = f"category '{short(video.category)}', known: {', '.join(CATEGORIES)}"
            excluded.append(ExcludedRow(video, "unknown category", reason))
        elif problem := _unreadable(video):
            excluded.append(ExcludedRow(video, "unreadable link", problem))
        else:
            usable.append(video)
    # a category that is not used here still tells that a link or a title is not of one kind
    whole = [entry.video for entry in excluded if entry.why != "wrong number of cells"]
    videos = _one_of_each(_without_conflicts(usable, [*usable, *whole], excluded), excluded)
    if not videos:
        reasons = Counter(entry.why for entry in excluded).most_common()
        listed = ", ".join(f"{number} × {why}" for why, number in reasons) or "no rows"
        raise UserError(f"the table {source} holds no usable video ({listed}): {_WANTED}")
    return LinkTable(
        tuple(sorted(videos, key=lambda video: video.row)),
        tuple(sorted(excluded, key=lambda entry: entry.video.row)),
        data,
    )


def _cells(data: bytes, source: str) -> list[tuple[int, list[str]]]:
    """Return the non-blank rows with their numbers."""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", errors="replace", newline="")
    # strict, as a file cut off inside a quoted cell would otherwise lose rows unnoticed
    reader = csv.reader(text, strict=True)
    found = []
    try:
        for row, cells in enumerate(reader, start=1):
            if row > MOST_ROWS:
                raise UserError(f"the table {source} has more than {MOST_ROWS} rows: {_WANTED}")
            if any(cell.strip() for cell in cells):
                found.append((row, cells))
    except csv.Error as error:
        raise UserError(
            f"the table {source} is no readable CSV, line {reader.line_num}: {error}"
        ) from error
    return found


def _columns(header: Sequence[str], source: str) -> dict[str, int]:
    """Return each wanted column's place; of very many the first are looked at."""
    header = header[:_COLUMNS_LOOKED_AT]
    names = [re.sub(r"[\s_-]", "", name.casefold()) for name in header]
    found = {
        column: [place for place, name in enumerate(names) if name in spellings]
        for column, spellings in _COLUMNS.items()
    }
    for column, places in found.items():
        if len(places) != 1:
            there = shortened([f"'{short(name)}'" for name in header], most=12)
            raise UserError(
                f"the table {source} has {len(places) or 'no'} columns that may be the {column} in "
                f"its first row, {there}: {_WANTED}"
            )
    return {column: places[0] for column, places in found.items()}


def _video(row: int, cells: Sequence[str], columns: Mapping[str, int]) -> Video:
    cell = {column: cells[place] if place < len(cells) else "" for column, place in columns.items()}
    return Video(
        row=row,
        link=cell["link"],
        left=from_link(cell["link"]),
        title=cell["title"].strip(),
        category=category_of(cell["category"]),
        channel=channel_of(cell["description"]),
    )


def _unreadable(video: Video) -> str | None:
    """Return why a link leads to no video, None where it does or may after a repair."""
    written = short(video.link)
    if not video.link.strip():
        return "the link is empty"
    if intact(video.left):
        return None
    if not repairable(video.left):
        return f"'{written}' holds no id, nor what stripping leaves of one"
    if not video.title:
        return f"'{written}' lost characters, and there is no title to search it by"
    return None


def _link_key(video: Video) -> str:
    """What the links of one video have in common, be they damaged or whole."""
    return stripped(video.left) or video.left


def _title_key(video: Video) -> str:
    """What the titles of one video have in common; empty where it has none."""
    return plain_title(video.title)


def _conflicts(videos: Iterable[Video], key: Callable[[Video], str]) -> dict[str, str]:
    """Say of what has several categories in which rows, some; an empty one contradicts nothing."""
    found: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for video in videos:
        if key(video) and video.category:
            found[key(video)][video.category].append(str(video.row))
    # the first few, as each row of that text says all of it
    return {
        text: " and ".join(
            f"{short(category)} in row {shortened(rows, most=3)}"
            for category, rows in sorted(categories.items())[:_NAMED]
        )
        for text, categories in found.items()
        if len(categories) > 1
    }


def _without_conflicts(
    videos: Sequence[Video], evidence: Sequence[Video], excluded: list[ExcludedRow]
) -> Sequence[Video]:
    """Drop links and titles with several categories: nobody can say which one is right.

    Rows left out are evidence too: a title of theirs may stand here with another category.
    """
    for what, key in (("link", _link_key), ("title", _title_key)):
        conflicts = _conflicts(evidence, key)
        for video in videos:
            if rows := conflicts.get(key(video)):
                why = f"{what} with several categories"
                excluded.append(ExcludedRow(video, why, f"the {what} is {rows}"))
        videos = [video for video in videos if key(video) not in conflicts]
    return videos


def _one_of_each(videos: Sequence[Video], excluded: list[ExcludedRow]) -> list[Video]:
    """Keep one video of those tied by links and titles: best the one that needs no repair.

    Ties are followed from row to row, so that their order in the table changes nothing.
    """
    # videos without a title do not share one
    titles = [_title_key(video) or video.row for video in videos]
    kept = []
    for members in components([_link_key(video) for video in videos], titles):
        first, *others = sorted(
            (videos[index] for index in members),
            key=lambda video: (not intact(video.left), video.channel is None, video.row),
        )
        kept.append(first)
        for video in others:
            why, same = "repeated title", "titles and links in between lead to"
            if _link_key(video) == _link_key(first):
                why, same = "repeated link", "the same link as"
            elif _title_key(video) == _title_key(first):
                same = "the same title as"
            excluded.append(ExcludedRow(video, why, f"{same} row {first.row}"))
    return kept
