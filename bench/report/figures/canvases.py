"""Blank figures and their way to PNG, alike for every kind of figure."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def blank(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, without matplotlib's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure, title: str, mark: str) -> bytes:
    """A figure as PNG that carries its mark; the title breaks at its colons."""
    figure.suptitle(title.replace(": ", "\n"), fontsize=10, x=0.02, ha="left")
    buffer = io.BytesIO()
    metadata = {"Software": None, "Description": f"voxgrid {mark}"}
    figure.savefig(buffer, format="png", metadata=metadata)
    return buffer.getvalue()
