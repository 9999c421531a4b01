"""Rows of a ranking as points with their intervals: what can be told apart, and what cannot."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass

from bench.records.schema import Record
from bench.report import chance
from bench.report.figures import canvases, forest, rows
from bench.report.figures.rows import Row
from bench.report.placing import Place
from bench.report.select import is_control

SUFFIX = "intervals"
# Raise it when the drawing changes, so that every figure is made again.
_DRAWING = 1
# Rows of a figure.
MOST = 30


@dataclass(frozen=True)
class Intervals:
    """Rows to draw, best first. Implements `Figure`.

    Attributes:
        group: what intervals are over, such as `speaker`.
        chance: macro-F1 of always answering the largest class.
        backbones: all that are compared, which decides their signs.
    """

    name: str
    title: str
    group: str
    chance: float
    backbones: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def mark(self) -> str:
        """Digest of what is drawn."""
        text = json.dumps([SUFFIX, _DRAWING, *astuple(self)[1:]])
        return hashlib.sha256(text.encode()).hexdigest()

    def draw(self, dark: bool) -> bytes:
        """A forest plot as PNG."""
        with canvases.blank(7.6, 1.6 + 0.225 * len(self.rows), self.title, dark) as canvas:
            axes = canvas.subplots()
            forest.draw(axes, self.rows, self.backbones, self.chance, canvases.ink(dark))
            axes.set_xlabel(f"macro-F1, %, with 95 % interval over {canvases.words(self.group)}s")
            canvas.legend(loc="outside lower right", ncols=2, fontsize=9, frameon=False)
            return canvases.png(canvas, self.mark)


def wanted(found: Iterable[Record], placed: Mapping[str, Place]) -> dict[str, Intervals]:
    """The figure of a task by its protocol; none where fewer than two rows have intervals."""
    own = rows.compared(found, placed)
    shown = _shown(own)
    if len(shown) < 2:
        return {}
    best = own[0]
    number = f"{len(shown)} of {len(own)}" if len(shown) < len(own) else f"all {len(own)}"
    figure = Intervals(
        f"{best.task}__{best.protocol}__{SUFFIX}",
        f"{best.task}, {best.protocol}: macro-F1 with 95 % intervals, {number} rows, best first",
        best.group,
        round(chance.macro_f1(chance.tested(best)), 4),
        rows.backbones(own),
        tuple(Row.of(r, placed[str(r.cell)]) for r in shown),
    )
    return {best.protocol: figure}


def _shown(own: Sequence[Record]) -> list[Record]:
    """The best of each backbone, its best control, and of the other rows the best.

    Controls of backbones without a row have nothing to be compared with.
    """
    best: dict[tuple[str, bool], int] = {}
    for place, record in enumerate(own):
        best.setdefault((record.backbone, is_control(record)), place)
    first = sorted(place for (name, _), place in best.items() if (name, False) in best)
    rest = [place for place, r in enumerate(own) if not is_control(r) and place not in first]
    return [own[place] for place in sorted([*first, *rest][:MOST])]
