"""Rows whose search may not have found the best there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from bench.records.schema import Record, TriedRecord
from bench.report.page import Block, Bullets, Text
from bench.report.select import ranked

# A race may find more where its last quarter still raised the score by so much.
_LAST, _STILL_RISING = 0.75, 0.005
_SAID = (
    "**Where a search may find more.** In most folds of these rows the chosen value lies at an end "
    "of what was tried, or the last quarter of the settings still raised the score on the first "
    "inner folds by more than half a point; `--trials` sets how many are tried at most."
)


def about(found: Sequence[Record]) -> Iterator[Block]:
    """What to know of the search of finished records of one task and protocol."""
    rows = []
    for record in ranked(found):
        tried = [fold.tried for fold in record.folds if fold.tried is not None]
        if advice := _advice(tried):
            name = f"{record.backbone}, {record.pooling}, {record.head}"
            rows.append(f"{name}: {'; '.join(advice)}")
    if rows:
        yield Text(_SAID)
        yield Bullets(rows)


def _advice(tried: Sequence[TriedRecord]) -> list[str]:
    ends = {
        "lowest": Counter(name for each in tried for name in each.lowest),
        "highest": Counter(name for each in tried for name in each.highest),
    }
    said = [
        f"`{name}` is the {end} tried in {count} of {len(tried)} folds"
        for end, counts in ends.items()
        for name, count in sorted(counts.items())
        if count > len(tried) / 2
    ]
    rising = sum(each.how == "race" and _rises(each.curve) for each in tried)
    if rising > len(tried) / 2:
        said.append(f"still rising in {rising} of {len(tried)} folds")
    return said


def _rises(curve: Sequence[float]) -> bool:
    return bool(curve) and curve[-1] - curve[int(len(curve) * _LAST) - 1] > _STILL_RISING
