"""Values as the report writes them: short, and a dash where nothing is known."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

from bench.records.schema import Record
from bench.report.statistics import Interval

DASH = "–"


def percent(value: float | None) -> str:
    """A share in percent with one decimal."""
    return DASH if value is None else f"{100 * value:.1f}"


def interval(found: Interval) -> str:
    """A score in percent within its bounds, such as `71.8 (67.9–75.4)`."""
    return f"{percent(found.score)} ({percent(found.low)}–{percent(found.high)})"


def scored(record: Record, score: Literal["macro_f1", "accuracy"]) -> str:
    """A test score in percent, with how it varies where that is known.

    Of repeated splits that is their deviation, such as `88.1 ± 1.9`; of several seeds their range,
    such as `71.4 (70.9–71.9)`.
    """
    text = percent(getattr(record.scored, score))
    if record.seeds and not record.folding.repeats:
        each = [getattr(seed, score) for seed in record.seeds]
        return f"{text} ({percent(min(each))}–{percent(max(each))})"
    if not record.folding.repeats or len(record.folds) < 2:
        return text
    spread = statistics.stdev(getattr(fold, f"test_{score}") for fold in record.folds)
    return f"{text} ± {percent(spread)}"


def points(value: float) -> str:
    """A difference of two shares in percentage points, with its sign."""
    return f"{100 * value:+.1f}"


def decimal(value: float | None) -> str:
    """A number with one decimal."""
    return DASH if value is None else f"{value:.1f}"


def plural(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def median_and_range(values: Sequence[int]) -> str:
    """The median and, where they differ, the smallest and largest, such as `5 (4–7)`."""
    text = f"{statistics.median(values):g}"
    return text if min(values) == max(values) else f"{text} ({min(values)}–{max(values)})"


def layer(record: Record) -> str:
    """Layers chosen over the folds, such as `5 (4–7) of 0–12`; `5 + 3 (2–3)` of a fusion's parts.

    Folds that learnt a weighted sum of layers are counted apart, as in
    `weighted in 4 of 6 folds, else 3 (2–5) of 0–6`.
    """
    folds = len(record.folds)
    if not folds or record.layers == 1:
        return DASH
    joined = [fold.layer for fold in record.folds if isinstance(fold.layer, list)]
    if joined:
        return " + ".join(map(median_and_range, zip(*joined, strict=True)))
    picked = [fold.layer for fold in record.folds if isinstance(fold.layer, int)]
    span = f" of 0–{record.layers - 1}" if record.layers else ""
    if not picked:
        return f"weighted{span}"
    text = f"{median_and_range(picked)}{span}"
    weighted = folds - len(picked)
    return f"weighted in {weighted} of {folds} folds, else {text}" if weighted else text


def weights(record: Record) -> str:
    """Kind of weights, `small` where the network was shrunk for a sample task."""
    if record.weights.kind == "none":
        return "none needed"
    small = ", small" if record.weights.size == "small" else ""
    return record.weights.kind + small


def minutes(record: Record, letters: Mapping[str, str]) -> str:
    """Minutes that an hour of audio takes, decoding included, with the machine's letter."""
    if record.throughput is None or not record.throughput.end_to_end_rtfx:
        return DASH
    mark = f" {letters[record.throughput.hardware]}" if len(letters) > 1 else ""
    return decimal(60 / record.throughput.end_to_end_rtfx) + mark


def millions(parameters: int | None) -> str:
    """Parameters in millions."""
    if parameters is None:
        return DASH
    return "0" if parameters == 0 else f"{parameters / 1e6:.1f}"


def use(record: Record) -> str | None:
    """What fits a row on all clips and writes what predicts; None of a row that cannot be."""
    if record.control or record.preset:
        return None
    cell = "/".join((record.backbone, record.pooling, record.head))
    named = ["--protocol", record.protocol, "--cell", cell]
    return shlex.join(["voxgrid", "train", record.task, *named, "-o", "model"])


def command(record: Record) -> str:
    """What runs the cell of a record again."""
    named = {
        "--task": None if record.own else record.task,
        "--protocol": record.protocol,
        "--backbone": record.backbone,
        "--pooling": record.pooling,
        "--head": record.head,
        "--control": record.control,
        "--preset": record.preset,
    }
    words = [word for name, value in named.items() if value for word in (name, value)]
    return shlex.join(["voxgrid", "run", *(record.own or ()), *words])
