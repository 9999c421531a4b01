"""A page as GitHub Markdown.

Texts of records reach it through `escape`, `opening` or `code` and are then text: what stands for
HTML, links, images or headings is shown as it is written. Bare web addresses stay, since a renderer
that makes links of them shows where they lead.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Sequence
from urllib.parse import quote

from bench.printable import printable
from bench.report.page import Block, Bullets, Figure, Heading, Image, Link, Table, Text

# Where a figure lies, for light or for dark pages, as a link from the page.
Address = Callable[[Figure, bool], str]
# Halves of characters that stand for no byte of a file name either.
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def render(page: Sequence[Block], link: Address) -> str:
    """The text of a page."""
    return "\n\n".join(_block(block, link) for block in page) + "\n"


def _block(block: Block, link: Address) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {escape(text)}"
        case Text(text, beside):
            return " ".join(filter(None, (text, beside)))
        case Bullets(items):
            return "\n".join(f"- {item}" for item in items)
        case Table():
            return table(block)
        case Image(figure):
            return _picture(figure, link)


def _picture(figure: Figure, link: Address) -> str:
    """An image that is another one where the reader's pages are dark, as GitHub documents it.

    Nothing is Markdown from its first line to the next empty one, so the title is a line of HTML.
    """
    # a comma would end an address of a set
    light, dark = (_address(link(figure, way)).replace(",", "%2C") for way in (False, True))
    return (
        "<picture>\n"
        f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img alt="{html.escape(_line(figure.title))}" src="{light}"></picture>'
    )


def linked(words: str, file: str) -> str:
    """Words that lead to a file, whose path is relative to the page."""
    return f"[{escape(words)}]({_address(file)})"


def _address(file: str) -> str:
    # as bytes, which a file name may have without being UTF-8
    return quote(os.fsencode(_NO_BYTE.sub("\ufffd", file)), safe="/@:+,~")


def table(block: Table) -> str:
    """The lines of a table, within a block that GitHub shows closed where it is folded."""
    titles = [escape(title.removesuffix(">")) for title in block.columns]
    rule = "|".join("---:" if title.endswith(">") else "---" for title in block.columns)
    rows = [list(map(cell, row)) for row in block.rows]
    lines = ["| " + " | ".join(cells) + " |" for cells in (titles, *rows)]
    shown = "\n".join([lines[0], f"|{rule}|", *lines[1:]])
    if block.folded is None:
        return shown
    return f"<details>\n<summary>{escape(block.folded)}</summary>\n\n{shown}\n\n</details>"


def cell(value: str | Link) -> str:
    """A cell of a table, on one line."""
    if isinstance(value, str):
        return escape(value)
    # what GitHub calls the place of a heading
    place = re.sub(r"[^\w -]", "", value.heading.lower()).replace(" ", "-")
    return f"[{escape(value.words)}]({_address(value.file)}#{quote(place)})"


def escape(text: str) -> str:
    """Text on one line that stays text, and one cell of a table; `code` in it may stay code."""
    parts = _line(text).split("`")
    if len(parts) % 2 == 0 or "" in parts[1:-1]:  # some back-tick has not its other one
        return "\\`".join(map(_plain, parts))
    parts[::2] = map(_plain, parts[::2])
    parts[1::2] = [_plain(part, r"\|") for part in parts[1::2]]
    return "`".join(parts)


def opening(text: str) -> str:
    """The same where it opens a paragraph, which it then does not turn into something else."""
    return re.sub(r"^(\d*)(?=[#>+.)=~_-]|$)", r"\1\\", escape(text))


def code(text: str) -> str:
    """Text on one line as code, whatever back-ticks are in it."""
    line = _line(text).replace("<", "&lt;") or " "
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if "`" in (line[0], line[-1]) else ""
    return f"{fence}{space}{line}{space}{fence}"


def _line(text: str) -> str:
    return printable(" ".join(text.split()))


def _plain(text: str, special: str = r"[|*[\]]") -> str:
    # a backslash before the one that is added, or before what comes next, would undo it
    doubled = re.sub(rf"(\\+)(?={special}|$)", r"\1\1", text)
    return re.sub(special, r"\\\g<0>", doubled).replace("<", "&lt;")
