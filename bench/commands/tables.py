"""Tables and sentences that are readable at any width: no number and no name is ever cut."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# Below this width sentences are broken between words; wider terminals do that well enough, and
# files keep them on one line.
_NARROW = 80
_LEAST_OF_PROSE = 20


def show(
    console: Console,
    heads: str,
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    prose: bool = False,
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print a table, or where it does not fit a block of lines for each row.

    Args:
        console: where to.
        heads: of the columns, separated by a bar; those of numbers end in `>`.
        rows: cells; a cell may have several lines.
        title: above the table.
        prose: the last column holds sentences, which may be broken between words.
        styles: of cells, by what they say.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    columns = heads.split("|")
    lines = [[cell.splitlines() for cell in row] for row in rows]
    widths = [
        max(map(cell_len, [head, *(line for row in lines for line in row[i])]))
        for i, head in enumerate(columns)
    ]
    if prose:
        words = (word for row in rows for word in row[-1].split())
        widths[-1] = max(_LEAST_OF_PROSE, *map(cell_len, ["", *words]))
    # between columns are two spaces, one is at either edge
    if sum(widths) + 2 * len(columns) <= console.width:
        table = Table(
            title=title or None,
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        for column in columns:
            table.add_column(
                column.removesuffix(">"),
                justify="right" if column.endswith(">") else "left",
                no_wrap=not (prose and column is columns[-1]),
            )
        for row in rows:
            table.add_row(*(Text(cell, style=(styles or {}).get(cell, "")) for cell in row))
        console.print(table)
        return
    if title:
        say(console, title)
    for name, *cells in rows:
        say(console, name)
        pairs = [
            f"{column.removesuffix('>')}: {', '.join(cell.splitlines())}"
            for column, cell in zip(columns[1:], cells, strict=True)
        ]
        for line in _packed(pairs, console.width - 2):
            _print(console, f"  {line}")
    _print(console, "")


def _packed(pairs: Sequence[str], width: int) -> list[str]:
    """As many pairs on a line as go there whole; one that is longer is broken between words."""
    lines: list[str] = []
    for pair in pairs:
        if lines and len(lines[-1]) + 2 + len(pair) <= width:
            lines[-1] += f", {pair}"
        else:
            lines += _broken(pair, width, "  ")
    return lines


def say(console: Console, text: str) -> None:
    """Print a sentence, broken between words where the lines are short."""
    for line in text.split("\n"):
        for part in _broken(line, console.width) if console.width < _NARROW else [line]:
            _print(console, part)


def say_whole(console: Console, text: str) -> None:
    """Print a line that is never broken, since there is a command in it to copy."""
    _print(console, text)


def _broken(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        max(width, 1),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)
