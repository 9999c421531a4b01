"""The schema refuses what no one has agreed on."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bench.records.schema import Record
from tests.bench.records.make_records import SYSTEM, make_record, make_trained


@pytest.mark.parametrize(
    "changes",
    [
        {"acuracy": 1.0},
        {"schema_version": 1},
        {"status": "fine"},
        {"preset": "some-preset"},
        {"published": SYSTEM},
    ],
)
def test_a_field_unknown_outdated_or_without_its_other_half_is_refused(
    changes: dict[str, Any],
) -> None:
    good = make_record().model_dump()
    assert Record.model_validate(good) == make_record()
    with pytest.raises(ValidationError):
        Record.model_validate(good | changes)


@pytest.mark.parametrize("missing", ["sample", "group", "folding"])
def test_what_the_report_cannot_know_by_itself_must_be_said(missing: str) -> None:
    content = make_record().model_dump()
    del content[missing]
    with pytest.raises(ValidationError, match=missing):
        Record.model_validate(content)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_not_a_number_is_refused(value: float) -> None:
    content = make_trained().model_dump()
    content["scores"]["accuracy"] = value
    with pytest.raises(ValidationError):
        Record.model_validate(content)


def test_records_that_differ_in_provenance_alone_have_the_same_outcome() -> None:
    record = make_record()
    later = record.provenance.model_copy(update={"utc": "2030-01-01T00:00:00Z"})
    assert record.same_outcome(record.model_copy(update={"provenance": later}))
    assert not record.same_outcome(record.model_copy(update={"seed": 1}))
