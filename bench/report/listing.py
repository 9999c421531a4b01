"""Every finished row as CSV, for what the page leaves out and for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.printable import no_formula, printable
from bench.records.schema import Record
from bench.report.placing import Place
from bench.report.select import by_protocol, finished, ranked, validation_f1
from bench.report.values import layer

NAME = "leaderboard.csv"
# Of its first line.
BEGINNING = "task,protocol,rank_first,rank_last,"


def rows(
    found: Iterable[Record], places: Mapping[str, Place]
) -> list[tuple[Record, dict[str, Any]]]:
    """Every finished row with its values, best first within a task and protocol.

    Scores are shares, not percent; what is not known is None.
    """
    done = finished(found)
    return [
        (record, _row(record, places.get(str(record.cell))))
        for task in sorted({record.task for record in done})
        for own in by_protocol(r for r in done if r.task == task).values()
        for record in ranked(own)
    ]


def lines(values: Sequence[Mapping[str, Any]]) -> list[str]:
    """The line of titles, then one line per row; none without rows."""
    return (
        [_line(list(values[0])), *(_line(list(row.values())) for row in values)] if values else []
    )


def _line(cells: Sequence[Any]) -> str:
    file = io.StringIO()
    sound = [no_formula(printable(cell)) if isinstance(cell, str) else cell for cell in cells]
    csv.writer(file, lineterminator="\n").writerow(sound)
    return file.getvalue()


def _row(record: Record, place: Place | None) -> dict[str, Any]:
    first, last = (place.ranks if place else None) or (None, None)
    interval, speed = place.macro_f1 if place else None, record.throughput
    return {
        "task": record.task,
        "protocol": record.protocol,
        "rank_first": first,
        "rank_last": last,
        "backbone": record.backbone,
        "pooling": record.pooling,
        "head": record.head,
        "control": record.control,
        "preset": record.preset,
        "macro_f1": _share(record.scored.macro_f1),
        "macro_f1_low": _share(interval.low if interval else None),
        "macro_f1_high": _share(interval.high if interval else None),
        "macro_f1_lowest_seed": _share(min((s.macro_f1 for s in record.seeds), default=None)),
        "macro_f1_highest_seed": _share(max((s.macro_f1 for s in record.seeds), default=None)),
        "accuracy": _share(record.scored.accuracy),
        "accuracy_low": _share(place.accuracy.low if place else None),
        "accuracy_high": _share(place.accuracy.high if place else None),
        "uar": _share(record.scored.uar),
        "uar_low": _share(place.uar.low if place else None),
        "uar_high": _share(place.uar.high if place else None),
        "validation_macro_f1": _share(validation_f1(record)),
        "layer": layer(record),
        "weights": record.weights.kind,
        "parameters": record.parameters,
        "trials_per_fold": record.trials,
        "encoder_rtfx": speed.backbone_rtfx if speed else None,
        "end_to_end_rtfx": speed.end_to_end_rtfx if speed else None,
        "hardware": speed.hardware if speed else None,
    }


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"
