"""Advisories below a table, one line for each kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from bench.report.advisories import KINDS, Advisory
from bench.report.markdown import code, escape
from bench.report.page import Block, Bullets, Text
from bench.report.values import plural

# Rows that a line names; the page to explore names all.
_NAMED = 3
_TITLE = Text(
    "**Before you rely on a row**, see whether one of these is about it.",
    "The page of `voxgrid report` names all rows.",
)


def about(found: Sequence[Advisory]) -> Iterator[Block]:
    """What is said of the rows of one table."""
    by_kind: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for advisory in found:
        by_kind[advisory.id][advisory.row].append(advisory.detail)
    if by_kind:
        yield _TITLE
        yield Bullets([_line(id, rows) for id, rows in by_kind.items()])


def _line(id: str, rows: dict[str, list[str]]) -> str:
    kind = KINDS[id]
    named = [
        escape(f"{row} ({', '.join(details)})" if any(details) else row)
        for row, details in list(rows.items())[:_NAMED]
    ]
    if len(rows) > _NAMED:
        named.append(f"{len(rows) - _NAMED} more")
    listed = f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else named[0]
    return f"{code(id)}, {plural(len(rows), 'row')}: {kind.what}; {kind.do}. {listed}."
