"""Which row to put to use: by validation, which no test clip had a part in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.errors import UserError, nearest
from bench.records.schema import Record
from bench.report.select import by_protocol, finished, is_control, leaks, validation_f1


def rows(found: Iterable[Record], task: str, protocol: str | None = None) -> list[Record]:
    """Rows of a task and protocol, the best by validation first; no controls and presets.

    Without a protocol it is the first that does not leak.

    Raises:
        UserError: there is none; says what there is.
    """
    known = list(found)
    own = [r for r in finished(known) if r.task == task and r.preset is None and not is_control(r)]
    if not own:
        tasks = sorted({record.task for record in finished(known)})
        raise UserError(f"there is no finished row of task '{task}'; {nearest(task, tasks)}")
    protocols = by_protocol(own)
    if protocol is None:
        fair = [name for name, rows_ in protocols.items() if not leaks(rows_)]
        protocol = (fair or list(protocols))[0]
    if protocol not in protocols:
        raise UserError(f"'{task}' has no row of '{protocol}'; {nearest(protocol, protocols)}")
    return sorted(protocols[protocol], key=lambda r: (-validation_f1(r), str(r.cell)))


def best(found: Sequence[Record], most_minutes: float | None = None) -> Record:
    """The first row; of those that take at most so many minutes per hour.

    Raises:
        UserError: there is none.
    """
    for record in found:
        speed = record.throughput
        minutes = 60 / speed.end_to_end_rtfx if speed else None
        if most_minutes is None or (minutes is not None and minutes <= most_minutes):
            return record
    under = f" that takes at most {most_minutes:g} minutes per hour" if most_minutes else ""
    raise UserError(f"there is no finished row{under}; `voxgrid run` makes rows")


def quickest(found: Sequence[Record], taken: Record, behind: float) -> Record:
    """The quickest row that is at most so far behind another by validation.

    Of rows encoded on another machine nothing is said: their speeds do not compare.
    """
    if taken.throughput is None:
        return taken
    speeds = {
        record.throughput.end_to_end_rtfx: record
        for record in reversed(found)  # of equally quick ones the best
        if record.throughput is not None
        and record.throughput.hardware == taken.throughput.hardware
        and validation_f1(record) >= validation_f1(taken) - behind
    }
    return speeds[max(speeds)]


def named(found: Sequence[Record], cell: str) -> Record:
    """The row whose backbone, pooling and head are named, with `/` between them.

    Raises:
        UserError: there is none; says which was meant.
    """
    every = {"/".join((r.backbone, r.pooling, r.head)): r for r in found}
    if cell not in every:
        raise UserError(f"there is no finished row '{cell}'; {nearest(cell, every)}")
    return every[cell]
