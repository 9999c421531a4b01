"""The table of links: read, cleaned, with one record per video and a reason per row left out."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from backbones.lfs import pointer
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
    repairable,
    short,
)

# the author's header, and the one of the copy on Kaggle
_COLUMNS = {
    "link": ("link", "videourl", "url"),
    "title": ("title",),
    "description": ("description",),
    "category": ("category",),
}
_SPREADSHEET_ERROR = re.compile(r"#(?:NAME\?|VALUE!|REF!|N/A|DIV/0!|NUM!|NULL!)")
_WANTED = "a CSV file with the columns link (or Videourl), title, description, category is wanted"


@dataclass(frozen=True)
class ExcludedRow:
    """A row left out: the kind of reason, to be counted, and the reason in one sentence."""

    video: Video
    why: str
    reason: str


@dataclass(frozen=True)
class LinkTable:
    """A table of links as read, in its order; every row is either a video or excluded.

    Of each link and each title there is one video, with a known category and an id that is
    intact or can be repaired.
    """

    videos: tuple[Video, ...]
    excluded: tuple[ExcludedRow, ...]
    data: bytes  # of the file


def parse(data: bytes, source: str) -> LinkTable:
    """Read a table of links from the bytes of a CSV file.

    Damaged UTF-8 is replaced by `�`: in a title or a channel that harms nothing, and a link
    holding it is excluded as unreadable.

    Args:
        data: with a link (or Videourl), a title, a description and a category, in any order.
        source: name of the file, for messages.

    Raises:
        UserError: it is no such table, or holds no usable video.
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
    text = data.decode("utf-8-sig", errors="replace")
    # strict, as a file cut off inside a quoted cell would otherwise lose rows unnoticed
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        numbered = list(enumerate(reader, start=1))
    except csv.Error as error:
        raise UserError(
            f"the table {source} is no readable CSV, line {reader.line_num}: {error}"
        ) from error
    return [(row, cells) for row, cells in numbered if any(cell.strip() for cell in cells)]


def _columns(header: Sequence[str], source: str) -> dict[str, int]:
    """Return each wanted column's place."""
    names = [re.sub(r"[\s_-]", "", name.casefold()) for name in header]
    found = {
        column: [place for place, name in enumerate(names) if name in spellings]
        for column, spellings in _COLUMNS.items()
    }
    if missing := [column for column, places in found.items() if not places]:
        there = shortened([f"'{short(name)}'" for name in header], most=12)
        raise UserError(
            f"the table {source} has no column {' and no column '.join(missing)}; "
            f"its first row is {there}: {_WANTED}"
        )
    if double := {column: places for column, places in found.items() if len(places) > 1}:
        column, places = next(iter(double.items()))
        named = " and ".join(f"'{short(header[place])}'" for place in places)
        raise UserError(
            f"the table {source} has {len(places)} columns that may be the {column}: {named}; "
            "rename or remove all but one"
        )
    return {column: places[0] for column, places in found.items()}


def _video(row: int, cells: Sequence[str], columns: Mapping[str, int]) -> Video:
    cell = {column: cells[place] if place < len(cells) else "" for column, place in columns.items()}
    return Video(
        row=row,
        link=cell["link"],
        id=from_link(cell["link"]),
        title=cell["title"].strip(),
        category=category_of(cell["category"]),
        channel=channel_of(cell["description"]),
    )


def _unreadable(video: Video) -> str | None:
    """Return why a link leads to no video, None where it does or may after a repair."""
    written = short(video.link)
    if not video.link.strip():
        return "the link is empty"
    if _SPREADSHEET_ERROR.fullmatch(video.link.strip()):
        # an id that begins with '-' was taken for a formula, and nothing of it is left
        return f"a spreadsheet replaced the link by its error '{written}'"
    if intact(video.id):
        return None
    if not repairable(video.id):
        return f"'{written}' holds no id, nor what stripping leaves of one"
    if not video.title:
        return f"'{written}' lost characters, and there is no title to search it by"
    return None


def _conflicts(videos: Iterable[Video], key: Callable[[Video], str]) -> dict[str, str]:
    """Say of what has several categories in which rows; an empty one contradicts nothing."""
    found: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for video in videos:
        if key(video) and video.category:
            found[key(video)][video.category].append(str(video.row))
    return {
        text: " and ".join(
            f"{short(category)} in row {shortened(rows, most=3)}"
            for category, rows in sorted(categories.items())
        )
        for text, categories in found.items()
        if len(categories) > 1
    }


def _without_conflicts(
    videos: Sequence[Video], evidence: Sequence[Video], excluded: list[ExcludedRow]
) -> list[Video]:
    """Drop links and titles with several categories: nobody can say which one is right.

    Both are looked for in all rows that are evidence, so that dropping a link does not hide that
    its title, kept under another link, has a second category too.
    """
    links = _conflicts(evidence, lambda video: video.link_key)
    titles = _conflicts(evidence, lambda video: video.title_key)
    kept = []
    for video in videos:
        if rows := links.get(video.link_key):
            reason = f"the link is {rows}"
            excluded.append(ExcludedRow(video, "link with several categories", reason))
        elif rows := titles.get(video.title_key):
            reason = f"the title is {rows}"
            excluded.append(ExcludedRow(video, "title with several categories", reason))
        else:
            kept.append(video)
    return kept


def _one_of_each(videos: Sequence[Video], excluded: list[ExcludedRow]) -> list[Video]:
    """Keep one video of those tied by links and titles: best the one that needs no repair.

    Ties are followed from row to row (two links share a title that only a second row of one of
    them has), so that how many are kept does not depend on the order of the table.
    """
    # videos without a title do not share one
    titles = [video.title_key or video.row for video in videos]
    kept = []
    for members in components([video.link_key for video in videos], titles):
        first, *others = sorted(
            (videos[index] for index in members),
            key=lambda video: (not intact(video.id), video.channel is None, video.row),
        )
        kept.append(first)
        for video in others:
            why = "repeated title"
            if video.link_key == first.link_key:
                why, same = "repeated link", "the same link as"
            elif video.title_key == first.title_key:
                same = "the same title as"
            else:
                same = "titles and links in between lead to"
            excluded.append(ExcludedRow(video, why, f"{same} row {first.row}"))
    return kept
