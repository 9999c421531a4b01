"""Which records stand where: finished ones, controls, ranks, and what stands for a backbone."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable

from bench.records.schema import Record


def finished(found: Iterable[Record]) -> list[Record]:
    """Records that hold scores."""
    return [r for r in found if r.status == "ok"]


def older(found: Iterable[Record]) -> list[Record]:
    """Records of a state of a task's data that others are newer than: other clips were folded.

    Those that do not say of which state they are count with the newest.
    """
    known = [record for record in found if record.data is not None]
    newest: dict[str, Record] = {}
    for record in sorted(known, key=lambda r: (r.provenance.utc, str(r.cell))):
        newest[record.task] = record
    return [record for record in known if record.data != newest[record.task].data]


def is_control(record: Record) -> bool:
    """Whether random weights stand in for pretrained ones; the sample tasks know no others."""
    return record.control is not None or (
        record.weights.kind == "random-init" and not record.sample
    )


def ranked(found: Iterable[Record]) -> list[Record]:
    """By macro-F1 on test, best first; equal ones by name."""
    return sorted(found, key=lambda r: (-r.scored.macro_f1, str(r.cell)))


def validation_f1(record: Record) -> float:
    """Mean validation macro-F1 of the tuned head over the folds."""
    return statistics.fmean(fold.val_macro_f1 for fold in record.folds) if record.folds else 0.0


def chosen(found: Iterable[Record]) -> dict[str, Record]:
    """One record per backbone, best first by test score.

    Pooling and head are chosen by validation score: the best of many test scores would flatter a
    backbone that got lucky once.
    """
    best: dict[str, Record] = {}
    for record in sorted(found, key=lambda r: (-validation_f1(r), str(r.cell))):
        best.setdefault(record.backbone, record)
    return {record.backbone: record for record in ranked(best.values())}


def by_protocol(found: Iterable[Record]) -> dict[str, list[Record]]:
    """Records by protocol: first what does not leak, last what draws some of the clips only.

    Of others that leak, one split stands before repeated ones.
    """
    own: dict[str, list[Record]] = defaultdict(list)
    for record in found:
        own[record.protocol].append(record)

    def place(protocol: str) -> tuple[bool, bool, bool, str]:
        folding = own[protocol][0].folding
        return leaks(own[protocol]), folding.subset, folding.repeats, protocol

    return {protocol: own[protocol] for protocol in sorted(own, key=place)}


def leaks(found: Iterable[Record]) -> bool:
    """Whether clips of one group were on both sides for any of these records."""
    return any(record.folding.leaks for record in found)


def machines(found: Iterable[Record]) -> dict[str, str]:
    """A letter for each machine that encoded, in order of name."""
    names = sorted({r.throughput.hardware for r in found if r.throughput})
    return {
        name: chr(ord("A") + position) if position < 26 else str(position + 1)
        for position, name in enumerate(names)
    }
