"""Blank figures and their way to PNG, alike for every kind of figure.

Texts of records are drawn as they are written: they hold no formulas.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.printable import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST = 200


@contextmanager
def blank(width: float, height: float) -> Iterator[Figure]:
    """An empty figure of a size in inches; matplotlib is afterwards as it was."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"text.parse_math": False, "text.usetex": False}):
        figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def words(text: str) -> str:
    """A text of a record as it can be drawn."""
    return printable(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")


def png(figure: Figure, title: str, mark: str) -> bytes:
    """A figure as PNG that carries its mark; the title breaks at its colons."""
    figure.suptitle(words(title).replace(": ", "\n"), fontsize=10, x=0.02, ha="left")
    buffer = io.BytesIO()
    metadata = {"Software": None, "Description": f"voxgrid {mark}"}
    figure.savefig(buffer, format="png", metadata=metadata)
    return buffer.getvalue()
