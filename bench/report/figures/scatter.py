"""A scatter plot of scores over speeds, and the front of what is worth its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.report.figures import labels, rows
from bench.report.figures.canvases import Ink
from bench.report.figures.labels import Bar
from bench.report.figures.rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

# By how much the edges are off the slowest and the fastest: one of 1, 2, 5, 10, … is between them.
_ROOM = 1.6
# Points of type between rows that are equally fast.
_ASIDE = 3.0


@dataclass(frozen=True)
class Point:
    """A row and its end-to-end RTFx."""

    row: Row
    rtfx: float


def draw(
    axes: Axes, points: Sequence[Point], front: Sequence[Point], backbones: Sequence[str], ink: Ink
) -> None:
    """Draw rows on axes, scores in percent; labels come when the layout is done.

    Args:
        axes: what to draw on.
        points: the rows, best first.
        front: those of the front, the fastest first.
        backbones: all that are compared, which decides their signs.
        ink: colours of what is no backbone's.
    """
    from matplotlib.transforms import ScaledTranslation

    signs, named = rows.signs(backbones), set[str]()
    for point, bar in zip(points, _bars(points), strict=True):
        row, sign = point.row, signs[point.row.backbone]
        aside = ScaledTranslation(bar.shift / 72, 0, axes.figure.dpi_scale_trans)
        style: dict[str, Any] = {"color": sign.colour, "transform": axes.transData + aside}
        axes.plot([bar.x, bar.x], [bar.low, bar.high], linewidth=1, alpha=0.6, **style)
        note = f" ({row.remark})" if row.remark else ""
        axes.plot(
            [bar.x],
            [bar.y],
            sign.marker,
            markeredgecolor=ink.text if point in front else ink.paper,
            markersize=8 if point in front else 7,
            zorder=4 if point in front else 3,
            label=None if row.backbone in named else f"{rows.name(row.backbone)}{note}",
            **style,
        )
        named.add(row.backbone)
    _scale(axes, points)
    _step(axes, front, ink)


def label(
    axes: Axes, points: Sequence[Point], front: Sequence[Point], ink: Ink
) -> list[Annotation]:
    """Name the rows of the front, of equal ones the first."""
    named = {(p.rtfx, 100 * p.row.score): p.row for p in reversed(front)}
    texts = [
        (x, y, f"{rows.name(row.backbone)}\n{rows.name(row.pooling, row.head)}")
        for (x, y), row in named.items()
    ]
    return labels.place(axes, texts, _bars(points), ink)


def _bars(points: Sequence[Point]) -> list[Bar]:
    """What to draw of each row: of equally fast ones the best, and on its sides the others."""
    bars, before = [], Counter[float]()
    for point in points:
        row, number = point.row, before[point.rtfx]
        shift = _ASIDE * ((number + 1) // 2) * (-1) ** number
        y, low, high = (100 * share for share in (row.score, row.low, row.high))
        bars.append(Bar(point.rtfx, y, low, high, shift))
        before[point.rtfx] += 1
    return bars


def _scale(axes: Axes, points: Sequence[Point]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    speeds = [point.rtfx for point in points]
    low, high = min(100 * p.row.low for p in points), max(100 * p.row.high for p in points)
    room = max(high - low, 1.0)  # above for labels
    axes.set_ylim(low - 0.06 * room, high + 0.12 * room)
    axes.set_xscale("log")
    axes.set_xlim(min(speeds) / _ROOM, max(speeds) * _ROOM)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=9)
    axes.grid(linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _step(axes: Axes, front: Sequence[Point], ink: Ink) -> None:
    """The front, up to the left edge from its best row and to the lower one from its fastest."""
    (left, _), (bottom, _) = axes.get_xlim(), axes.get_ylim()
    slow_first = front[::-1]
    x = [left, *(p.rtfx for p in slow_first), slow_first[-1].rtfx]
    y = [100 * p.row.score for p in (slow_first[0], *slow_first)]
    style: dict[str, Any] = {"color": ink.quiet, "linewidth": 1.2, "linestyle": (0, (4, 2))}
    told = "no row is better and faster"
    axes.step(x, [*y, bottom], where="pre", label=told, zorder=1, **style)
