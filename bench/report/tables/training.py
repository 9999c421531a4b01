"""Heads that were trained epoch by epoch: what was trained, for how long, and how it went."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from bench.planning.estimate import duration
from bench.records.schema import FoldRecord, Record, TrainingRecord
from bench.report.markdown import DASH, escape, percent, table
from bench.report.ranking import is_control, median_and_range, ranked, scores

_COLUMNS = (
    "backbone",
    "pooling",
    "head",
    "macro-F1 %>",
    "what was trained, in folds",
    "epochs at best>",
    "precision",
    "frozen part",
    "augmentation",
    "at most",
    "device",
    "tuning time>",
)

ABOUT = (
    "Heads that read frames or train the backbone. **Epochs at best**: after how many the best "
    "trial's weights were kept, median and range over the folds; the refit trains as long. "
    "**Frozen part**: `cached` where its output was computed once per clip and kept in half "
    "precision, `live` where every epoch ran it again. **At most**: how much of the beginning of "
    "a clip was used. **Tuning time** is of all trials and refits."
)


def trained(found: Sequence[Record]) -> str | None:
    """One row per finished cell of one task and protocol that was trained epoch by epoch.

    Returns:
        The table, then the hardware and what happened in single folds; None without such cells.
    """
    rows = [
        _row(record, record.training) for record in ranked(found) if record.training is not None
    ]
    if not rows:
        return None
    machines = sorted({r.throughput.tuning_hardware for r in found if r.training and r.throughput})
    lines = [f"- trained on: {escape('; '.join(machines))}", *_notes(ranked(found))]
    return table(_COLUMNS, rows) + "\n\n" + "\n".join(lines)


def _row(record: Record, training: TrainingRecord) -> list[str]:
    throughput = record.throughput
    return [
        f"{record.backbone}, random weights" if is_control(record) else record.backbone,
        record.pooling,
        record.head,
        percent(scores(record).macro_f1),
        parts(record),
        epochs(record) or DASH,
        ", ".join(training.precision) or DASH,
        "cached and live" if training.frozen_part == "both" else training.frozen_part,
        _settings(training.augmentation),
        "all" if training.crop_seconds is None else f"{training.crop_seconds:g} s",
        training.device,
        duration(throughput.tuning_seconds) if throughput else DASH,
    ]


def parts(record: Record) -> str:
    """What the best trial of each fold trained, such as `the last block (4), all but … (2)`."""
    counts = Counter(_part(record, fold) for fold in record.folds)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(
        f"{part} ({count})"
        for part, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def _part(record: Record, fold: FoldRecord) -> str:
    kind, blocks = _scope(fold.best_params)
    if blocks is not None and isinstance(fold.layer, int):
        blocks = min(blocks, fold.layer)  # there are no more below the cut
    which = {None: "all blocks", 1: "the last block"}.get(blocks, f"the last {blocks} blocks")
    known = {
        "all": "all but the feature encoder",
        "classifier": "the classifier alone",
        "blocks": which,
        "lora": f"LoRA of rank {fold.best_params.get('lora_rank')} on {which}",
        None: f"{record.pooling} pooling and classifier",
    }
    return known.get(kind, str(kind))


def _scope(chosen: Mapping[str, float | int | str | bool | None]) -> tuple[str | None, int | None]:
    """What of the backbone was trained, and how many blocks; None for nothing or all of them.

    A search draws it as one name, `scope`, such as `top-2`; a recipe gives `trained` and `blocks`.
    """
    if "scope" in chosen:
        scope, _, number = str(chosen["scope"]).partition("-")
        return ("blocks" if scope == "top" else scope), int(number) if number.isdigit() else None
    kind, count = chosen.get("trained"), chosen.get("blocks")
    return None if kind is None else str(kind), None if count is None else int(count)


def epochs(record: Record) -> str | None:
    """Epochs up to the best one, counted from 1, over the folds; None where none is known."""
    counted = [fold.best_epoch + 1 for fold in record.folds if fold.best_epoch is not None]
    return median_and_range(counted) if counted else None


def _settings(augmentation: Mapping[str, object] | None) -> str:
    if augmentation is None:
        return "no"
    if not augmentation:
        return "yes"
    return "yes: " + ", ".join(f"{name} {value}" for name, value in augmentation.items())


def _notes(found: Sequence[Record]) -> list[str]:
    """Notes of folds, each once per cell with the folds it is of."""
    lines = []
    for record in found:
        numbers: dict[str, list[int]] = defaultdict(list)
        for number, fold in enumerate(record.folds, start=1):
            for note in fold.notes:
                numbers[note].append(number)
        for note, folds in numbers.items():
            where = f"fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))}"
            row = f"{record.backbone}, {record.pooling}, {record.head}"
            lines.append(f"- {escape(f'{row}, {where}: {note}')}")
    return lines
