"""What the page says first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from bench.records.schema import Record
from bench.records.store import predictions_path
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
    best, quick, within, local = _told(
        tmp_path / "results",
        _row(90),
        _row(89, backbone="quick", rtfx=60.0),
        _row(60, backbone="local", weights="none"),
        _row(95, backbone="control", control="random-init"),
    )
    assert "the best is **xlsr, mean, mlp** with macro-F1 90.0 (" in best
    assert "; 1 more row cannot be told from it. " in best
    assert best.endswith(
        "`voxgrid train ravdess --protocol speaker-6fold --cell xlsr/mean/mlp -o model`, then "
        "`voxgrid predict model FILE`"
    )
    assert "**quick, mean, mlp** with macro-F1 89.0 (" in quick
    assert "takes the least: 1.0 minutes of computing per hour of audio" in quick
    assert "F1 by class of that row, in %: class0 89.0, class1 89.0. By speaker, its accuracy" in (
        within
    )
    assert "Without a download the best is **local, mean, mlp** with macro-F1 60.0 (" in local


def test_one_sentence_where_one_row_is_all_of_it(tmp_path: Path) -> None:
    only, within = _told(tmp_path / "results", _row(90, weights="none"), _row(50, backbone="b"))
    assert "; no other row can keep up. " in only
    assert "F1 by class" in within


def test_a_row_is_told_by_class_from_the_best_and_by_group_with_the_lowest(tmp_path: Path) -> None:
    record = make_record(confusion=[[100, 0, 0], [20, 80, 0], [40, 0, 60]])
    _, within = _told(tmp_path / "results", record)
    found = pd.read_parquet(predictions_path(tmp_path / "results", record.cell))
    right = (found.label == found.predicted).groupby(found.group).mean()
    assert within == (
        "- F1 by class of that row, in %: class1 88.9, class0 76.9, class2 75.0. By speaker, its "
        f"accuracy is {100 * right.median():.1f} % in the median and {100 * right.min():.1f} % at "
        f"the lowest ({right.idxmin()})."
    )


def test_of_many_classes_the_best_and_the_worst_are_told(tmp_path: Path) -> None:
    confusion = [[0] * 20 for _ in range(20)]
    for label in range(20):
        confusion[label][label] = 40 - label
        confusion[label][(label + 1) % 20] = label
    _, within = _told(tmp_path / "results", make_record(confusion=confusion))
    classes = within.partition(": ")[2].partition(". By")[0].split(", ")
    f1 = [float(each.split(" ")[1]) for each in classes]
    assert len(classes) == 12
    assert f1 == sorted(f1, reverse=True)
    assert {classes[0].split()[0], classes[-1].split()[0]} <= {f"class{n}" for n in range(20)}


def test_nothing_is_answered_where_no_row_has_an_interval(tmp_path: Path) -> None:
    store(tmp_path / "results", _row(90, protocol="random-80-20"), groups=20)
    assert "## The answer" not in render(tmp_path / "results")
