"""Where each row stands: its interval, and the rank it shares with rows it cannot be told from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.records import predictions
from bench.records.schema import Record
from bench.report.select import by_protocol, finished, is_control
from bench.report.statistics import FEWEST_GROUPS, Counts, Interval, Resampled

_MACRO_F1 = 1


@dataclass(frozen=True)
class Place:
    """Of a row among those tested on the same clips.

    Attributes:
        macro_f1: with its interval.
        ranks: first and last place of those that share its rank; None of a control.
    """

    macro_f1: Interval
    ranks: tuple[int, int] | None


def places(results: Path, found: Iterable[Record]) -> Mapping[str, Place]:
    """The place of each row that has one, by its cell as text.

    There is none under a protocol that leaks groups or draws its splits anew, with fewer than
    eight groups, of generated clips, of presets, which take no part in rankings, and of a row whose
    predictions cannot be read.
    """
    placed: dict[str, Place] = {}
    by_task: dict[str, list[Record]] = defaultdict(list)
    for record in finished(found):
        apart = record.sample or record.preset is not None
        if not (apart or record.folding.leaks or record.folding.repeats):
            by_task[record.task].append(record)
    for records in by_task.values():
        for own in by_protocol(records).values():
            placed |= _places(results, own)
    return placed


def _places(results: Path, found: Iterable[Record]) -> Mapping[str, Place]:
    """Places of the rows of one table, apart where they were tested on different clips."""
    alike: dict[tuple[tuple[str, ...], bytes], list[tuple[Record, Counts]]] = defaultdict(list)
    for record in found:
        try:
            own = predictions.tested(results, record)
        except predictions.Unsound:
            continue
        counts = Counts.of(own.truth, own.said, own.groups, len(record.labels))
        alike[own.group_names, counts.true[0].tobytes()].append((record, counts))
    placed: dict[str, Place] = {}
    for rows in alike.values():
        if rows[0][1].true.shape[1] < FEWEST_GROUPS:
            continue
        every = Resampled.of([counts for _, counts in rows])
        ranked = [place for place, (record, _) in enumerate(rows) if not is_control(record)]
        ranks = dict(zip(ranked, every.rows(ranked).ranks(_MACRO_F1), strict=True))
        for place, (record, _) in enumerate(rows):
            placed[str(record.cell)] = Place(every.interval(place, _MACRO_F1), ranks.get(place))
    return placed
