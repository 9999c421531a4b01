"""What was skipped or failed, and how to get what was missing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from bench.records.schema import Record
from bench.report.markdown import code
from bench.report.page import Block, Table, Text

_COLUMNS = ("backbone", "status", "tasks", "cells>", "reason")
# How reasons end that name the command for missing weights; what could be more than that stays.
_COMMAND = re.compile(r"; get them with: ((?:hf download|curl -L -o)(?: [\w./:@$+-]+)+)$")
_MOST_REASONS = 3


def gaps(found: Sequence[Record]) -> list[Block]:
    """Cells without a result: a row for each backbone and status, and the way to all weights."""
    own: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in found:
        if record.status != "ok":
            status = f"{record.status}, {record.control}" if record.control else record.status
            own[record.backbone, status].append(record)
    if not own:
        return []
    commands = _commands(found)
    several = len(commands) > 1
    rows = [
        [
            *key,
            ", ".join(sorted({record.task for record in records})),
            str(len(records)),
            _reasons(_reason(record, short=several) for record in records),
        ]
        for key, records in sorted(own.items())
    ]
    table = Table(_COLUMNS, rows)
    if not several:
        return [table]
    return [table, Text(f"This gets all missing weights: {code(' && '.join(commands))}")]


def _commands(found: Sequence[Record]) -> list[str]:
    """What gets the weights of each backbone, as its latest record says."""
    commands = {}
    for record in sorted(found, key=lambda record: record.provenance.utc):
        if match := _COMMAND.search(record.reason or ""):
            commands[record.backbone] = match[1]
    return [commands[backbone] for backbone in sorted(commands)]


def _reason(record: Record, *, short: bool) -> str:
    reason = record.reason or "no reason given"
    return _COMMAND.sub("", reason) if short else reason


def _reasons(reasons: Iterable[str]) -> str:
    """All of them, each once; where some differ in one word, that word of each."""
    merged: list[list[str]] = []
    for words in map(str.split, sorted(set(reasons))):
        for other in merged:
            differ = [place for place, word in enumerate(words) if [word] != other[place:][:1]]
            if len(words) == len(other) and len(differ) == 1:
                other[differ[0]] += f", {words[differ[0]]}"
                break
        else:
            merged.append(words)
    shown = [" ".join(words) for words in merged[:_MOST_REASONS]]
    if more := len(merged) - len(shown):
        shown.append(f"and {more} more, in the records")
    return "; ".join(shown)
