"""The table of links: read, cleaned, with one record per video and a reason per row left out."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.clips import shortened
from bench.errors import UserError
from bench.tasks.youtube.links.cleaning import conflicts, one_of_each, without_conflicts
from bench.tasks.youtube.links.ids import from_link, intact, repairable
from bench.tasks.youtube.links.videos import (
    CATEGORIES,
    Excluded,
    Video,
    Why,
    category_of,
    channel_of,
    short,
    title_key,
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
class Counts:
    """Figures of a table; the first ten are over its rows, the others over the videos kept.

    Attributes:
        rows: rows below the header; blank lines are none.
        distinct_rows: rows that differ in any cell.
        links: distinct ids as written, a text that is no id included.
        conflicting_links: those with more than one category.
        titles: distinct titles as written.
        conflicting_titles: normalised titles with more than one category.
        intact_rows: rows whose id has all of its characters.
        intact_links: distinct ids among them.
        links_to_repair: distinct ids that lost characters.
        row_categories: rows per category.
        videos: videos kept.
        intact_videos: videos whose id needs no repair; the others do.
        channels: groups of videos that share a known channel.
        without_channel: videos that are their own group.
        categories: videos per category.
        excluded: rows left out, per kind of reason.
    """

    rows: int
    distinct_rows: int
    links: int
    conflicting_links: int
    titles: int
    conflicting_titles: int
    intact_rows: int
    intact_links: int
    links_to_repair: int
    row_categories: Mapping[str, int]
    videos: int
    intact_videos: int
    channels: int
    without_channel: int
    categories: Mapping[str, int]
    excluded: Mapping[Why, int]


@dataclass(frozen=True)
class Table:
    """A table of links as read; every row is either a video or excluded.

    Attributes:
        videos: one per link and per title, in the table's order; each has a known category and
            an id that is intact or can be repaired.
        excluded: the other rows, in the table's order.
    """

    videos: tuple[Video, ...]
    excluded: tuple[Excluded, ...]

    def counts(self) -> Counts:
        """Count rows, links, titles, channels and categories."""
        rows = [*self.videos, *(entry.video for entry in self.excluded)]
        why = Counter(entry.why for entry in self.excluded)
        ids = {video.id for video in rows}
        return Counts(
            rows=len(rows),
            distinct_rows=len(rows) - why["copy of a row"],
            links=len(ids),
            conflicting_links=len(conflicts(rows, lambda video: video.id)),
            titles=len({video.title for video in rows}),
            conflicting_titles=len(conflicts(rows, title_key)),
            intact_rows=sum(intact(video.id) for video in rows),
            intact_links=sum(map(intact, ids)),
            links_to_repair=sum(map(repairable, ids)),
            row_categories=_by_category(rows),
            videos=len(self.videos),
            intact_videos=sum(intact(video.id) for video in self.videos),
            channels=len({video.group for video in self.videos if video.channel is not None}),
            without_channel=sum(video.channel is None for video in self.videos),
            categories=_by_category(self.videos),
            excluded=dict(why),
        )


def read(path: Path) -> Table:
    """Read a table of links.

    Args:
        path: a CSV file with a link (or Videourl), a title, a description and a category in
            columns of any order.

    Raises:
        UserError: the file cannot be read, is no such table, or holds no usable video.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"the table {path} cannot be read: {error.strerror or error}") from error
    return parse(data, str(path))


def parse(data: bytes, source: str) -> Table:
    """Read a table of links from its bytes.

    Damaged UTF-8 is replaced by `�`: in a title or a channel that harms nothing, and a link
    holding it is excluded as unreadable.

    Args:
        data: the content of the file.
        source: its name, for messages.

    Raises:
        UserError: it is no such table, or holds no usable video.
    """
    lines = _cells(data, source)
    if not lines:
        raise UserError(f"the table {source} is empty: {_WANTED}")
    header = lines[0][1]
    columns = _columns(header, source)
    # a first pass over each row alone, a second one over what rows say together
    usable: list[Video] = []
    excluded: list[Excluded] = []
    seen: dict[tuple[str, ...], int] = {}
    for row, cells in lines[1:]:
        video = _video(row, cells, columns)
        first = seen.setdefault(tuple(cells), row)
        if first != row:
            excluded.append(Excluded(video, "copy of a row", f"the same cells as row {first}"))
        elif len(cells) != len(header):
            reason = f"{len(cells)} cells, where the header has {len(header)}"
            excluded.append(Excluded(video, "wrong number of cells", reason))
        elif video.category not in CATEGORIES:
            reason = f"category '{short(video.category)}', known: {', '.join(CATEGORIES)}"
            excluded.append(Excluded(video, "unknown category", reason))
        elif problem := _unreadable(video):
            excluded.append(Excluded(video, "unreadable link", problem))
        else:
            usable.append(video)
    # a category that is not used here still tells that a link or a title is not of one kind
    whole = [entry.video for entry in excluded if entry.why != "wrong number of cells"]
    videos = one_of_each(without_conflicts(usable, [*usable, *whole], excluded), excluded)
    if not videos:
        reasons = Counter(entry.why for entry in excluded).most_common()
        listed = ", ".join(f"{number} × {why}" for why, number in reasons) or "no rows"
        raise UserError(f"the table {source} holds no usable video ({listed}): {_WANTED}")
    return Table(
        tuple(sorted(videos, key=lambda video: video.row)),
        tuple(sorted(excluded, key=lambda entry: entry.video.row)),
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
    there = shortened([f"'{short(name)}'" for name in header], most=12)
    missing = [column for column, places in found.items() if not places]
    if missing:
        raise UserError(
            f"the table {source} has no column {' and no column '.join(missing)}; "
            f"its first row is {there}: {_WANTED}"
        )
    for column, places in found.items():
        if len(places) > 1:
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


def _by_category(videos: Iterable[Video]) -> dict[str, int]:
    found = Counter(video.category for video in videos)
    return {category: found[category] for category in CATEGORIES}
