"""Fusions in the report: beside the best row of one backbone, at the cost of all their parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.records.schema import Record
from bench.report.advisories import advisories
from bench.report.beside import Beside
from bench.report.effects import effects
from bench.report.fusions import fusions
from bench.report.placing import standings
from bench.report.speeds import fastest, minutes
from bench.report.stored import stored
from bench.report.tables.predictions import about
from bench.report.tables.sections import cost
from bench.report.values import command, layer
from tests.bench.records.make_records import HARDWARE, make_record, store

GROUPS = 20
TABLE = ("ravdess", "speaker-6fold")


def _row(backbone: str, right: int, head: str = "lda", **changes: object) -> Record:
    confusion = [[right, 100 - right], [100 - right, right]]
    return make_record(backbone, head, confusion, **changes)


def _fused(name: str, right: int, *layers: list[int]) -> Record:
    record = _row(name, right)
    folds = [
        fold.model_copy(update={"layer": own})
        for fold, own in zip(record.folds, layers, strict=False)
    ]
    return record.model_copy(update={"layers": None, "folds": folds})


def test_a_fusion_stands_beside_the_best_row_of_one_backbone(tmp_path: Path) -> None:
    single, worse = _row("a", 80), _row("b", 70)
    fused = _fused("a+b", 90, [2, 3], [2, 4])
    control = _row("a", 95, control="random-init", weights="random-init")
    found = [single, worse, fused, control]
    for record in found:
        store(tmp_path, record, GROUPS)
    standing = standings(stored(tmp_path, found).values())
    (own,) = fusions(found, standing)
    assert (own.row, own.single) == (fused, single)
    assert own.over == pytest.approx(0.1)
    assert own.interval is not None
    assert own.interval.low < 0.1 < own.interval.high
    assert layer(fused) == "2 + 3.5 (3–4)"
    text = str([*about(TABLE, Beside.of(tmp_path, found))])
    assert "a+b mean lda" in text
    assert "+10.0 (" in text
    # it is no level of a choice, and lacks no row that backbones have
    assert {e.value for e in effects(standing[0]) if e.factor == "backbone"} == {"a", "b"}
    assert not [a for a in advisories(found, standing) if "a+b" in a.row and a.id == "missing"]


def test_without_a_row_of_one_backbone_there_is_nothing_beside() -> None:
    assert fusions([_fused("a+b", 90, [2, 3])], ()) == []


def _measured(record: Record, rtfx: float, **changes: object) -> Record:
    assert record.throughput is not None
    update = {"backbone_rtfx": 2 * rtfx, "end_to_end_rtfx": rtfx, **changes}
    return record.model_copy(update={"throughput": record.throughput.model_copy(update=update)})


def test_a_fusion_costs_what_its_parts_cost_where_they_were_fastest() -> None:
    fused = _measured(_fused("a+b", 90, [2, 3]), 5)
    found = [
        _measured(_row("a", 80), 20),
        _measured(_row("a", 80, "mlp"), 60),
        _measured(_row("b", 70, weights="none"), 30),
        fused,
        _measured(_fused("a[1,2]", 60, [1, 2]), 1),
        _measured(_fused("a+c", 60, [1, 2]), 4),
    ]
    speeds = {r.backbone: r.throughput.end_to_end_rtfx for r in fastest(found) if r.throughput}
    assert speeds["a+b"] == pytest.approx(20)
    # one backbone passes once, whatever is read of it; c was not measured by itself
    assert speeds["a[1,2]"] == 60
    assert speeds["a+c"] == 4
    # measured on another machine than it ran on, it says so
    elsewhere = _measured(_fused("a+b", 90, [2, 3]), 3, hardware="Other CPU")
    (*_, there) = fastest([*found, elsewhere])
    assert there.throughput is not None
    assert there.throughput.hardware == HARDWARE
    assert there.throughput.end_to_end_rtfx == pytest.approx(20)
    told = str(cost(found, ()))
    assert "'a'" in told
    assert "a+b" not in told


def test_an_average_costs_each_encoder_once_and_nothing_across_machines() -> None:
    a, b = _measured(_row("a", 80), 60), _measured(_row("b", 70), 30)
    fused, two = _fused("a+b", 90, [2, 3]), _fused("a[1,2]", 60, [1, 2])
    assert minutes([a, fused, two, b], [a, b]) == pytest.approx(1 + 2)
    assert minutes([two], [a, b]) == pytest.approx(1)
    assert minutes([fused], [a]) is None
    other = _measured(b, 30, hardware="Other CPU")
    assert minutes([a, other], [a, other]) is None
    assert minutes([a, other], [a, b, other]) == pytest.approx(1 + 2)


def test_the_command_of_a_fusion_is_safe_in_a_shell() -> None:
    assert "--backbone 'quartznet[3,9]'" in command(_fused("quartznet[3,9]", 60, [3, 9]))


@pytest.mark.parametrize("name", ["b+a", "a[9,3]", "a[3", "a+", "a[1,1]", "a[01]"])
def test_a_record_of_a_fusion_bears_its_one_name(name: str) -> None:
    with pytest.raises(ValueError, match="neither a name nor an address"):
        make_record(name)
