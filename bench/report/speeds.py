"""The speed of a backbone on a machine, where rows measured it more than once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.records.schema import Record, Throughput

# What a speed is of: task, backbone, kind and size of weights, machine, dtype and threads.
_Of = tuple[str, str, str, str, str, str, int]


def fastest(found: Sequence[Record]) -> list[Record]:
    """The same records, each with the fastest speed that its backbone was measured at.

    Rows share an extraction, and each extraction measures anew; what else ran on the machine then
    can only have slowed it. Of tuning, each record keeps its own times.
    """
    best = _best(found)
    return [_with(record, best) for record in found]


def minutes(rows: Iterable[Record], beside: Iterable[Record]) -> float | None:
    """Of computing per hour of audio, of each encoder of rows once.

    None across machines, and where an encoder was not measured by itself `beside` the rows.
    """
    own = [(record, record.throughput) for record in rows if record.throughput]
    if len({speed.hardware for _, speed in own}) != 1:
        return None
    best = _best(beside)
    parts: dict[str, Throughput | None] = {}
    for record, speed in own:
        parts |= dict(zip(record.encoders, _parts(record, speed, best), strict=True))
    known = [part for part in parts.values() if part is not None]
    return sum(60 / part.end_to_end_rtfx for part in known) if len(known) == len(parts) else None


def _parts(
    record: Record, speed: Throughput, best: Mapping[_Of, Throughput]
) -> list[Throughput | None]:
    """Of each encoder of a row by itself, on the same machine; None where it was not measured."""
    of = _of(record, speed)
    return [
        # a backbone without weights may be a part
        best.get((of[0], name, *of[2:])) or best.get((of[0], name, "none", *of[3:]))
        for name in record.encoders
    ]


def _best(found: Iterable[Record]) -> dict[_Of, Throughput]:
    best: dict[_Of, Throughput] = {}
    for record in found:
        if record.throughput is not None:
            own, known = record.throughput, best.get(_of(record, record.throughput))
            if known is None or own.end_to_end_rtfx > known.end_to_end_rtfx:
                best[_of(record, own)] = own
    return best


def _sum(parts: Sequence[Throughput]) -> dict[str, float]:
    """One after the other."""
    return {
        "backbone_rtfx": 1 / sum(1 / part.backbone_rtfx for part in parts),
        "end_to_end_rtfx": 1 / sum(1 / part.end_to_end_rtfx for part in parts),
        "audio_seconds": min(part.audio_seconds for part in parts),
        "batch": max(part.batch for part in parts),
    }


def _of(record: Record, speed: Throughput) -> _Of:
    weights = record.weights
    of = (record.task, record.backbone, weights.kind, weights.size)
    return *of, speed.hardware, speed.dtype, speed.threads


def _with(record: Record, best: Mapping[_Of, Throughput]) -> Record:
    own = record.throughput
    if own is None:
        return record
    parts = _parts(record, own, best) if record.fused else []
    known = [part for part in parts if part is not None]
    # a fusion is as fast as its backbones, where all were measured by themselves
    measured = _sum(known if known and len(known) == len(parts) else [best[_of(record, own)]])
    return record.model_copy(update={"throughput": own.model_copy(update=measured)})
