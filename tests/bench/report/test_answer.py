"""What the page says first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.records.schema import Record
from tests.bench.records.make_records import make_record, store
from tests.bench.report.pages import render, section


def _row(right: int, rtfx: float = 10.0, **changes: Any) -> Record:
    record = make_record(confusion=[[right, 100 - right], [100 - right, right]], **changes)
    assert record.throughput is not None
    speed = record.throughput.model_copy(update={"end_to_end_rtfx": rtfx})
    return record.model_copy(update={"throughput": speed})


def _told(results: Path, *found: Record) -> list[str]:
    for record in found:
        store(results, record, groups=20)
    return section(render(results), "The answer").strip().splitlines()


def test_the_best_the_quickest_of_its_equals_and_the_best_without_a_download(
    tmp_path: Path,
) -> None:
    best, quick, local = _told(
        tmp_path / "results",
        _row(90),
        _row(89, backbone="quick", rtfx=60.0),
        _row(60, backbone="local", weights="none"),
        _row(95, backbone="control", control="random-init"),
    )
    assert "the best is **xlsr, mean, mlp** with macro-F1 90.0 (" in best
    assert "; 1 more row cannot be told from it. " in best
    assert best.endswith(
        "`voxgrid run --task ravdess --protocol speaker-6fold --backbone xlsr --pooling mean "
        "--head mlp`"
    )
    assert "**quick, mean, mlp** with macro-F1 89.0 (" in quick
    assert "takes the least: 1.0 minutes of computing per hour of audio" in quick
    assert "Without a download the best is **local, mean, mlp** with macro-F1 60.0 (" in local


def test_one_sentence_where_one_row_is_all_of_it(tmp_path: Path) -> None:
    (only,) = _told(tmp_path / "results", _row(90, weights="none"), _row(50, backbone="b"))
    assert "; no other row can keep up. " in only


def test_nothing_is_answered_where_no_row_has_an_interval(tmp_path: Path) -> None:
    store(tmp_path / "results", _row(90, protocol="random-80-20"), groups=20)
    assert "## The answer" not in render(tmp_path / "results")
