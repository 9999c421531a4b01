"""Rows whose search may not have found the best there is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from bench.records.schema import Record, TriedRecord
from bench.report.markdown import code, escape
from bench.report.page import Block, Bullets, Text
from bench.report.select import ranked

# A race may find more where its last quarter still raised the score by so much.
_LAST, _STILL_RISING = 0.75, 0.005
# Of fewer, one setting says nothing of the next.
_FEWEST_FOLDS = 3
_SAID = (
    "**Where a search may find more.** In most folds of these rows (in brackets, in how many) the "
    "chosen value lies at an end of what was tried, or the last quarter of the settings still "
    "raised the score on the first inner folds by more than half a point; `--trials` sets how many "
    "are tried at most."
)


def about(found: Sequence[Record]) -> Iterator[Block]:
    """What to know of the search of finished records of one task and protocol."""
    rows: dict[str, list[str]] = defaultdict(list)
    for record in ranked(found):
        tried = [fold.tried for fold in record.folds if fold.tried is not None]
        for advice, folds in _advice(tried) if len(tried) >= _FEWEST_FOLDS else ():
            name = escape(f"{record.backbone} {record.pooling} {record.head}")
            rows[advice].append(f"{name} ({folds})")
    if rows:
        yield Text(_SAID)
        yield Bullets([f"{advice}: {', '.join(names)}" for advice, names in sorted(rows.items())])


def _advice(tried: Sequence[TriedRecord]) -> Iterator[tuple[str, int]]:
    """What is said of most of a row's folds, and of how many."""
    ends = {
        "lowest": Counter(name for each in tried for name in each.lowest),
        "highest": Counter(name for each in tried for name in each.highest),
    }
    for end, counts in ends.items():
        for name, count in counts.items():
            if count > len(tried) / 2:
                yield f"{code(name)} is the {end} tried", count
    rising = sum(each.how == "race" and _rises(each.curve) for each in tried)
    if rising > len(tried) / 2:
        yield "still rising", rising


def _rises(curve: Sequence[float]) -> bool:
    return bool(curve) and curve[-1] - curve[int(len(curve) * _LAST) - 1] > _STILL_RISING
