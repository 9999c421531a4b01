"""A page as GitHub Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from bench.report.page import Block, Bullets, Figure, Heading, Image, Table, Text


def render(page: Sequence[Block], link: Callable[[Figure], str]) -> str:
    """The text of a page; `link` says where a figure lies, as a link from the page."""
    return "\n\n".join(_block(block, link) for block in page) + "\n"


def _block(block: Block, link: Callable[[Figure], str]) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {escape(text)}"
        case Text(text):
            return text
        case Bullets(items):
            return "\n".join(f"- {item}" for item in items)
        case Table():
            return table(block)
        case Image(figure):
            return f"![{escape(figure.title)}]({link(figure)})"


def table(block: Table) -> str:
    """The lines of a table, within a block that GitHub shows closed where it is folded."""
    titles = [escape(title.removesuffix(">")) for title in block.columns]
    rule = "|".join("---:" if title.endswith(">") else "---" for title in block.columns)
    rows = [[escape(value) for value in row] for row in block.rows]
    lines = ["| " + " | ".join(cells) + " |" for cells in (titles, *rows)]
    shown = "\n".join([lines[0], f"|{rule}|", *lines[1:]])
    if block.folded is None:
        return shown
    return f"<details>\n<summary>{escape(block.folded)}</summary>\n\n{shown}\n\n</details>"


def escape(text: str) -> str:
    """Text on one line that cannot break out of a table cell or become HTML."""
    line = " ".join(text.split())
    # a backslash in front of the one that is added would undo it
    return re.sub(r"(\\*)\|", r"\1\1\|", line).replace("<", "&lt;")
