"""Tables and sentences that are readable at any width: no number and no name is ever cut."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.printable import printable_lines

if TYPE_CHECKING:
    from bench.terminal import Terminal

# Below this width sentences are broken between words; wider terminals do that well enough, and
# files keep them on one line.
_NARROW = 80
_LEAST_OF_PROSE = 20
_UNBROKEN = "\N{NO-BREAK SPACE}"


def show(
    console: Terminal,
    heads: str,
    rows: Sequence[Sequence[str]],
    *,
    title: str | None = None,
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

    # before widths are taken; the terminal would do it after
    rows = [[printable_lines(cell) for cell in row] for row in rows]
    columns = heads.split("|")
    lines = [heads.replace(">", "").split("|"), *rows]
    widths = [
        max(cell_len(line) for cell in column for line in cell.split("\n"))
        for column in zip(*lines, strict=True)
    ]
    if prose:
        words = [cell_len(word) for row in rows for word in row[-1].split()]
        widths[-1] = max([_LEAST_OF_PROSE, *words])
    # between columns are two spaces, one is at either edge
    if sum(widths) + 2 * len(columns) <= console.width:
        table = Table(
            title=title and Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
        )
        table.padding = (0, 1, 0, 0)
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
    width = console.width - 2
    for row in rows:
        say(console, row[0])
        pairs = [
            f"{head}: {', '.join(cell.splitlines())}"
            for head, cell in zip(lines[0][1:], row[1:], strict=True)
        ]
        # a pair that fits a line is not broken
        kept = [pair.replace(" ", _UNBROKEN) if len(pair) < width else pair for pair in pairs]
        for line in _lines(", ".join(kept), width):
            say(console, f"  {line.replace(_UNBROKEN, ' ')}", whole=True)
    console.print()


def say(console: Terminal, text: str, *, whole: bool = False) -> None:
    """Print a sentence, broken between words where lines are short, or never: to copy from it."""
    if not whole and console.width < _NARROW:
        text = "\n".join("\n".join(_lines(line, console.width)) for line in text.split("\n"))
    console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)


def _lines(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 1), break_long_words=False, break_on_hyphens=False)
