"""Advisories below a table: one line for each kind, a few rows by name."""

from __future__ import annotations

from pathlib import Path

from bench.report.advisories import KINDS, Advisory
from bench.report.page import Bullets, Text
from bench.report.tables import advice
from tests.bench.records.make_records import make_record
from tests.bench.report.pages import render, section, store


def _said(*found: Advisory) -> list[str]:
    title, lines = advice.about(found)
    assert isinstance(title, Text)
    assert isinstance(lines, Bullets)
    return list(lines.items)


def test_a_row_is_named_once_with_all_its_details_and_of_many_rows_three() -> None:
    (line,) = _said(
        Advisory("edge", "a", "row a", "lowest C"),
        Advisory("edge", "a", "row a", "highest depth"),
        *(Advisory("edge", name, f"row {name}", "lowest C") for name in "bcde"),
    )
    kind = KINDS["edge"]
    assert line == (
        f"`edge`, 5 rows: {kind.what}; {kind.do}. row a (lowest C, highest depth), "
        "row b (lowest C), row c (lowest C) and 2 more."
    )


def test_one_row_without_details_is_its_name_alone() -> None:
    (line,) = _said(Advisory("missing", None, "a b c"))
    assert line.startswith("`missing`, 1 row: ")
    assert line.endswith(". a b c.")


def test_nothing_is_said_of_rows_without_any() -> None:
    assert [*advice.about([])] == []


def test_they_stand_below_a_table_that_does_not_leak(tmp_path: Path) -> None:
    fair = [make_record("a", failed_trials=1), make_record("b")]
    leaky = [make_record("a", failed_trials=2, protocol="random-80-20")]
    store(tmp_path / "results", *fair, *leaky)
    text = render(tmp_path / "results")
    assert "- `failed`, 1 row: " in section(text, "speaker-6fold")
    assert "`failed`" not in section(text, "random-80-20")
