"""Every finished row as CSV, for what the page leaves out and for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from bench.printable import no_formula
from bench.records.schema import Record
from bench.report.placing import Place
from bench.report.select import by_protocol, finished, ranked, validation_f1
from bench.report.values import layer

NAME = "leaderboard.csv"


def text(found: Iterable[Record], places: Mapping[str, Place]) -> str:
    """One line per row, best first within a task and protocol; scores are shares, not percent."""
    done = finished(found)
    rows = [
        _row(record, places.get(str(record.cell)))
        for task in sorted({record.task for record in done})
        for own in by_protocol(r for r in done if r.task == task).values()
        for record in ranked(own)
    ]
    if not rows:
        return ""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: no_formula(v) if isinstance(v, str) else v for k, v in row.items()})
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
        "uar": _share(record.scored.uar),
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
