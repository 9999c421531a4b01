"""Where each row stands: its interval, and the rank it shares with rows it cannot be told from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.records.schema import Record
from bench.report.select import is_control
from bench.report.statistics import FEWEST_GROUPS, Counts, Interval, Resampled
from bench.report.stored import Stored

ACCURACY, MACRO_F1, UAR = range(3)
# Task and protocol; names of clips and groups; the class and the group of each clip.
_Tested = tuple[str, str, tuple[str, ...], tuple[str, ...], bytes, bytes]


@dataclass(frozen=True)
class Place:
    """Of a row among those tested on the same clips.

    Attributes:
        macro_f1, accuracy, uar: with their intervals.
        ranks: first and last place of those that share its rank; None of a control.
    """

    macro_f1: Interval
    accuracy: Interval
    uar: Interval
    ranks: tuple[int, int] | None


@dataclass(frozen=True, eq=False)
class Standing:
    """Rows of one task and protocol that were tested on the same clips.

    Attributes:
        records: controls among them.
        counts: what each of these rows predicted, by group.
        scored: the same rows, on the same draws of groups.
        group_names: of the groups, in order.
    """

    records: Sequence[Record]
    counts: Sequence[Counts]
    scored: Resampled
    group_names: Sequence[str]

    def __contains__(self, row: Record) -> bool:
        return any(row.cell == own.cell for own in self.records)

    def mean(self, rows: Sequence[Record], others: Sequence[Record] = ()) -> Interval:
        """The mean macro-F1 of rows, or what it is higher by than that of others."""
        places = {str(record.cell): place for place, record in enumerate(self.records)}
        weights = dict.fromkeys(places.values(), 0.0)
        for own, sign in ((rows, 1), (others, -1)):
            for record in own:
                weights[places[str(record.cell)]] += sign / len(own)
        return self.scored.interval(weights, MACRO_F1)

    def by_group(self, row: Record) -> Mapping[str, float]:
        """Accuracy of a row on the clips of each group, the lowest first."""
        counts = next(
            c for r, c in zip(self.records, self.counts, strict=True) if r.cell == row.cell
        )
        shares = (counts.right.sum(axis=2) / counts.true.sum(axis=2)).mean(axis=0)
        named = zip(self.group_names, shares.tolist(), strict=True)
        return dict(sorted(named, key=lambda each: each[1]))

    def places(self) -> Mapping[str, Place]:
        """The place of each row, by its cell as text."""
        ranked = [place for place, record in enumerate(self.records) if not is_control(record)]
        ranks = dict(zip(ranked, self.scored.rows(ranked).ranks(MACRO_F1), strict=True))

        def interval(place: int, score: int) -> Interval:
            return self.scored.interval({place: 1}, score)

        return {
            str(record.cell): Place(
                interval(place, MACRO_F1),
                interval(place, ACCURACY),
                interval(place, UAR),
                ranks.get(place),
            )
            for place, record in enumerate(self.records)
        }


def standings(found: Iterable[Stored]) -> list[Standing]:
    """The rows that have a place, by the clips they were tested on.

    There is none under a protocol that leaks groups or draws its splits anew, with fewer than
    eight groups, of generated clips, and of presets, which take no part in rankings.
    """
    alike: dict[_Tested, list[tuple[Record, Counts]]] = defaultdict(list)
    for row in found:
        record, said = row.record, row.tested
        folding = record.folding
        apart = record.sample or record.preset is not None or folding.leaks or folding.repeats
        if not apart and len(said.group_names) >= FEWEST_GROUPS:
            shape = len(said.group_names), len(record.labels)
            counts = Counts.of(said.truth, said.predicted, said.groups, shape)
            clips = (said.clips, said.group_names, said.truth.tobytes(), said.groups.tobytes())
            alike[record.task, record.protocol, *clips].append((record, counts))
    return [
        Standing([r for r, _ in rows], own, Resampled.of(own), names)
        for (_, _, _, names, *_), rows in alike.items()
        if (own := [counts for _, counts in rows])
    ]


def places(found: Iterable[Standing]) -> Mapping[str, Place]:
    """The place of every row that has one, by its cell as text."""
    return {cell: place for standing in found for cell, place in standing.places().items()}
