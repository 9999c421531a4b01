"""What to know of a row before one relies on it: each advisory has an id, a test and advice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.records.schema import Record
from bench.report.placing import Standing
from bench.report.select import finished, is_control, ranked, validation_f1

# A race may find more where its last quarter still raised the score by so much.
_LAST, _STILL_RISING = 0.75, 0.005
# Of fewer, one setting says nothing of the next.
_FEWEST_FOLDS = 3
_GAP = 0.10


@dataclass(frozen=True)
class Kind:
    """A kind of advisory.

    Attributes:
        what: is so of the rows it names.
        do: what one can do about it.
    """

    what: str
    do: str


KINDS: Mapping[str, Kind] = {
    "edge": Kind(
        "the chosen value of a parameter is the lowest or highest tried in most folds",
        "widen its space in the head",
    ),
    "rising": Kind(
        "the last quarter of the settings still raised the score by more than half a point",
        "run again with more --trials",
    ),
    "gap": Kind(
        "validation and test differ by more than 10 points",
        "do not trust its choice of settings; look for what makes the test groups different",
    ),
    "baseline": Kind(
        "no better than the best row without weights (95 % interval of the difference)",
        "use that row, or another backbone",
    ),
    "control": Kind(
        "no better than the same backbone with random weights (95 % interval of the difference)",
        "its pretraining does not help here",
    ),
    "budget": Kind(
        "fewer trials than other rows of this head",
        "compare rows of equal budgets, or run again with more --trials",
    ),
    "failed": Kind("some trials failed", "look at their errors in the record"),
    "versions": Kind(
        "made with other versions than most rows", "run again with --replace where that matters"
    ),
    "missing": Kind(
        "never ran, while other backbones have this row", "`voxgrid plan` says what it takes"
    ),
}


@dataclass(frozen=True)
class Advisory:
    """One advisory about one row.

    Attributes:
        id: of its kind.
        cell: of the row, as text; what never ran has none.
        row: backbone, pooling and head.
        detail: what exactly, in few words; empty where the kind says it all.
    """

    id: str
    cell: str | None
    row: str
    detail: str = ""


def advisories(found: Sequence[Record], standings: Iterable[Standing]) -> list[Advisory]:
    """All advisories about records of one task and protocol, by kind, best rows first."""
    rows = ranked(record for record in finished(found) if not is_control(record))
    most = _most_trials(rows)
    usual = {
        name: Counter(r.provenance.packages.get(name) for r in rows).most_common(1)[0][0]
        for name in {name for r in rows for name in r.provenance.packages}
    }
    beaten = {id: set(_not_better(id, standings)) for id in ("baseline", "control")}
    every: list[Advisory] = []
    for record in rows:
        said = [*_of(record)]
        said += [(id, "") for id, cells in beaten.items() if str(record.cell) in cells]
        if record.trials < most.get(record.head, 0) and not _tried_all(record):
            said.append(("budget", f"{record.trials} of {most[record.head]}"))
        if other := [f"{n} {v}" for n, v in record.provenance.packages.items() if v != usual[n]]:
            said.append(("versions", ", ".join(other)))
        every += [Advisory(id, str(record.cell), _named(record), text) for id, text in said]
    every += [Advisory("missing", None, row) for row in _missing(found)]
    return [advisory for id in KINDS for advisory in every if advisory.id == id]


def _named(record: Record) -> str:
    return f"{record.backbone} {record.pooling} {record.head}"


def _tried_all(record: Record) -> bool:
    """Whether more trials would have found nothing more."""
    return any(fold.tried is not None and fold.tried.how == "every" for fold in record.folds)


def _most_trials(rows: Iterable[Record]) -> Mapping[str, int]:
    """By head the most trials per fold that any row had."""
    most: dict[str, int] = {}
    for record in rows:
        if not _tried_all(record):
            most[record.head] = max(record.trials, most.get(record.head, 0))
    return most


def _missing(found: Iterable[Record]) -> list[str]:
    """Rows that some backbone has and another, which has rows, has no record of at all."""
    own = [record for record in found if not is_control(record) and not record.fused]
    known = {_named(record) for record in own}
    backbones = sorted({record.backbone for record in finished(own)})
    pairs = sorted({(record.pooling, record.head) for record in finished(own)})
    every = (f"{backbone} {pooling} {head}" for backbone in backbones for pooling, head in pairs)
    return [row for row in every if row not in known]


def _of(record: Record) -> Iterator[tuple[str, str]]:
    """What a record says of itself: ids with what exactly."""
    tried = [fold.tried for fold in record.folds if fold.tried is not None]
    if len(tried) >= _FEWEST_FOLDS:
        for end in ("lowest", "highest"):
            counts = Counter(name for each in tried for name in getattr(each, end))
            for name, count in counts.items():
                if count > len(tried) / 2:
                    yield "edge", f"{end} {name}"
        if sum(each.how == "race" and _rises(each.curve) for each in tried) > len(tried) / 2:
            yield "rising", ""
    if record.folds and abs(gap := validation_f1(record) - record.scored.macro_f1) > _GAP:
        yield "gap", f"{100 * gap:+.0f} points"
    if failed := sum(fold.trials.failed for fold in record.folds):
        yield "failed", str(failed)


def _rises(curve: Sequence[float]) -> bool:
    return bool(curve) and curve[-1] - curve[int(len(curve) * _LAST) - 1] > _STILL_RISING


def _not_better(id: str, standings: Iterable[Standing]) -> Iterator[str]:
    """Cells whose interval of what they are better by holds zero."""
    for standing in standings:
        rows = ranked(standing.records)
        for record in rows:
            if is_control(record) or _is_baseline(record):
                continue
            if id == "control":
                others = [r for r in rows if is_control(r) and r.backbone == record.backbone]
            else:
                others = [r for r in rows if _is_baseline(r)]
            best = next(iter(others), None)
            if best is not None and standing.mean([record], [best]).low <= 0:
                yield str(record.cell)


def _is_baseline(record: Record) -> bool:
    return record.weights.kind == "none"
