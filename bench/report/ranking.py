"""Records → tables of one task and protocol: who ranks where, and what stands for a backbone."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from bench.protocols.table import PROTOCOLS
from bench.records.store import Record, Scores
from bench.report.markdown import DASH, decimal, folded, percent, plural, table
from bench.tasks import TASKS, find

LONG = 20
TOP = 10

_COLUMNS = (
    "#>",
    "backbone",
    "pooling",
    "head",
    "macro-F1 %>",
    "accuracy %>",
    "UAR %>",
    "layer",
    "weights",
    "encoder RTFx>",
    "params M>",
    "trials per fold>",
)


def scores(record: Record) -> Scores:
    """Scores of a record of status ok.

    Raises:
        ValueError: it has none.
    """
    if record.scores is None:
        raise ValueError(f"{record.cell} has no scores: it is {record.status}")
    return record.scores


def finished(found: Iterable[Record]) -> list[Record]:
    """Records that hold scores."""
    return [r for r in found if r.status == "ok" and r.scores is not None]


def is_control(record: Record) -> bool:
    """Whether random weights stand in for pretrained ones; the sample tasks know no others."""
    return record.control is not None or (
        record.weights.kind == "random-init" and not record.sample
    )


def ranked(found: Iterable[Record]) -> list[Record]:
    """By macro-F1 on test, best first; equal ones by name."""
    return sorted(found, key=lambda r: (-scores(r).macro_f1, str(r.cell)))


def validation_f1(record: Record) -> float:
    """Mean validation macro-F1 of the tuned head over the folds."""
    return statistics.fmean(fold.val_macro_f1 for fold in record.folds) if record.folds else 0.0


def chosen(found: Iterable[Record]) -> dict[str, Record]:
    """One record per backbone, best first by test score.

    Pooling and head are chosen by validation score: the best of many test scores would flatter a
    backbone that got lucky once.
    """
    best: dict[str, Record] = {}
    for record in sorted(found, key=lambda r: (-validation_f1(r), str(r.cell))):
        best.setdefault(record.backbone, record)
    return {record.backbone: record for record in ranked(best.values())}


def protocol_order(name: str) -> tuple[bool, int, str]:
    """Sort key: grouped protocols first, then in the order of the code."""
    known = list(PROTOCOLS)
    return not grouped(name), known.index(name) if name in known else len(known), name


def grouped(protocol: str) -> bool:
    """Whether a protocol is known to keep groups on one side."""
    return protocol in PROTOCOLS and PROTOCOLS[protocol].grouped


def leaks(protocol: str) -> bool:
    """Whether a protocol is known to put clips of one group on both sides."""
    return protocol in PROTOCOLS and not PROTOCOLS[protocol].grouped


def sizes_the_leak(protocol: str) -> bool:
    """Whether a protocol differs from grouped ones by its leak and not by its number of clips."""
    return leaks(protocol) and not PROTOCOLS[protocol].draws


def groups(task: str) -> str:
    """What a task's clips are grouped by, such as `speakers`; `groups` where it is not known."""
    return f"{find(task).group}s" if task in TASKS.names() else "groups"


def machines(found: Iterable[Record]) -> dict[str, str]:
    """A letter for each machine that encoded, in order of name."""
    names = sorted({r.throughput.hardware for r in found if r.throughput})
    return {name: _letter(position) for position, name in enumerate(names)}


def _letter(position: int) -> str:
    return chr(ord("A") + position) if position < 26 else str(position + 1)


def ranking(found: Sequence[Record], letters: dict[str, str]) -> str:
    """The table of one task, protocol and kind of row; long ones show their top first.

    Args:
        found: records with scores.
        letters: from `machines`; speeds carry the letter where there are several.
    """
    rows = [row(place, record, letters) for place, record in enumerate(ranked(found), start=1)]
    if len(rows) <= LONG:
        return table(_COLUMNS, rows)
    whole = folded(f"All {len(rows)} rows", table(_COLUMNS, rows))
    return f"The first {TOP} of {len(rows)}:\n\n{table(_COLUMNS, rows[:TOP])}\n\n{whole}"


