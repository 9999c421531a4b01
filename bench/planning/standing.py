"""What stands at the address of a wanted cell: whether it is what is wanted, and what differs."""

from __future__ import annotations

import os

from bench.config.grid import Cell
from bench.config.spec import RunSpec
from bench.files import unlinked
from bench.planning.plan import Finished, FoldedTask, Held, ReadyBackbone, ReadyFusion
from bench.records import store as records
from bench.records.proof import flaw
from bench.records.schema import Record
from bench.records.store import Unreadable


def standing(
    cell: Cell,
    fingerprint: str,
    wanted: tuple[int, int],
    folded: FoldedTask,
    spec: RunSpec,
    backbone: ReadyBackbone | ReadyFusion,
) -> Finished | Held | str:
    """What a run that wants a cell finds at its address; a record of more will do.

    What is wanted are trials per fold, and seeds of each refit.

    It is `Finished` where nothing would change, `Held` where a result lies there that was made
    otherwise, or a file that may hold one; else why its result is made again, if there is one.

    Raises:
        StorageError: a link lies on the way to the address.
    """
    trials, seeds = wanted
    path = records.record_path(spec.results, cell)
    unlinked(path.parent, spec.results)  # before anything is computed that could not be stored
    stored = records.read(path) if os.path.lexists(path) else None
    if isinstance(stored, Unreadable):
        return Held(cell, f"its record {stored}")
    if stored is None or stored.status != "ok":
        return ""
    if stored.provenance.fingerprint != fingerprint:
        return Held(cell, f"its record has {_differences(stored, trials, folded, spec, backbone)}")
    if stored.trials < trials:
        return f"its record has {stored.trials} trials per fold, and {trials} are wanted"
    if (had := max(1, len(stored.seeds))) < seeds:
        return f"its refits have {had} of {seeds} seeds"
    return flaw(spec.results, stored) or Finished(cell)


def _differences(
    record: Record,
    trials: int,
    folded: FoldedTask,
    spec: RunSpec,
    backbone: ReadyBackbone | ReadyFusion,
) -> str:
    """What a record tells that differs today; what either side does not know is not told."""
    had, today = record.weights, backbone.weights
    known: dict[str, tuple[object, object]] = {
        "seed": (record.seed, spec.seed),
        "trials": (record.trials, trials),
        "data of state": (record.data and record.data[:8], folded.data[:8]),
        "clips": (record.clips, len(folded.clips)),
        "classes": (", ".join(record.labels), ", ".join(folded.task.labels)),
        "dtype": (record.throughput and record.throughput.dtype, backbone.dtype),
        "weights": (had.kind, today.kind),
        "weights of commit": (had.commit, today.commit),
        "weights with sha256": (had.sha and had.sha[:8], today.sha and today.sha[:8]),
    }
    differ = {k: (a, b) for k, (a, b) in known.items() if None not in (a, b) and a != b}
    told = [f"{name} {before} (wanted: {now})" for name, (before, now) in differ.items()]
    if differ.keys() <= {"trials"}:
        same = record.provenance.feature_key == backbone.feature_key
        features = "features of another device, or another version of backbone, torch or decoding"
        other = "other clips, labels, folds or settings, or another version of head or tuning"
        told.append(other if same else features)
    return ", ".join(told)
