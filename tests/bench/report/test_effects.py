"""Marginal means of balanced rows, and layer curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.records.schema import Record
from bench.report.effects import effects, layer_curves
from bench.report.placing import Standing, standings
from bench.report.stored import stored
from tests.bench.records.make_records import make_record, store

GROUPS = 20


def _confusion(right: int) -> list[list[int]]:
    return [[right, 100 - right], [100 - right, right]]


def _standing(results: Path, right: dict[tuple[str, str, str], int]) -> Standing:
    found = [
        make_record(backbone, head, _confusion(number), pooling=pooling)
        for (backbone, pooling, head), number in right.items()
    ]
    for record in found:
        store(results, record, GROUPS)
    (standing,) = standings(stored(results, found).values())
    return standing


def test_a_value_is_compared_in_company_that_every_value_has(tmp_path: Path) -> None:
    # w's third row, which x never ran, would lift its mean to 80
    right = {
        ("w", "mean", "a"): 70,
        ("w", "mean", "b"): 80,
        ("w", "max", "a"): 90,
        ("x", "mean", "a"): 60,
        ("x", "mean", "b"): 70,
    }
    found = {(e.factor, e.value): e for e in effects(_standing(tmp_path, right))}
    assert found["backbone", "w"].macro_f1.score == pytest.approx(0.75)
    assert found["backbone", "x"].macro_f1.score == pytest.approx(0.65)
    assert found["backbone", "w"].rows == found["backbone", "x"].rows == 2
    behind = found["backbone", "x"].behind
    assert behind is not None
    assert behind.score == pytest.approx(0.10)
    assert behind.low < 0.10 < behind.high
    assert found["backbone", "w"].behind is None
    # max has one row of five, too few beside mean's four
    assert ("pooling", "max") not in found


def test_one_value_has_no_effect_and_controls_take_no_part(tmp_path: Path) -> None:
    right = {("w", "mean", "a"): 70, ("w", "mean", "b"): 80}
    standing = _standing(tmp_path, right)
    control = make_record("x", "a", _confusion(50), control="random-init")
    store(tmp_path, control, GROUPS)
    (standing,) = standings(stored(tmp_path, [*standing.records, control]).values())
    assert {effect.factor for effect in effects(standing)} == {"head"}


def _searched(backbone: str, *by_layer: list[float], **changes: Any) -> Record:
    record = make_record(backbone, layers=len(by_layer[0]), picked=[1] * len(by_layer), **changes)
    folds = [
        fold.model_dump()
        | {
            "tried": {
                "how": "every",
                "settings": 3,
                "inner_folds": 2,
                "curve": sorted(own),
                "lowest": [],
                "highest": [],
                "by_layer": own,
            }
        }
        for fold, own in zip(record.folds, by_layer, strict=True)
    ]
    return Record.model_validate(record.model_dump() | {"folds": folds})


def test_a_layer_curve_is_the_mean_over_folds_and_rows() -> None:
    found = [
        _searched("w", [0.1, 0.5, 0.3], [0.3, 0.7, 0.5]),
        _searched("w", [0.4, 0.8, 0.6], [0.4, 0.8, 0.6], pooling="max"),
        _searched("w", [0.9, 0.9, 0.9], [0.9, 0.9, 0.9], control="random-init"),
        make_record("x"),
    ]
    (curve,) = layer_curves(found)
    assert (curve.backbone, curve.rows) == ("w", 2)
    assert curve.macro_f1 == pytest.approx((0.3, 0.7, 0.5))
