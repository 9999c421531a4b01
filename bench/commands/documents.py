"""What `--json` prints: one document each for `plan`, `run` and `leaderboard`; see docs/json.md.

Raise `VERSION` when a key goes away or changes its meaning; more keys may come without.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from bench.records.schema import Record
from bench.report.select import by_protocol, finished, is_control, ranked, validation_f1

VERSION = 1
Row = dict[str, Any]

_KINDS = ("tuned", "control", "preset")
_OF_RECORDS = {"task", "sample", "protocol", "backbone", "pooling", "head", "control", "preset"}
_OF_RECORDS |= {"clips", "trials", "seed"}


def text(document: str, **values: object) -> str:
    """One document; a number that is not finite is a `ValueError`."""
    # in ASCII: what an encoding lacks must not be written in other words here
    return json.dumps(
        {"document": document, "version": VERSION, **values}, indent=1, allow_nan=False
    )


def groups(found: Iterable[Record]) -> Iterator[tuple[str, list[Record]]]:
    """Finished records of each task, kind and protocol with their kind, best first."""
    by_kind: dict[tuple[bool, str, int], list[Record]] = {}
    for record in finished(found):
        kind = "preset" if record.preset else "control" if is_control(record) else "tuned"
        by_kind.setdefault((record.sample, record.task, _KINDS.index(kind)), []).append(record)
    for (_, _, place), records in sorted(by_kind.items()):
        for own in by_protocol(records).values():
            yield _KINDS[place], ranked(own)


def rows(found: Iterable[Record]) -> list[Row]:
    """Finished records by task, kind and protocol, each best first; scores are shares of 1."""
    return [
        {
            "kind": kind,
            "leaks": record.folding.leaks,
            "weights": record.weights.kind,
            "validation_macro_f1": validation_f1(record),
            **record.model_dump(include=_OF_RECORDS),
            **record.scored.model_dump(include={"macro_f1", "accuracy", "uar"}),
        }
        for kind, own in groups(found)
        for record in own
    ]
