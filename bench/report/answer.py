"""What a newcomer wants to know first: which row, at what cost, and what without a download."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from bench.records.schema import Record
from bench.report.markdown import code, escape
from bench.report.page import Block, Bullets, Heading
from bench.report.placing import Place
from bench.report.select import is_control, ranked
from bench.report.values import interval, minutes, plural


def answer(found: Sequence[Record], places: Mapping[str, Place]) -> Iterator[Block]:
    """The best row of each task, of those it cannot be told from the quickest, and the best of
    those that need no download.

    Only rows with an interval are spoken of.
    """
    known = [r for r in found if str(r.cell) in places and not is_control(r) and r.preset is None]
    items = [
        sentence
        for task, protocol in sorted({(r.task, r.protocol) for r in known})
        for sentence in _sentences(
            ranked(r for r in known if (r.task, r.protocol) == (task, protocol)), places
        )
    ]
    if items:
        yield Heading(2, "The answer")
        yield Bullets(items)


def _sentences(rows: Sequence[Record], places: Mapping[str, Place]) -> Iterator[str]:
    best = rows[0]
    tied = [r for r in rows if places[str(r.cell)].ranks == places[str(best.cell)].ranks]
    alone = "no other row can keep up"
    others = f"{plural(len(tied) - 1, 'more row')} cannot be told from it" if tied[1:] else alone
    yield (
        f"{code(best.task)}, {code(best.protocol)}: the best is {_named(best, places)}; {others}. "
        f"{_command(best)}"
    )
    if (quick := _quickest(tied)) is not None and quick is not best:
        yield (
            f"Of these {_named(quick, places)} takes the least: {minutes(quick, {})} minutes of "
            f"computing per hour of audio. {_command(quick)}"
        )
    local = next((r for r in rows if r.weights.kind == "none"), None)
    if local is not None and local is not best:
        yield f"Without a download the best is {_named(local, places)}. {_command(local)}"


def _quickest(rows: Sequence[Record]) -> Record | None:
    """Of rows encoded on one machine the quickest, and of equally quick ones the best."""
    machines = Counter(r.throughput.hardware for r in rows if r.throughput)
    if not machines:
        return None
    machine = machines.most_common(1)[0][0]
    speeds = [(r, r.throughput) for r in rows if r.throughput and r.throughput.hardware == machine]
    return max(speeds, key=lambda each: round(each[1].end_to_end_rtfx))[0]


def _named(record: Record, places: Mapping[str, Place]) -> str:
    name = escape(f"{record.backbone}, {record.pooling}, {record.head}")
    return f"**{name}** with macro-F1 {interval(places[str(record.cell)].macro_f1)} %"


def _command(record: Record) -> str:
    named = {
        "--task": record.task,
        "--protocol": record.protocol,
        "--backbone": record.backbone,
        "--pooling": record.pooling,
        "--head": record.head,
    }
    return code(shlex.join(["voxgrid", "run", *(word for pair in named.items() for word in pair)]))
