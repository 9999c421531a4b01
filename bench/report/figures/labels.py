"""Labels beside points, where they hide least."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.report.figures.canvases import Ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

# Points from a label to what it names; from the second on a line leads there.
_DISTANCES = (7, 24, 44, 70)
_SIDES = ((1, 1), (-1, 1), (1, 0), (-1, 0), (1, -1), (-1, -1))
_HORIZONTAL = {1: "left", -1: "right"}
_VERTICAL = {1: "bottom", 0: "center", -1: "top"}
# What it costs to reach out of the axes, onto another label, onto a point or onto a line.
_OUTSIDE, _LABEL, _POINT, _LINE = 1000, 100, 10, 1


@dataclass(frozen=True)
class Bar:
    """A point on a vertical line, which labels are not to hide.

    Attributes:
        x, y: of the point.
        low, high: ends of the line.
        shift: in points of type, how far to the right of `x` it is drawn.
    """

    x: float
    y: float
    low: float
    high: float
    shift: float


def place(
    axes: Axes, labels: Sequence[tuple[float, float, str]], bars: Sequence[Bar], ink: Ink
) -> list[Annotation]:
    """Put labels beside their points, one after the other where each hides least.

    The figure must have its final layout.

    Args:
        axes: what to draw on.
        labels: place and text of each.
        bars: what is not to be hidden.
        ink: colours of text and paper.
    """
    from matplotlib.transforms import Bbox

    def pixels(bar: Bar, low: float, high: float, room: float) -> Bbox:
        corners = axes.transData.transform([(bar.x, low), (bar.x, high)])
        shift = bar.shift * axes.figure.dpi / 72
        return Bbox(corners).padded(room).translated(shift, 0)

    hidden = [(pixels(bar, bar.y, bar.y, 6.0), _POINT) for bar in bars]
    hidden += [(pixels(bar, bar.low, bar.high, 1.0), _LINE) for bar in bars]
    placed: list[Annotation] = []
    for x, y, text in labels:
        tried = [(_cost(note, axes.bbox, hidden), note) for note in _notes(axes, x, y, text, ink)]
        _, best = min(tried, key=lambda each: each[0])
        for _, note in tried:
            if note is not best:
                note.remove()
        hidden.append((extent(best), _LABEL))
        placed.append(best)
    return placed


def _notes(axes: Axes, x: float, y: float, text: str, ink: Ink) -> Iterator[Annotation]:
    """The label on every side of its point, the nearest first."""
    from matplotlib.patheffects import withStroke

    for distance in _DISTANCES:
        for right, up in _SIDES:
            yield axes.annotate(
                text,
                (x, y),
                (distance * right, distance * up),
                textcoords="offset points",
                ha=_HORIZONTAL[right],
                va=_VERTICAL[up],
                fontsize=9,
                linespacing=1.1,
                path_effects=[withStroke(linewidth=2.5, foreground=ink.paper)],
                arrowprops={"arrowstyle": "-", "color": ink.quiet, "linewidth": 0.8, "shrinkB": 4}
                if distance > _DISTANCES[0]
                else None,
                in_layout=False,
                zorder=5,
            )


def extent(note: Annotation) -> Bbox:
    """Pixels that the text of a label takes, without the line that leads to it."""
    from matplotlib.text import Text

    canvas: Any = note.get_figure(root=True).canvas  # type: ignore[union-attr]
    note.update_positions(canvas.get_renderer())
    return Text.get_window_extent(note)


def _cost(note: Annotation, within: Bbox, hidden: Sequence[tuple[Bbox, int]]) -> int:
    own = extent(note)
    outside = sum(not within.contains(*corner) for corner in (own.min, own.max))
    return outside * _OUTSIDE + sum(cost for other, cost in hidden if own.overlaps(other))
