"""The rows that the figures of a ranking show, and the sign that a backbone has in all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.records.schema import Record
from bench.report import chance
from bench.report.figures import canvases
from bench.report.placing import Place
from bench.report.select import by_protocol, finished, is_control, leaks, ranked

RANDOM, NONE = "random weights", "no weights"
# As the CSV has them; further digits may be another machine's.
_DIGITS = 4
# Letters of a name. What addresses end with tells them apart.
_LONGEST = 26
# Their numbers have no common factor, so that each of the first 72 backbones is its own.
_MARKERS = "osD^vPX>"
_COLOURS = (0, 1, 2, 4, 3, 9, 5, 6, 8)  # not the grey one, which controls have


@dataclass(frozen=True)
class Row:
    """A row with its interval, in shares.

    Attributes:
        remark: what its weights are, where they are not pretrained.
        last: last place of the rows that share its rank, if that is the first rank.
    """

    backbone: str
    pooling: str
    head: str
    remark: str
    score: float
    low: float
    high: float
    last: int | None

    @classmethod
    def of(cls, record: Record, place: Place) -> Row:
        """The row of a record that has an interval."""
        own, ranks = place.macro_f1, place.ranks
        remark = NONE if record.weights.kind == "none" else ""
        return cls(
            record.backbone,
            record.pooling,
            record.head,
            RANDOM if is_control(record) else remark,
            round(own.score, _DIGITS),
            round(own.low, _DIGITS),
            round(own.high, _DIGITS),
            ranks[1] if ranks and ranks[0] == 1 else None,
        )


def compared(found: Iterable[Record], placed: Mapping[str, Place]) -> list[Record]:
    """Rows with intervals under the first protocol of a real task that does not leak, best first.

    Of rows tested on different clips, which do not compare, those tested on the same as most.
    """
    rows = [r for r in finished(found) if not r.sample and r.preset is None]
    fair = next((own for own in by_protocol(rows).values() if not leaks(own)), [])
    own = [r for r in ranked(fair) if str(r.cell) in placed]
    (most, _), *_ = Counter(map(chance.tested, own)).most_common(1) or [((), 0)]
    return [r for r in own if chance.tested(r) == most]


def backbones(own: Iterable[Record]) -> tuple[str, ...]:
    """The names of those that have a row which is no control."""
    return tuple(sorted({r.backbone for r in own if not is_control(r)}))


@dataclass(frozen=True)
class Sign:
    """How points of a backbone look: no two by their colour alone."""

    colour: Any
    marker: str


def signs(backbones: Sequence[str]) -> dict[str, Sign]:
    """The sign of each backbone, by its place among all that are compared."""
    import seaborn as sns

    palette = sns.color_palette("colorblind", 10)
    return {
        backbone: Sign(palette[_COLOURS[i % len(_COLOURS)]], _MARKERS[i % len(_MARKERS)])
        for i, backbone in enumerate(backbones)
    }


def name(*parts: str) -> str:
    """Names of backbone, pooling or head as a label, each of which is cut where it is long."""
    return ", ".join(map(_short, map(canvases.words, parts)))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:8]}…{text[9 - _LONGEST :]}"
