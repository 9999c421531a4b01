"""What stored predictions give: averages of rows, calibration, and where rows disagree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bench.records.schema import Record
from bench.report.beside import Beside
from bench.report.doubts import asked, doubts, pairs
from bench.report.ensembles import MOST, Ensemble
from bench.report.fusions import Joined
from bench.report.page import Block, Heading, Table, Text
from bench.report.speeds import minutes
from bench.report.values import decimal, interval, layer, percent, points

# Lines of each table.
_ROWS, _CLIPS, _PAIRS = 10, 10, 5
_FUSIONS = (
    "Pooled vectors side by side, each feature standardised by itself. Layers were chosen on inner "
    "folds: the best of each backbone by itself, then the best of their combinations. The row that "
    "they are compared with is the best of one backbone by its score on test clips, trainings "
    f"included. The best {_ROWS} stand here; the page has all."
)
_FUSED = ("fusion", "layers", "macro-F1 %>", "above the best row of one backbone, points>")
_AVERAGES = (
    f"Averages of the probabilities, with their temperatures (see calibration), of at most {MOST} "
    "rows each fold, chosen one after the other on the predictions of inner folds; no test clip "
    "has a part in the choice. **×** says how many places of all folds a row has. Rows that were "
    "not searched on inner folds (trainings) take no part. **minutes** are those of all encoders "
    "that members need."
)
_AVERAGED = ("of", "members", "macro-F1 %>", "above its best row, points>", "minutes>")
# Members that a line names.
_NAMED = 4
_CALIBRATION = (
    "**Error** is the expected calibration error: by how many points the highest probability of a "
    "clip is off from how often it is right, over 15 bins. **Brier** is the mean squared distance "
    "to the true class (0 to 2). **With temperature** they are of probabilities whose logits are "
    "divided by one number per fold, fitted on inner predictions; accuracy stays. Above 1, a row "
    "is too sure of itself."
)
_CALIBRATED = ("row", "error>", "Brier>", "temperature>", "error with it>", "Brier with it>")
_DOUBTED = ("clip", "labelled", "most rows say", "how many>", "mean probability>")
_PAIRED = ("row", "other row", "one of them right, % of clips>", "at least one right, %>")


def about(table: tuple[str, str], beside: Beside) -> Iterator[Block]:
    """What there is of one task and protocol."""
    if joined := beside.fusions.get(table):
        yield Heading(3, "Fusions")
        yield Text(_FUSIONS)
        yield Table(_FUSED, [_fusion(each, beside) for each in joined[:_ROWS]])
    if averages := beside.ensembles.get(table):
        yield Heading(3, "Averages of rows")
        yield Text(_AVERAGES)
        known = [row.record for row in beside.stored.values()]
        best_first = sorted(averages, key=lambda own: -own.macro_f1)
        yield Table(_AVERAGED, [_average(each, known) for each in best_first])
    rows = beside.said(table)
    lines = [_calibration(row.record, beside) for row in rows if _known(row.record, beside)]
    if lines:
        yield Heading(3, "Calibration")
        yield Text(f"{_CALIBRATION} The best {_ROWS} of {len(lines)} rows; the page has all.")
        yield Table(_CALIBRATED, lines[:_ROWS])
    if found := doubts(rows):
        yield Heading(3, "Clips that no row gets right")
        yield Text(
            f"{len(found)} clips, of {asked(rows)} rows; those first that most rows call the same. "
            "Their labels are worth a second hearing: `voxgrid doubts` names all."
        )
        shown = found[:_CLIPS]
        yield Table(
            _DOUBTED,
            [[d.clip, d.label, d.said, str(d.rows), f"{d.confidence:.2f}"] for d in shown],
        )
    if complete := pairs(rows)[:_PAIRS]:
        yield Heading(3, "Rows that complete each other")
        yield Text("Pairs of the best rows of which one is right most often where the other errs.")
        yield Table(
            _PAIRED,
            [
                [_row(p.first), _row(p.second), percent(p.apart), percent(p.either)]
                for p in complete
            ],
        )


def _fusion(own: Joined, beside: Beside) -> list[str]:
    by = own.interval
    over = f"{points(by.score)} ({points(by.low)} to {points(by.high)})" if by else points(own.over)
    return [
        _row(own.row),
        layer(own.row),
        beside.macro_f1(own.row),
        f"{over}: {_row(own.single)}",
    ]


def _row(record: Record) -> str:
    return f"{record.backbone} {record.pooling} {record.head}"


def _known(record: Record, beside: Beside) -> bool:
    return str(record.cell) in beside.calibrations


def _calibration(record: Record, beside: Beside) -> list[str]:
    own = beside.calibrations[str(record.cell)]
    return [
        _row(record),
        percent(own.plain.error),
        f"{own.plain.brier:.3f}",
        f"{own.temperature:.2f}",
        percent(own.scaled.error),
        f"{own.scaled.brier:.3f}",
    ]


def _average(own: Ensemble, beside: Iterable[Record]) -> list[str]:
    members = [f"{_row(record)} ×{count}" for record, count in own.members[:_NAMED]]
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
        decimal(minutes([record for record, _ in own.members], beside)),
    ]