def row(place: int, record: Record, letters: dict[str, str]) -> list[str]:
    """One row of a ranking, in the order of its columns."""
    own = scores(record)
    return [
        str(place),
        record.backbone,
        record.pooling,
        record.head,
        percent(own.macro_f1),
        percent(own.accuracy),
        percent(own.uar),
        layer(record),
        weights(record),
        speed(record, letters),
        millions(record.parameters),
        trials(record),
    ]


def layer(record: Record) -> str:
    """Layers chosen over the folds, such as `5 (4–7) of 0–12`.

    Folds that learnt a weighted sum of layers are counted apart, as in
    `weighted in 4 of 6 folds, else 3 (2–5) of 0–6`.
    """
    folds = len(record.folds)
    picked = [fold.layer for fold in record.folds if fold.layer != "weighted"]
    if not folds or record.layers == 1:
        return DASH
    span = f" of 0–{record.layers - 1}" if record.layers else ""
    if not picked:
        return f"weighted{span}"
    text = f"{median_and_range(picked)}{span}"
    weighted = folds - len(picked)
    return f"weighted in {weighted} of {folds} folds, else {text}" if weighted else text


def median_and_range(values: Sequence[int]) -> str:
    """The median and, where they differ, the smallest and largest, such as `5 (4–7)`."""
    text = f"{statistics.median(values):g}"
    return text if min(values) == max(values) else f"{text} ({min(values)}–{max(values)})"


def weights(record: Record) -> str:
    """Kind of weights, `small` where the network was shrunk for a sample task."""
    if record.weights.kind == "none":
        return "none needed"
    small = ", small" if record.weights.size == "small" else ""
    return record.weights.kind + small


def speed(record: Record, letters: dict[str, str]) -> str:
    """Encoder RTFx, with the machine's letter where there are several."""
    if record.throughput is None:
        return DASH
    mark = f" {letters[record.throughput.hardware]}" if len(letters) > 1 else ""
    return decimal(record.throughput.backbone_rtfx) + mark


def millions(parameters: int | None) -> str:
    """Parameters in millions."""
    if parameters is None:
        return DASH
    return "0" if parameters == 0 else f"{parameters / 1e6:.1f}"


def trials(record: Record) -> str:
    """Trials per fold, and how many were stopped early or failed over all folds."""
    counts = {
        "pruned": sum(fold.trials.pruned for fold in record.folds),
        "failed": sum(fold.trials.failed for fold in record.folds),
    }
    apart = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return f"{record.trials} ({apart})" if apart else str(record.trials)


def majority(found: Sequence[Record]) -> str:
    """What always answering the largest class scores on the clips tested."""
    tested = {tuple(map(sum, scores(r).confusion)) for r in found}
    lines = [_majority(counts) for counts in sorted(tested)]
    if len(lines) == 1:
        return f"Always answering the largest class gives {lines[0]}."
    return (
        "**These rows were tested on different clips and are not comparable.** Always answering "
        "the largest class gives " + "; or ".join(lines) + "."
    )


def largest_share(record: Record) -> float | None:
    """Accuracy of always answering the largest class of the clips tested; None without any."""
    counts = tuple(map(sum, scores(record).confusion))
    return _largest(counts) if sum(counts) else None


def _largest(counts: tuple[int, ...]) -> float:
    return max(counts) / sum(counts)


def _majority(counts: tuple[int, ...]) -> str:
    total, present = sum(counts), sum(1 for count in counts if count)
    if total == 0:
        return "nothing: no clip was tested"
    share = _largest(counts)
    f1 = 2 * share / (1 + share) / len(counts)
    return (
        f"macro-F1 {percent(f1)} %, accuracy {percent(share)} % and UAR {percent(1 / present)} % "
        f"({plural(total, 'clip')} tested)"
    )


def budgets(found: Sequence[Record]) -> str | None:
    """A warning where rows of one table had different numbers of trials."""
    counts = sorted({record.trials for record in found})
    if len(counts) == 1:
        return None
    listed = ", ".join(map(str, counts[:-1])) + f" and {counts[-1]}"
    return (
        f"**Unequal budgets:** rows had {listed} trials per fold. More trials find better "
        "parameters, so only rows with the same number compare."
    )
