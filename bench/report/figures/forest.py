"""A forest plot: one row below the other, each a point on its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.report.figures import rows
from bench.report.figures.canvases import Ink
from bench.report.figures.rows import RANDOM, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(
    axes: Axes, shown: Sequence[Row], backbones: Sequence[str], chance: float, ink: Ink
) -> None:
    """Draw rows on axes: one per unit from 0 downwards, scores in percent.

    Args:
        axes: what to draw on.
        shown: the rows, which are named beside the axes.
        backbones: all that are compared, which decides their signs.
        chance: a share to read the scores against.
        ink: colours of what is no backbone's.
    """
    signs = rows.signs(backbones)
    lows, highs = [row.low for row in shown], [row.high for row in shown]
    low, high = min(chance, *lows), max(chance, *highs)
    room = (high - low) / 30
    for place, row in enumerate(shown):
        control, sign = row.remark == RANDOM, signs[row.backbone]
        colour = ink.quiet if control else sign.colour
        face = ink.paper if control else colour
        if row.last is not None:
            axes.axhspan(place - 0.5, place + 0.5, color=ink.shade, linewidth=0, zorder=0)
        axes.plot([100 * row.low, 100 * row.high], [place, place], color=colour, linewidth=1.6)
        axes.plot(
            [100 * row.score], [place], sign.marker, color=colour, markerfacecolor=face, ms=6.5
        )
        if row.remark:
            _remark(axes, place, row, high - row.high > row.low - low, ink)
    _explain(axes, shown, chance, ink)
    axes.set_xlim(100 * max(low - room, 0.0), 100 * min(high + room, 1.0))
    axes.set_ylim(len(shown) - 0.5, -0.5)
    _name(axes, shown, ink)


def _remark(axes: Axes, place: int, row: Row, right: bool, ink: Ink) -> None:
    """What the weights of a row are, on the side of its interval where there is more room."""
    axes.annotate(
        row.remark,
        (100 * (row.high if right else row.low), place),
        (6 if right else -6, 0),
        textcoords="offset points",
        ha="left" if right else "right",
        va="center",
        fontsize=9,
        color=ink.quiet,
    )


def _explain(axes: Axes, shown: Sequence[Row], chance: float, ink: Ink) -> None:
    """The line of chance, and what it and the shade are called."""
    told = f"always answering the largest class: {100 * chance:.1f}"
    axes.axvline(100 * chance, color=ink.text, linestyle=(0, (4, 2)), linewidth=1.2, label=told)
    last = max((row.last for row in shown if row.last is not None), default=0)
    if last:
        shared = f"rank 1–{last}: cannot be told from the best" if last > 1 else "rank 1"
        axes.fill([], [], color=ink.shade, label=shared)


def _name(axes: Axes, shown: Sequence[Row], ink: Ink) -> None:
    labels = [rows.name(row.backbone, row.pooling, row.head) for row in shown]
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    for label, row in zip(axes.get_yticklabels(), shown, strict=True):
        label.set_color(ink.quiet if row.remark == RANDOM else ink.text)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
