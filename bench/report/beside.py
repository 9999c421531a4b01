"""What rows are read beside: all that is computed over several rows, once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.records.schema import Record
from bench.report.advisories import Advisory, advisories
from bench.report.calibration import Calibrated, calibrated
from bench.report.ensembles import Ensemble, ensembles
from bench.report.fusions import Joined, fusions
from bench.report.leak import Leak, leaks_of
from bench.report.placing import Place, Standing, places, standings
from bench.report.select import finished, machines
from bench.report.stored import Stored, stored
from bench.report.values import interval, percent, scored

# A task and a protocol.
Table = tuple[str, str]


@dataclass(frozen=True)
class Beside:
    """What rows of a board are read beside.

    Attributes:
        letters: of the `machines` of each task, which speeds carry where there are several.
        places: intervals and ranks of rows that have them.
        standings: rows tested on the same clips, by task and protocol.
        advisories: what to know of rows, by task and protocol.
        leaks: rows under two protocols, by task.
        fusions: beside the best row of one backbone, by task and protocol.
        ensembles: averages of rows, by task and protocol.
        calibrations: of rows that were searched on inner folds, by cell as text.
        stored: what all these rows said, controls and presets included, by cell as text.
    """

    letters: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)
    standings: Mapping[Table, Sequence[Standing]] = field(default_factory=dict)
    advisories: Mapping[Table, Sequence[Advisory]] = field(default_factory=dict)
    leaks: Mapping[str, Sequence[Leak]] = field(default_factory=dict)
    fusions: Mapping[Table, Sequence[Joined]] = field(default_factory=dict)
    ensembles: Mapping[Table, Sequence[Ensemble]] = field(default_factory=dict)
    calibrations: Mapping[str, Calibrated] = field(default_factory=dict)
    stored: Mapping[str, Stored] = field(default_factory=dict)

    @classmethod
    def of(cls, results: Path, found: Iterable[Record]) -> Beside:
        """Compute it from records and their predictions; generated clips give nothing to read."""
        known = list(found)
        read = stored(results, (record for record in known if not record.sample))
        own: dict[Table, list[Record]] = defaultdict(list)
        for record in known:
            if record.preset is None:
                own[record.task, record.protocol].append(record)
        tuned = [record for records in own.values() for record in records]
        standing: dict[Table, list[Standing]] = defaultdict(list)
        for each in standings(read.values()):
            standing[each.records[0].task, each.records[0].protocol].append(each)
        leaks: dict[str, list[Leak]] = defaultdict(list)
        for leak in leaks_of(tuned, read):
            leaks[leak.fair.task].append(leak)
        mended: dict[Table, list[Calibrated]] = defaultdict(list)
        for row in read.values():
            if row.tuned and (each_mended := calibrated(row)):
                mended[row.record.task, row.record.protocol].append(each_mended)
        averages = {table: ensembles([each.row for each in of]) for table, of in mended.items()}
        return cls(
            machines(finished(tuned)),
            places(each for several in standing.values() for each in several),
            standing,
            {table: advisories(of, standing.get(table, ())) for table, of in own.items()},
            leaks,
            {table: fusions(of, standing.get(table, ())) for table, of in own.items()},
            {table: of for table, of in averages.items() if of},
            {str(each.row.record.cell): each for of in mended.values() for each in of},
            read,
        )

    def said(self, table: Table) -> list[Stored]:
        """What the rows of a task and protocol said, best first; no controls and presets."""
        rows = self.stored.values()
        return [r for r in rows if r.tuned and (r.record.task, r.record.protocol) == table]

    def macro_f1(self, record: Record) -> str:
        """In percent, with its interval where it has one, such as `71.8 (67.9–75.4)`."""
        place = self.places.get(str(record.cell))
        if place is None:
            repeats = record.folding.repeats
            return scored(record, "macro_f1") if repeats else percent(record.scored.macro_f1)
        return interval(place.macro_f1)
