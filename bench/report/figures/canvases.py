"""Blank figures, light or dark, and their way to PNG, alike for every kind of figure.

Texts of records are drawn as they are written: they hold no formulas.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.printable import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST = 200
# Of a title, letters that fit on an inch.
_PER_INCH = 13


@dataclass(frozen=True)
class Ink:
    """Colours of a figure that stand for nothing.

    Attributes:
        paper: the background.
        text: of words, axes and edges.
        quiet: of what stands back, such as controls.
        grid: of lines to read values by.
        shade: behind rows that are pointed out.
    """

    paper: str
    text: str
    quiet: str
    grid: str
    shade: str


LIGHT = Ink("white", "black", "0.45", "0.9", "#e6f0fb")
# as GitHub's dark pages are
DARK = Ink("#0d1117", "#e6edf3", "#9198a1", "#262c36", "#16263c")


def ink(dark: bool) -> Ink:
    """The colours of a light or a dark figure."""
    return DARK if dark else LIGHT


@contextmanager
def blank(width: float, height: float, title: str, dark: bool) -> Iterator[Figure]:
    """A figure with nothing but its title, which breaks at its colons.

    Matplotlib is afterwards as it was.

    Args:
        width, height: in inches.
        title: what is drawn.
        dark: whether for a dark page.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    own = ink(dark)
    style: dict[Any, Any] = {
        "text.parse_math": False,
        "text.usetex": False,
        "figure.facecolor": own.paper,
        "axes.facecolor": own.paper,
        "text.color": own.text,
        "axes.labelcolor": own.text,
        "axes.edgecolor": own.text,
        "xtick.color": own.text,
        "ytick.color": own.text,
        "grid.color": own.grid,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        lines = words(title).split(": ")
        broken = (textwrap.fill(line, int(width * _PER_INCH)) for line in lines)
        figure.suptitle("\n".join(broken), fontsize=10, x=0.02, ha="left")
        yield figure


def words(text: str, most: int = _LONGEST) -> str:
    """A text of a record as it can be drawn, at most so many letters of it."""
    return printable(text if len(text) <= most else f"{text[:most]}…")


def png(figure: Figure, mark: str) -> bytes:
    """A figure as PNG that carries its mark."""
    buffer = io.BytesIO()
    metadata = {"Software": None, "Description": f"voxgrid {mark}"}
    figure.savefig(buffer, format="png", metadata=metadata)
    return buffer.getvalue()
