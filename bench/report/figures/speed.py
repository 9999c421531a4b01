"""Rows by score and by speed: which are worth their time."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from math import ceil

from bench.records.schema import Record
from bench.report.figures import canvases, rows, scatter
from bench.report.figures.rows import Row
from bench.report.figures.scatter import Point
from bench.report.pareto import front
from bench.report.placing import Place
from bench.report.select import is_control

SUFFIX = "speed"
# Raise it when the drawing changes, so that every figure is made again.
_DRAWING = 1
# Backbones; the legend names each.
MOST = 40
_RTFX = "RTFx: seconds of audio per second, decoding included; equal ones stand side by side"


@dataclass(frozen=True)
class Speed:
    """Rows encoded on one machine, best first. Implements `Figure`.

    Attributes:
        backbones: all that are compared, which decides their signs.
    """

    name: str
    title: str
    backbones: tuple[str, ...]
    points: tuple[Point, ...]

    @property
    def mark(self) -> str:
        """Digest of what is drawn."""
        text = json.dumps([SUFFIX, _DRAWING, *astuple(self)[1:]])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def front(self) -> list[Point]:
        """Rows that no other row is better and faster than, the fastest first."""
        return [self.points[i] for i in front([(p.rtfx, p.row.score) for p in self.points])]

    def draw(self, dark: bool) -> bytes:
        """A scatter plot as PNG."""
        ink = canvases.ink(dark)
        names = {rows.name(point.row.backbone) for point in self.points}
        columns = 4 if max(map(len, names)) < 16 else 2
        height = 4.6 + 0.2 * ceil((len(names) + 1) / columns)
        with canvases.blank(7.6, height, self.title, dark) as canvas:
            axes = canvas.subplots()
            scatter.draw(axes, self.points, self.front, self.backbones, ink)
            axes.set_xlabel(_RTFX)
            axes.set_ylabel("macro-F1, %, with 95 % interval")
            canvas.legend(loc="outside lower center", ncols=columns, fontsize=9, frameon=False)
            canvas.draw_without_rendering()
            scatter.label(axes, self.points, self.front, ink)
            return canvases.png(canvas, self.mark)


def wanted(found: Iterable[Record], placed: Mapping[str, Place]) -> dict[str, Speed]:
    """The figure of a task by its protocol, of the machine that encoded most of its rows.

    There is none of fewer than two backbones, nor of so many that nobody could tell them apart.
    Controls are as fast as what they control, and are not drawn.
    """
    own = [r for r in rows.compared(found, placed) if not is_control(r)]
    machine = _machine(own)
    points = tuple(
        Point(Row.of(r, placed[str(r.cell)]), r.throughput.end_to_end_rtfx)
        for r in own
        if r.throughput and r.throughput.hardware == machine
    )
    if not 2 <= len({point.row.backbone for point in points}) <= MOST:
        return {}
    of = own[0]
    number = f"the {len(points)} of {len(own)}" if len(points) < len(own) else f"all {len(own)}"
    title = f"{of.task}, {of.protocol}: macro-F1 by speed of {number} rows encoded on {machine}"
    name = f"{of.task}__{of.protocol}__{SUFFIX}"
    return {of.protocol: Speed(name, title, rows.backbones(own), points)}


def _machine(own: Iterable[Record]) -> str | None:
    """What encoded most rows, of equals the first by name."""
    counts = Counter(r.throughput.hardware for r in own if r.throughput)
    return min(counts, key=lambda name: (-counts[name], name), default=None)
