"""What each choice changes, in one table, and what each layer gives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from bench.report.effects import Effect, LayerCurve
from bench.report.markdown import escape
from bench.report.page import Block, Table, Text
from bench.report.statistics import Interval
from bench.report.values import interval, percent

_ABOUT = (
    "Means over rows that differ in this one choice and are alike in the others. **Behind it**: by "
    "how many points of macro-F1 the others are lower, with intervals paired over groups. Values "
    "with few rows take no part."
)
_COLUMNS = ("choice", "best", "rows>", "mean macro-F1 %>", "behind it, points")


def tables(effects: Sequence[Effect], layers: Sequence[LayerCurve]) -> Iterator[Block]:
    """The effects of one table of rows, below what each backbone's layers give."""
    by_factor: dict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        by_factor[effect.factor].append(effect)
    said = [_ABOUT] if by_factor else []
    if layers:
        said.append(f"On inner folds {'; '.join(map(_layers, layers))}.")
    if said:
        yield Text(" ".join(said))
    if by_factor:
        yield Table(_COLUMNS, [_row(factor, own) for factor, own in by_factor.items()])


def _row(factor: str, own: Sequence[Effect]) -> list[str]:
    best, *others = own
    behind = [f"{each.value} {_points(each.behind)}" for each in others if each.behind]
    return [factor, best.value, str(best.rows), interval(best.macro_f1), ", ".join(behind)]


def _points(found: Interval) -> str:
    told = "" if found.low > 0 else ", not told apart"
    return f"{100 * found.score:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f}{told})"


def _layers(curve: LayerCurve) -> str:
    best = max(range(len(curve.macro_f1)), key=lambda layer: curve.macro_f1[layer])
    last = len(curve.macro_f1) - 1
    text = f"layer {best} of {escape(curve.backbone)} gives most, {percent(curve.macro_f1[best])} %"
    if best == last:
        return f"{text}, and is the last"
    return f"{text}; its last, {last}, {percent(curve.macro_f1[last])} %"
