"""What the page to explore knows, as JSON: tables, rows with their details, clips, draws.

Its scripts show what is here and compute two things themselves: the difference of two rows with
its interval, from the draws of groups that every interval comes from, and what is on screen.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.printable import printable_lines
from bench.records.schema import FoldRecord, Record
from bench.report import chance, listing
from bench.report.advisories import KINDS
from bench.report.beside import Beside
from bench.report.calibration import Calibrated
from bench.report.effects import layer_curves
from bench.report.select import is_control, leaks
from bench.report.statistics import FEWEST_GROUPS, RESAMPLES, draws, tails
from bench.report.stored import Said, Stored, stored
from bench.report.tables.ranking import ranks, remarks
from bench.report.values import DASH, command, interval, minutes, percent, use

# Clips that a row got wrong with the most confidence.
_WRONG = 10
_DIGITS = 4
# How columns of shares begin.
_SHARES = ("macro_f1", "accuracy", "uar", "validation_macro_f1")
# A class by its number, from this character on.
_FIRST = 0x30


def document(
    results: Path,
    listed: Sequence[tuple[Record, Mapping[str, Any]]],
    beside: Beside,
) -> dict[str, Any]:
    """All that the page shows of some rows.

    Args:
        results: folder of the records, for predictions of generated clips.
        listed: what `listing.rows` gives.
        beside: what rows are read beside.
    """
    said: dict[str, list[list[str]]] = {}
    for advisories in beside.advisories.values():
        for advisory in advisories:
            if advisory.cell is not None:
                said.setdefault(advisory.cell, []).append([advisory.id, advisory.detail])
    by_table: dict[str, list[Record]] = {}
    for record, _ in listed:
        by_table.setdefault(_table(record), []).append(record)
    standing = {
        cell: text
        for own in by_table.values()
        for cell, text in ranks([r for r in own if r.preset is None], beside).items()
    }
    clips = _Clips()
    unread = [record for record, _ in listed if record.sample]
    read = {**beside.stored, **stored(results, unread)}
    lines = listing.lines([values for _, values in listed])
    rows = [
        {
            **_shown(_row(record, values, standing.get(str(record.cell), DASH), beside)),
            "line": line,
            "table": _table(record),
            "advisories": _shown(said.get(str(record.cell), [])),
            **clips.of(read.get(str(record.cell))),
        }
        for (record, values), line in zip(listed, lines[1:], strict=True)
    ]
    groups = {n for each in clips.lists if (n := len(each["groupNames"])) >= FEWEST_GROUPS}
    return {
        "titles": lines[0] if lines else "",
        "tables": {name: _shown(_about(rows)) for name, rows in by_table.items()},
        "rows": rows,
        "clips": clips.lists,
        "first": _FIRST,
        "advisories": {id: [kind.what, kind.do] for id, kind in KINDS.items()},
        "draws": {str(n): _draws(n) for n in sorted(groups)},
    }


def _draws(groups: int) -> dict[str, Any]:
    """How often each group is drawn, a byte each, and which percentiles bound an interval."""
    drawn = draws(groups, RESAMPLES).astype(np.uint8)
    return {
        "number": RESAMPLES,
        "counts": b64encode(drawn.tobytes()).decode(),
        "tails": tails(groups),
    }


def _shown(value: Any) -> Any:
    """The same with all texts as they may be shown."""
    match value:
        case str():
            return printable_lines(value)
        case dict():
            return {_shown(key): _shown(each) for key, each in value.items()}
        case list():
            return list(map(_shown, value))
    return value


def _table(record: Record) -> str:
    return f"{record.task}, {record.protocol}"


def _about(rows: Sequence[Record]) -> dict[str, Any]:
    """What all rows of a table share; they are of one task and protocol."""
    return {
        "task": rows[0].task,
        "protocol": rows[0].protocol,
        "leaks": leaks(rows),
        "group": rows[0].group,
        "chance": _chance(rows[0]),
        "layers": [
            {"backbone": curve.backbone, "macro_f1": _rounded(curve.macro_f1)}
            for curve in layer_curves(rows)
        ],
    }


def _chance(record: Record) -> float | None:
    """macro-F1 of always answering the largest class."""
    counts = chance.tested(record)
    return chance.macro_f1(counts) if sum(counts) else None


def _row(record: Record, values: Mapping[str, Any], rank: str, beside: Beside) -> dict[str, Any]:
    place = beside.places.get(str(record.cell))
    return {
        "cell": str(record.cell),
        "values": {name: _value(name, value) for name, value in values.items()},
        "shown": {
            "rank": rank,
            "macro_f1": beside.macro_f1(record),
            "accuracy": interval(place.accuracy) if place else percent(record.scored.accuracy),
            "uar": interval(place.uar) if place else percent(record.scored.uar),
            "minutes": DASH if is_control(record) else minutes(record, beside.letters),
            "remarks": "; ".join(
                [f"preset {record.preset}"] * bool(record.preset) + [*remarks(record)]
            ),
        },
        "control": is_control(record),
        "labels": record.labels,
        "f1": {k: round(v, _DIGITS) for k, v in record.scored.per_class_f1.items()},
        "confusion": record.scored.confusion,
        "folds": [_fold(fold) for fold in record.folds],
        "calibration": _calibration(beside.calibrations.get(str(record.cell))),
        "notes": list(record.notes),
        "made": {
            "weights": " ".join(filter(None, (record.weights.id, record.weights.sha))),
            "commit": record.provenance.git_sha or "unknown",
            "day": record.provenance.utc,
            "fingerprint": record.provenance.fingerprint or "unknown",
            "packages": ", ".join(f"{n} {v}" for n, v in record.provenance.packages.items()),
        },
        "command": command(record),
        "use": use(record),
    }


def _calibration(own: Calibrated | None) -> dict[str, Any] | None:
    if own is None:
        return None
    told = {"plain": own.plain, "with temperature": own.scaled}
    return {
        "temperature": round(own.temperature, 3),
        "told": {
            name: {
                "error": round(each.error, _DIGITS),
                "brier": round(each.brier, _DIGITS),
                "bins": [[b.clips, *_rounded((b.confidence, b.accuracy))] for b in each.bins],
            }
            for name, each in told.items()
        },
    }


def _fold(fold: FoldRecord) -> dict[str, Any]:
    curve = fold.tried.by_layer or fold.tried.curve if fold.tried else []
    if fold.curve:
        curve = [each.validation_macro_f1 or 0.0 for each in fold.curve]
    return {
        "groups": fold.test_groups,
        "params": {name: _number(value) for name, value in fold.best_params.items()},
        "validation": round(fold.val_macro_f1, _DIGITS),
        "test": round(fold.test_macro_f1, _DIGITS),
        "trials": fold.trials.complete + fold.trials.pruned + fold.trials.failed,
        "curve": _rounded(curve),
        "by": _step(fold),
        "notes": [*fold.notes, *fold.trial_errors],
    }


def _step(fold: FoldRecord) -> str:
    """What a point of its curve comes after."""
    if fold.curve:
        return "epoch"
    if fold.tried is not None and fold.tried.how == "best":
        return "combination of layers"
    return "layer" if fold.tried is not None and fold.tried.by_layer else "setting tried"


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, _DIGITS) for value in values]


def _value(name: str, value: Any) -> Any:
    """A share is written with its digits; on the page it sorts as a number."""
    if isinstance(value, str) and name.startswith(_SHARES):
        return float(value)
    return _number(value)


def _number(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


class _Clips:
    """Lists of clips, each once, however many rows were tested on it."""

    def __init__(self) -> None:
        self.lists: list[dict[str, Any]] = []
        self._known: dict[tuple[object, ...], int] = {}

    def of(self, row: Stored | None) -> dict[str, Any]:
        """What a row said of which list; nothing where its predictions cannot be read."""
        if row is None:
            return {"clips": None, "said": [], "wrong": []}
        said = row.tested
        key = (said.clips, said.group_names, said.truth.tobytes(), said.folds.tobytes())
        number = self._known.setdefault(key, len(self.lists))
        if number == len(self.lists):
            self.lists.append(
                {
                    "names": _shown(list(said.clips)),
                    "groupNames": _shown(list(said.group_names)),
                    "groups": said.groups.tolist(),
                    "truth": _characters(said.truth),
                    "repeats": row.record.folding.repeats,
                }
            )
        return {
            "clips": number,
            "said": [_characters(own) for own in said.predicted],
            "wrong": _shown(_wrong(said)),
        }


def _characters(codes: np.ndarray) -> str:
    return "".join(chr(_FIRST + code) for code in codes)


def _wrong(found: Said) -> list[list[Any]]:
    """Clips predicted wrongly: name, truth, prediction, its probability; the surest first."""
    said = found.predicted[0]
    sure = found.probabilities[np.arange(len(said)), said]
    wrong = np.flatnonzero(said != found.truth)
    first = wrong[np.argsort(-sure[wrong], kind="stable")][:_WRONG]
    return [
        [found.clips[i], int(found.truth[i]), int(said[i]), round(float(sure[i]), 3)] for i in first
    ]
