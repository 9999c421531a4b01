"""Records all texts of which are somebody's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.records import store as records
from bench.records.schema import Record
from tests.bench.records.make_records import (
    SYSTEM,
    make_record,
    make_repeated,
    make_trained,
    predictions,
    unfinished,
)

EVIL = (
    "<script>alert(1)</script>",
    "<img src=http://evil/t.png>",
    "![seen](http://evil/t.png)",
    "[here](javascript:alert(1))",
    "[here]: http://evil",
    "<http://evil>",
    "# heading",
    "1. # heading",
    "- item",
    "> quote",
    "```",
    "~~~",
    "---",
    "`<b>",
    "``<b>` [x](y)",
    "\\`<b>`",
    "\\[x](http://evil)",
    "a ` b ` c ` [x](y)",
    "a | b \\| c \\\\| `d|e` `f\\|g`",
    "\x1b]0;title\x07\x1b[31m",
    "\u202eright to left",
    "line\n\n# line\r\n\u2028- line",
    "end\\",
    "end`",
    "$\\frac$",
)


def words(text: Callable[[], str]) -> list[Record]:
    """Records of every status and kind."""
    system = SYSTEM | {
        **{name: text() for name in ("summary", "task", "backbone", "measured_on")},
        "protocols": [text()],
        "poolings": [text()],
        "figures": {"accuracy": text(), "precision": text()},
        "undocumented": [text()],
        "differs": [text()],
    }
    labels = [text(), "the other"]

    def own(**more: Any) -> dict[str, Any]:
        return {
            "group": text(),
            "folding": {"summary": text(), "grouped": True, "leaks": False, "subset": False},
            "labels": labels,
            "notes": [text()],
            "excluded": [{"clip": text(), "reason": text()}],
            "provenance": {
                "git_sha": text(),
                "packages": {text(): text()},
                "utc": text(),
                "cache_hit": None,
                "feature_key": text(),
                "fingerprint": text(),
            },
            **more,
        }

    leaks = {"summary": text(), "grouped": False, "leaks": True, "subset": False}
    training = {
        "device": text(),
        "precision": [text()],
        "augmentation": {text(): text()},
    }
    record = make_trained(trained=[text()], notes=[[text()], []], training=training)
    of_folds = [fold.model_dump() for fold in record.folds]
    details = record.training and record.training.model_dump()
    return [
        make_record(hardware=text(), **own()),
        make_record(hardware=text(), **own(protocol="random-80-20", folding=leaks)),
        make_record(**own(backbone=f"hf:./{text()}")),
        make_record(head="fine_tune", **own(folds=of_folds, training=details)),
        make_record(head="other", **own(preset="some", published=system)),
        unfinished(text(), **own(head="b")),
        unfinished(text(), **own(head="c", preset="some", published=system)),
        make_record(**own(task="sample-x", head="d", sample=True)),
    ]


def write_rows(results: Path, text: Callable[[], str]) -> None:
    """Write rows with predictions: what is computed over several rows is computed of these."""
    rows = [
        _searched(text, "a", "x", _RIGHT["good"]),
        _searched(text, "a", "y", _RIGHT["poor"], provenance={"packages": {text(): text()}}),
        _searched(text, f"hf:./{text()}", "x", _RIGHT["poor"]),
        _searched(text, "local", "x", _RIGHT["fair"], weights="none"),
        _searched(text, "a", "x", _RIGHT["poor"], control="random-init"),
        _searched(text, "a", "x", _RIGHT["good"], protocol="random-80-20"),
        _searched(text, "a", "y", _RIGHT["good"], protocol="random-80-20"),
    ]
    own = [_RIGHT["good"], _RIGHT["fair"]]
    repeated = make_repeated(*own, backbone="a", head="x", group=text(), labels=[text(), "b"])
    each = [(row, [row.scored.confusion]) for row in rows] + [(_named(repeated), own)]
    for record, confusions in each:
        path = records.predictions_path(results, record.cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        table = predictions(record.labels, *confusions, groups=9)
        for column in ("clip", "group"):
            table[column] = [f"{text()}{name}" for name in table[column]]
        table.to_parquet(path)
        records.write(results, record)


# Of 45 clips in each of two classes so many are right.
_RIGHT = {
    name: [[right, 45 - right], [45 - right, right]]
    for name, right in (("good", 40), ("fair", 35), ("poor", 25))
}


def _searched(
    text: Callable[[], str],
    backbone: str,
    head: str,
    confusion: list[list[int]],
    provenance: dict[str, Any] | None = None,
    **changes: Any,
) -> Record:
    """A row of a search with values at the end of their space, and a curve of layers."""
    record = make_record(
        backbone, head, confusion, picked=[1] * 3, layers=3, labels=[text(), "b"], **changes
    )
    tried = {"how": "every", "settings": 3, "inner_folds": 2, "curve": [0.5] * 3}
    tried |= {"lowest": [text()], "highest": [text()], "by_layer": [0.1, 0.3, 0.2]}
    folds = [
        fold.model_dump()
        | {
            "tried": tried,
            "test_groups": [text()],
            "best_params": {text(): text()},
            "trained": text(),
            "notes": [text()],
            "trial_errors": [text()],
        }
        for fold in record.folds
    ]
    made = record.provenance.model_dump() | (provenance or {})
    more = {"folds": folds, "provenance": made, "group": text(), "notes": [text()]}
    return _named(Record.model_validate(record.model_dump() | more))


def _named(record: Record) -> Record:
    """Its F1 by class, of the labels that it has."""
    f1 = dict(zip(record.labels, record.scored.per_class_f1.values(), strict=True))
    scores = record.scored.model_copy(update={"per_class_f1": f1})
    return record.model_copy(update={"scores": scores})
