"""The speed of a backbone on a machine, where rows measured it more than once."""

from __future__ import annotations

from collections.abc import Sequence

from bench.records.schema import Record, Throughput

# What a speed is of: task, backbone, kind and size of weights, machine, dtype and threads.
_Of = tuple[str, str, str, str, str, str, int]


def fastest(found: Sequence[Record]) -> list[Record]:
    """The same records, each with the fastest speed that its backbone was measured at.

    Rows share an extraction, and each extraction measures anew; what else ran on the machine then
    can only have slowed it. Of tuning, each record keeps its own times.
    """
    best: dict[_Of, Throughput] = {}
    for record in found:
        if record.throughput is not None:
            own, known = record.throughput, best.get(_of(record, record.throughput))
            if known is None or own.end_to_end_rtfx > known.end_to_end_rtfx:
                best[_of(record, own)] = own
    return [_with(record, best) for record in found]


def _of(record: Record, speed: Throughput) -> _Of:
    weights = record.weights
    of = (record.task, record.backbone, weights.kind, weights.size)
    return *of, speed.hardware, speed.dtype, speed.threads


def _with(record: Record, best: dict[_Of, Throughput]) -> Record:
    own = record.throughput
    if own is None:
        return record
    names = ("backbone_rtfx", "end_to_end_rtfx", "audio_seconds", "batch")
    measured = {name: getattr(best[_of(record, own)], name) for name in names}
    return record.model_copy(update={"throughput": own.model_copy(update=measured)})
