"""What backbone, pooling, head and layer each change, all else alike."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.records.schema import Record
from bench.report.placing import Standing
from bench.report.select import is_control
from bench.report.statistics import Interval

_FACTORS: Mapping[str, Callable[[Record], str]] = {
    "backbone": lambda record: record.backbone,
    "pooling": lambda record: record.pooling,
    "head": lambda record: record.head,
}
# A value with fewer rows than this share of the commonest one's would leave few rows to compare.
_COMMON = 0.5


@dataclass(frozen=True)
class Effect:
    """The mean of rows that share one value of a factor.

    Attributes:
        factor: `backbone`, `pooling` or `head`.
        value: of it.
        rows: how many there are; of every value of the factor the same, but for it.
        macro_f1: their mean.
        behind: what it is lower by than that of the factor's best value; None of the best.
    """

    factor: str
    value: str
    rows: int
    macro_f1: Interval
    behind: Interval | None


@dataclass(frozen=True)
class LayerCurve:
    """What each layer of a backbone gives on inner folds.

    Attributes:
        backbone: whose layers.
        macro_f1: by layer, from layer 0; the mean over `rows` and their folds.
        rows: how many rows searched every layer.
    """

    backbone: str
    macro_f1: tuple[float, ...]
    rows: int


def effects(standing: Standing) -> list[Effect]:
    """Marginal means of each factor, the highest first.

    Rows are compared whose other two values occur with every value of the factor, so that a value
    is not better for the company it was tried in. Controls and fusions take no part, and a factor
    with one value has no effect.
    """
    rows = [record for record in standing.records if not is_control(record) and not record.fused]
    found: list[Effect] = []
    for factor, value in _FACTORS.items():
        others = [read for name, read in _FACTORS.items() if name != factor]
        groups = _balanced(rows, value, others)
        means = {name: standing.mean(own) for name, own in groups.items()}
        ordered = sorted(means, key=lambda name: -means[name].score)
        for name in ordered:
            best, own = groups[ordered[0]], groups[name]
            behind = standing.mean(best, own) if name != ordered[0] else None
            found.append(Effect(factor, name, len(own), means[name], behind))
    return found


def _balanced(
    rows: Sequence[Record],
    value: Callable[[Record], str],
    others: Sequence[Callable[[Record], str]],
) -> Mapping[str, list[Record]]:
    """Rows by value of a factor, those with company that every common value has."""
    counts = Counter(map(value, rows))
    most = max(counts.values(), default=0)
    common = {name for name, count in counts.items() if count >= _COMMON * most}
    by_company: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for row in rows:
        if value(row) in common:
            by_company[tuple(read(row) for read in others)].append(row)
    groups: dict[str, list[Record]] = defaultdict(list)
    for company in by_company.values():
        if len(company) == len(common) > 1:
            for row in company:
                groups[value(row)].append(row)
    return groups


def layer_curves(found: Iterable[Record]) -> list[LayerCurve]:
    """One curve per backbone of several layers, of rows whose search tried every layer.

    The records are of one task and protocol. Test clips have no part in it.
    """
    by_backbone: dict[str, list[list[float]]] = defaultdict(list)
    for record in found:
        curves = [fold.tried.by_layer for fold in record.folds if fold.tried]
        whole = curves and all(len(curve) == record.layers for curve in curves)
        if whole and len(curves[0]) > 1 and not is_control(record):
            by_backbone[record.backbone].append([fmean(own) for own in zip(*curves, strict=True)])
    return [
        LayerCurve(name, tuple(fmean(own) for own in zip(*curves, strict=True)), len(curves))
        for name, curves in sorted(by_backbone.items())
    ]
