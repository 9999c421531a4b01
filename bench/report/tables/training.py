"""Heads that were trained epoch by epoch: what was trained, for how long, and how it went."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from bench.progress import duration
from bench.records.schema import Record, TrainingRecord
from bench.report.markdown import escape
from bench.report.page import Block, Bullets, Table
from bench.report.select import is_control, ranked
from bench.report.values import DASH, median_and_range, scored

ABOUT = (
    "Heads that read frames or train the backbone. **Epochs at best**: after how many the best "
    "trial's weights were kept, median and range over the folds; the refit trains as long. "
    "**Frozen part**: `cached` where its output was computed once per clip and kept in half "
    "precision, `live` where every epoch ran it again. **At most**: how much of the beginning of "
    "a clip was used. **Tuning time** is of all trials and refits."
)


def trained(found: Sequence[Record]) -> list[Block]:
    """One row per cell, then the hardware and what happened in single folds.

    The records are finished ones of one task and protocol that were trained epoch by epoch.
    """
    rows = [_row(record, record.training) for record in ranked(found) if record.training]
    machines = sorted({r.throughput.tuning_hardware for r in found if r.throughput})
    lines = [f"trained on: {escape('; '.join(machines))}", *_notes(ranked(found))]
    return [Table(list(rows[0]), [list(row.values()) for row in rows]), Bullets(lines)]


def _row(record: Record, training: TrainingRecord) -> dict[str, str]:
    """Cells by their columns."""
    throughput, crop = record.throughput, training.crop_seconds
    live = "cached and live" if training.frozen_part == "both" else training.frozen_part
    return {
        "backbone": f"{record.backbone}{', random weights' if is_control(record) else ''}",
        "pooling": record.pooling,
        "head": record.head,
        "macro-F1 %>": scored(record, "macro_f1"),
        "what was trained, in folds": parts(record) or DASH,
        "epochs at best>": epochs(record) or DASH,
        "precision": ", ".join(training.precision) or DASH,
        "frozen part": live,
        "augmentation": _settings(training.augmentation),
        "at most": "all" if crop is None else f"{crop:g} s",
        "device": training.device,
        "tuning time>": duration(throughput.tuning_seconds) if throughput else DASH,
    }


def parts(record: Record) -> str | None:
    """What the best trial of each fold trained, such as `the last block (4), all but … (2)`."""
    counts = Counter(fold.trained for fold in record.folds if fold.trained)
    if len(counts) <= 1:
        return next(iter(counts), None)
    return ", ".join(
        f"{part} ({count})"
        for part, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


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
            lines.append(escape(f"{row}, {where}: {note}"))
    return lines
