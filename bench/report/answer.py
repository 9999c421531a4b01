"""What a newcomer wants to know first: which row, at what cost, and what without a download."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from bench.records.schema import Record
from bench.report.beside import Beside
from bench.report.ensembles import MOST
from bench.report.markdown import code, escape
from bench.report.page import Block, Bullets, Heading
from bench.report.select import finished, is_control, ranked
from bench.report.values import command, interval, minutes, percent, plural, points, use

TITLE = "The answer"
# Of more, the best and the worst are named.
_MOST_CLASSES = 12


def answer(found: Sequence[Record], beside: Beside) -> Iterator[Block]:
    """The best row of each task, the one to take first, and the best that needs no download.

    Only rows with an interval are spoken of.
    """
    items = [
        sentence for own in _tables(found, beside).values() for sentence in _sentences(own, beside)
    ]
    if items:
        yield Heading(2, TITLE)
        yield Bullets(items)


def recommended(found: Sequence[Record], beside: Beside) -> Mapping[tuple[str, str], Record]:
    """By task and protocol the row to take first: the quickest of those tied with the best."""
    tables = _tables(found, beside)
    return {name: _quickest(_tied(own, beside)) or own[0] for name, own in tables.items()}


def _tables(found: Sequence[Record], beside: Beside) -> Mapping[tuple[str, str], Sequence[Record]]:
    """Rows by task and protocol, best first; no controls. Of several lists of clips, the rows of
    the list that most were tested on, since others are not compared with them.
    """
    known = {str(record.cell): record for record in finished(found)}
    own: dict[tuple[str, str], list[Record]] = {}
    for table, several in sorted(beside.standings.items()):
        most = max(several, key=lambda standing: len(standing.records))
        cells = [str(r.cell) for r in ranked(most.records) if not is_control(r)]
        if rows := [known[cell] for cell in cells if cell in known]:
            own[table] = rows
    return own


def _tied(rows: Sequence[Record], beside: Beside) -> list[Record]:
    """The best row and those that share its rank."""
    first = beside.places[str(rows[0].cell)].ranks
    return [row for row in rows if beside.places[str(row.cell)].ranks == first]


def _sentences(rows: Sequence[Record], beside: Beside) -> Iterator[str]:
    best, tied = rows[0], _tied(rows, beside)
    others = f"{plural(len(tied) - 1, 'more row')} cannot be told from it"
    if not tied[1:]:
        others = "no other row can keep up" if rows[1:] else "there is no other row yet"
    yield (
        f"{code(best.task)}, {code(best.protocol)}: the best is {_named(best, beside)}; {others}. "
        f"{_run(best)}"
    )
    quick = _quickest(tied) or best
    if quick is not best and quick.throughput is not None:
        machine = escape(quick.throughput.hardware)
        yield (
            f"Of these, as measured on {machine}, {_named(quick, beside)} takes the least: "
            f"{minutes(quick, {})} minutes of computing per hour of audio. {_run(quick)}"
        )
    yield from _within(quick, beside)
    yield from _average(best, beside)
    local = next((r for r in rows if r.weights.kind == "none"), None)
    if local is not None and local is not best:
        yield f"Without a download the best is {_named(local, beside)}. {_run(local)}"


def _average(best: Record, beside: Beside) -> Iterator[str]:
    """The average over all backbones, where it reads higher than the best row it could choose."""
    average = next(iter(beside.ensembles.get((best.task, best.protocol), ())), None)
    if average is None or average.interval is None or average.over_best is None:
        return
    by = average.over_best
    if by.score > 0:
        row = escape(f"{average.best.backbone}, {average.best.pooling}, {average.best.head}")
        yield (
            f"An average of at most {MOST} rows each fold, chosen on inner folds, gives "
            f"macro-F1 {interval(average.interval)} %, {points(by.score)} points "
            f"({points(by.low)} to {points(by.high)}) above the best row it could choose, {row}"
            f"{', which is not told from zero' if by.low <= 0 else ''}."
        )


def _within(record: Record, beside: Beside) -> Iterator[str]:
    """How a row does by class and by group."""
    by_class = sorted(record.scored.per_class_f1.items(), key=lambda each: -each[1])
    if len(by_class) > _MOST_CLASSES:
        by_class = [*by_class[: _MOST_CLASSES // 2], *by_class[-_MOST_CLASSES // 2 :]]
    classes = ", ".join(f"{escape(label)} {percent(f1)}" for label, f1 in by_class)
    for standing in beside.standings.get((record.task, record.protocol), ()):
        if any(str(other.cell) == str(record.cell) for other in standing.records):
            groups = standing.by_group(record)
            worst = next(iter(groups))
            yield (
                f"F1 by class of that row, in %: {classes}. By {escape(record.group)}, its "
                f"accuracy is {percent(median(groups.values()))} % in the median and "
                f"{percent(groups[worst])} % at the lowest ({escape(worst)})."
            )


def _quickest(rows: Sequence[Record]) -> Record | None:
    """Of rows encoded on one machine the quickest, and of equally quick ones the best."""
    machines = Counter(r.throughput.hardware for r in rows if r.throughput)
    if not machines:
        return None
    machine = machines.most_common(1)[0][0]
    speeds = [(r, r.throughput) for r in rows if r.throughput and r.throughput.hardware == machine]
    return max(speeds, key=lambda each: round(each[1].end_to_end_rtfx))[0]


def _named(record: Record, beside: Beside) -> str:
    name = escape(f"{record.backbone}, {record.pooling}, {record.head}")
    return f"**{name}** with macro-F1 {interval(beside.places[str(record.cell)].macro_f1)} %"


def _run(record: Record) -> str:
    fits = use(record)
    if fits is None:
        return code(command(record))
    return f"{code(fits)}, then {code('voxgrid predict model FILE')}"
