"""What each choice changes, in one table, and what each layer gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.report.effects import Effect, LayerCurve
from bench.report.page import Block, Table, Text
from bench.report.statistics import Interval
from bench.report.values import DASH, interval, percent, points

_ABOUT = (
    "Means over rows that differ in this one choice and are alike in the others; **behind the "
    "best** is paired over groups."
)


def tables(effects: Sequence[Effect], layers: Sequence[LayerCurve]) -> Iterator[Block]:
    """The effects of one table of rows, and a sentence on each backbone's layers."""
    if effects:
        yield Text(_ABOUT)
        rows = [
            [each.factor, each.value, str(each.rows), interval(each.macro_f1), _behind(each.behind)]
            for each in effects
        ]
        columns = ("choice", "", "rows>", "mean macro-F1 %>", "behind the best, points>")
        yield Table(columns, rows)
    if layers:
        yield Text(f"On inner folds {'; '.join(map(_layers, layers))}.")


def _behind(found: Interval | None) -> str:
    if found is None:
        return DASH
    return f"{points(found.score)} ({points(found.low)} to {points(found.high)})"


def _layers(curve: LayerCurve) -> str:
    best = max(range(len(curve.macro_f1)), key=lambda layer: curve.macro_f1[layer])
    last = len(curve.macro_f1) - 1
    text = f"layer {best} of {curve.backbone} gives most, {percent(curve.macro_f1[best])} %"
    if best == last:
        return f"{text}, and is the last"
    return f"{text}; its last, {last}, {percent(curve.macro_f1[last])} %"
