"""What stands at the address of a wanted cell: whether it is what is wanted, and what differs."""

from __future__ import annotations

from pathlib import Path

from bench.config.grid import Cell
from bench.config.spec import RunSpec
from bench.features.key import FeatureSettings
from bench.planning.plan import Finished, FoldedTask, Held
from bench.records import store as records
from bench.records.schema import Record
from bench.records.store import Unreadable

Facts = dict[str, object]


def standing(
    results: Path, cell: Cell, fingerprint: str, trials: int, wanted: Facts
) -> Finished | Held | str:
    """What a run that wants a cell finds at its address.

    `fingerprint` is of all that decides its scores today, `wanted` what of it a record would tell
    (see `facts`); a record of more `trials` per fold is finished too.

    Returns:
        `Finished` where nothing would change; `Held` where a result lies there that was made
        otherwise, or a file that may hold one; else why its result is made again, empty where
        there is none.
    """
    path = records.record_path(results, cell)
    stored = records.read(path) if path.exists() else None
    if isinstance(stored, Unreadable):
        return Held(cell, f"its record {stored}")
    if stored is None or stored.status != "ok":
        return ""
    if stored.provenance.fingerprint != fingerprint:
        return Held(cell, f"its record has {_differences(stored, wanted | {'trials': trials})}")
    if stored.trials < trials:
        return f"its record has {stored.trials} trials per fold, and {trials} are wanted"
    return records.flaw(results, stored) or Finished(cell)


def facts(folded: FoldedTask, spec: RunSpec, settings: FeatureSettings) -> Facts:
    """What decides scores and stands in a record, by the words for people."""
    weights, labels = settings.weights, folded.task.labels
    return {
        "seed": spec.seed,
        "clips": len(folded.clips),
        "classes": ", ".join(labels),
        "dtype": settings.dtype,
        "weights": weights.kind,
        "weights of commit": weights.commit,
        "weights with sha256": weights.sha and weights.sha[:8],
        "features": settings.key,
    }


def _differences(record: Record, wanted: Facts) -> str:
    """What a record says that differs; what either does not say is not told."""
    weights = record.weights
    had: Facts = {
        "seed": record.seed,
        "trials": record.trials,
        "clips": record.clips,
        "classes": ", ".join(record.labels),
        "dtype": record.throughput and record.throughput.dtype,
        "weights": weights.kind,
        "weights of commit": weights.commit,
        "weights with sha256": weights.sha and weights.sha[:8],
        "features": record.provenance.feature_key,
    }
    differ = [n for n in had if None not in (had[n], wanted[n]) and had[n] != wanted[n]]
    told = [f"{n} {had[n]} (wanted: {wanted[n]})" for n in differ if n != "features"]
    if set(differ) <= {"trials"}:
        told.append("other clips, labels, folds or settings, or a version of head or tuning")
    elif set(differ) <= {"trials", "features"}:
        told.append("features of another device, or another version of backbone, torch or decoding")
    return ", ".join(told)
