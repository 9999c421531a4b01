"""The speed of a backbone on a machine, where rows measured it more than once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from bench.records.schema import Record, Throughput

# What a speed is of: task, backbone, kind and size of weights, machine, dtype and threads.
_Of = tuple[str, str, str, str, str, str, int]


def fastest(found: Sequence[Record]) -> list[Record]:
    """The same records, each with the fastest speed that its backbone was measured at.

    Rows share an extraction, and each extraction measures anew; what else ran on the machine then
    can only have slowed it. Of tuning, each record keeps its own times.
    """
    best, machines = _best(found), _machines(found)
    return [_with(record, best, machines) for record in found]


def minutes(rows: Iterable[Record], beside: Iterable[Record]) -> float | None:
    """Of computing per hour of audio, of each encoder of rows once.

    None where no machine measured all of them by themselves, `beside` the rows.
    """
    own = [(record, record.throughput) for record in rows if record.throughput]
    known = list(beside)
    best = _best(known)
    for machine in dict.fromkeys([*(speed.hardware for _, speed in own), *_machines(known)]):
        parts: dict[str, Throughput | None] = {}
        for record, speed in own:
            measured = _parts(record, speed, best, machine)
            parts |= dict(zip(record.encoders, measured, strict=True))
        found = [part for part in parts.values() if part is not None]
        if found and len(found) == len(parts):
            return sum(60 / part.end_to_end_rtfx for part in found)
    return None


def _machines(found: Iterable[Record]) -> list[str]:
    """Those that encoded, the one of most rows first."""
    counts = Counter(record.throughput.hardware for record in found if record.throughput)
    return sorted(counts, key=lambda name: (-counts[name], name))


def _parts(
    record: Record, speed: Throughput, best: Mapping[_Of, Throughput], machine: str
) -> list[Throughput | None]:
    """Of each encoder of a row by itself, on a machine; None where it was not measured there."""
    task, _, kind, size, _, dtype, threads = _of(record, speed)
    of = (size, machine, dtype, threads)
    return [
        # a backbone without weights may be a part
        best.get((task, name, kind, *of)) or best.get((task, name, "none", *of))
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


def _sum(parts: Sequence[Throughput]) -> dict[str, float | str]:
    """One after the other."""
    if len(parts) == 1:
        names = ("backbone_rtfx", "end_to_end_rtfx", "audio_seconds", "batch")
        return {name: getattr(parts[0], name) for name in names}
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


def _with(record: Record, best: Mapping[_Of, Throughput], machines: Sequence[str]) -> Record:
    own = record.throughput
    if own is None:
        return record
    measured = _sum([best[_of(record, own)]])
    if record.fused:
        measured = _of_parts(record, own, best, machines) or measured
    return record.model_copy(update={"throughput": own.model_copy(update=measured)})


def _of_parts(
    record: Record, own: Throughput, best: Mapping[_Of, Throughput], machines: Sequence[str]
) -> dict[str, float | str] | None:
    """A fusion is as fast as its backbones, where a machine measured all of them by themselves.

    That is the machine it ran on, or else another.
    """
    for machine in dict.fromkeys([own.hardware, *machines]):
        parts = _parts(record, own, best, machine)
        known = [part for part in parts if part is not None]
        if len(known) == len(parts):
            return _sum(known) | {"hardware": machine}
    return None
