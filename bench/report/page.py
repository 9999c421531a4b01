"""A page as data: blocks in order, to be rendered by `bench.report.markdown` or another renderer.

Text holds a little markup, which every renderer has to know: `**bold**`, `*italic*`, `` `code` ``,
`[words](address)`, and a backslash before a character that is none. What comes from records goes
through `markdown.escape` first. Cells, headings and titles are plain text, but that they may hold
code; a cell may also be a `Link`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Figure(Protocol):
    """Something to draw from the records."""

    @property
    def name(self) -> str:
        """Of the files, without `.png` or `-dark.png`; ends in `__` and the suffix of its kind."""

    @property
    def title(self) -> str:
        """What is drawn, in words."""

    @property
    def mark(self) -> str:
        """Digest of what is drawn; the files carry it, whatever machine drew the pixels."""

    def draw(self, dark: bool) -> bytes:
        """The PNG for a light or a dark page, its mark within."""


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the page's own."""

    level: int
    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Attributes:
        text: what it says.
        beside: what it says further where a page lies beside the records: of files, and of rows
            that are left out there.
    """

    text: str
    beside: str = ""


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Link:
    """A cell that leads to a heading of another page.

    Attributes:
        words: plain text.
        file: the other page, relative to the one that the cell is on.
        heading: its text, which may stand there once.
    """

    words: str
    file: str
    heading: str


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: titles; one that ends in `>` is aligned to the right.
        rows: as many cells as columns each.
        folded: a title under which the table is shown closed; None shows it.
        listed: whether its rows are finished records, which stand in the list of all rows too.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Link]]
    folded: str | None = None
    listed: bool = False


@dataclass(frozen=True)
class Image:
    """A figure, drawn beside the records."""

    figure: Figure


Block = Heading | Text | Bullets | Table | Image


def figures(page: Sequence[Block]) -> list[Figure]:
    """The figures a page shows, in order."""
    return [block.figure for block in page if isinstance(block, Image)]
