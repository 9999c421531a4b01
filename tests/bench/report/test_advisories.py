"""What is said of a row, and of which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.records.schema import Record
from bench.report.advisories import KINDS, Advisory, advisories
from bench.report.placing import standings
from bench.report.stored import stored
from tests.bench.records.make_records import make_record, store


def _confusion(right: int) -> list[list[int]]:
    return [[right, 100 - right], [100 - right, right]]


def _tried(**changes: Any) -> dict[str, Any]:
    race = {"how": "race", "settings": 4, "inner_folds": 2, "curve": [0.5] * 4}
    return {**race, "lowest": [], "highest": [], **changes}


def _searched(*tried: dict[str, Any], **changes: Any) -> Record:
    record = make_record(picked=[1] * len(tried), **changes)
    folds = [f.model_dump() | {"tried": t} for f, t in zip(record.folds, tried, strict=True)]
    return Record.model_validate(record.model_dump() | {"folds": folds})


def _of(*found: Record) -> list[Advisory]:
    return advisories(found, [])


def test_a_value_at_the_end_of_its_space_in_most_folds_is_told() -> None:
    most = _searched(*[_tried(highest=["c"])] * 2, _tried(lowest=["c"]))
    few = _searched(_tried(highest=["c"]), _tried(), _tried(), head="lda")
    (advisory,) = [a for a in _of(most, few) if a.id == "edge"]
    assert (advisory.row, advisory.detail) == ("xlsr mean mlp", "highest c")


@pytest.mark.parametrize(
    ("how", "folds", "said"),
    [
        ("every", [{"lowest": ["C"]}] * 3, ("edge", "lowest C")),
        ("race", [{"highest": ["depth"]}, {"lowest": ["depth"]}, {}], None),
        # of one split, or two, a value at the end says little
        ("race", [{"highest": ["depth"]}] * 2, None),
        ("race", [{"curve": [0.5] * 7 + [0.506]}] * 3, ("rising", "")),
        ("race", [{"curve": [0.5] * 7 + [0.504]}] * 3, None),
        ("race", [{"curve": [0.4] * 4 + [0.5] * 4}] * 3, None),
        ("race", [{"curve": []}] * 3, None),
    ],
)
def test_a_search_that_may_find_more_is_told(
    how: str, folds: list[dict[str, Any]], said: tuple[str, str] | None
) -> None:
    found = _of(_searched(*(_tried(how=how, **more) for more in folds), validation=0.6))
    assert [(a.id, a.detail) for a in found] == ([said] if said else [])


def test_a_search_that_tried_all_it_has_has_no_smaller_budget() -> None:
    every = [_tried(how="every")] * 3
    one, other = (
        _searched(*every, backbone=name, trials=trials) for name, trials in (("a", 247), ("b", 91))
    )
    assert "budget" not in {a.id for a in _of(one, other)}


def test_a_race_that_still_rises_is_told_and_a_whole_search_is_not() -> None:
    rising = [_tried(curve=[0.5, 0.5, 0.5, 0.6])] * 3
    assert "rising" in {a.id for a in _of(_searched(*rising))}
    every = [{**each, "how": "every"} for each in rising]
    assert "rising" not in {a.id for a in _of(_searched(*every))}


def test_a_gap_between_validation_and_test_is_told_either_way() -> None:
    for validation, expected in ((0.75, "+15 points"), (0.45, "-15 points")):
        found = _of(make_record(confusion=_confusion(60), validation=validation))
        assert [a.detail for a in found if a.id == "gap"] == [expected]
    assert not _of(make_record(confusion=_confusion(60), validation=0.65))


def test_rows_no_better_than_a_baseline_or_a_control_are_told(tmp_path: Path) -> None:
    found = [
        make_record("good", confusion=_confusion(90), validation=0.9),
        make_record("poor", confusion=_confusion(60), validation=0.6),
        make_record("poor", confusion=_confusion(61), control="random-init"),
        make_record("plain", confusion=_confusion(62), weights="none", validation=0.6),
    ]
    for record in found:
        store(tmp_path, record, groups=20)
    said = {(a.id, a.row) for a in advisories(found, standings(stored(tmp_path, found).values()))}
    assert said == {("baseline", "poor mean mlp"), ("control", "poor mean mlp")}


def test_smaller_budgets_failed_trials_and_other_versions_are_told() -> None:
    usual = make_record(validation=0.6)
    odd = make_record(
        "w",
        validation=0.6,
        trials=3,
        failed_trials=2,
        provenance=usual.provenance.model_dump() | {"packages": {"torch": "1"}},
    )
    found = {a.id: (a.row, a.detail) for a in _of(usual, make_record("x", validation=0.6), odd)}
    assert found["budget"] == ("w mean mlp", "3 of 10")
    assert found["failed"] == ("w mean mlp", "4")
    assert found["versions"] == ("w mean mlp", "torch 1")


def test_a_row_that_one_backbone_lacks_is_missing_unless_a_record_says_why() -> None:
    rows = [make_record("w"), make_record("w", "lda"), make_record("x")]
    missing = [a for a in _of(*rows) if a.id == "missing"]
    assert [(a.row, a.cell) for a in missing] == [("x mean lda", None)]
    skipped = make_record(
        "x", "lda", status="skipped", reason="no pair", scores=None, folds=[], throughput=None
    )
    assert not [a for a in _of(*rows, skipped) if a.id == "missing"]


def test_every_advisory_has_a_kind_and_is_ordered_by_it() -> None:
    found = _of(
        _searched(*[_tried(highest=["c"])] * 3, validation=0.9),
        make_record("w", "lda", trials=1, failed_trials=1),
    )
    order = list(KINDS)
    assert [order.index(a.id) for a in found] == sorted(order.index(a.id) for a in found)
