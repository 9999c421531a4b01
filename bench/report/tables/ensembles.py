"""Averages of rows, in one table."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.ensembles import MOST, Ensemble
from bench.report.page import Table
from bench.report.values import decimal, interval, percent, points

ABOUT = (
    f"Averages of the probabilities of at most {MOST} rows each fold, chosen one after the other "
    "on the predictions of inner folds; no test clip has a part in the choice. **×** says how many "
    "places of all folds a row has. Rows that were not searched on inner folds (trainings) take no "
    "part. **minutes** are those of all encoders that members need."
)
_COLUMNS = ("of", "members", "macro-F1 %>", "above its best row, points>", "minutes>")
# Members that a line names.
_NAMED = 4


def table(found: Sequence[Ensemble]) -> Table:
    """The ensembles of one task and protocol, the best first."""
    return Table(_COLUMNS, [_row(each) for each in sorted(found, key=lambda own: -own.macro_f1)])


def _row(own: Ensemble) -> list[str]:
    members = [f"{r.backbone} {r.pooling} {r.head} ×{n}" for r, n in own.members[:_NAMED]]
    if len(own.members) > _NAMED:
        members.append(f"{len(own.members) - _NAMED} more")
    by = own.over_best
    return [
        own.name,
        ", ".join(members),
        interval(own.interval) if own.interval else percent(own.macro_f1),
        f"{points(by.score)} ({points(by.low)} to {points(by.high)})"
        if by
        else points(own.macro_f1 - own.best.scored.macro_f1),
        decimal(minutes(own)),
    ]


def minutes(own: Ensemble) -> float | None:
    """Of computing per hour of audio, of each encoder once; None across machines."""
    speeds = {r.backbone: r.throughput for r, _ in own.members if r.throughput}
    if len({speed.hardware for speed in speeds.values()}) != 1:
        return None
    return sum(60 / speed.end_to_end_rtfx for speed in speeds.values())
