"""Encoder speeds of `tox -e perf`: of every machine and task, and of each the latest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UserError
from bench.records import benchmarks
from bench.records.benchmarks import Benchmark


def entry(batch: int, median: float, **changes: Any) -> dict[str, Any]:
    extra = {
        "backbone": "xlsr",
        "weights_kind": "pretrained",
        "task": "ravdess",
        "hardware": "Test CPU",
        "audio_seconds": 60.0,
        "batch": batch,
    }
    return {"extra_info": extra | changes, "stats": {"median": median}}


def measured(results: Path, name: str, when: str, *entries: dict[str, Any]) -> None:
    path = results / benchmarks.FOLDER / "Some-Machine" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"datetime": when, "benchmarks": entries}))


def test_machines_and_tasks_stand_beside_each_other(tmp_path: Path) -> None:
    measured(tmp_path, "0001_encoders.json", "2026-01-01", entry(1, 30.0), entry(4, 10.0))
    measured(tmp_path, "0002_encoders.json", "2026-01-02", entry(1, 20.0, hardware="Test GPU"))
    measured(tmp_path, "0003_encoders.json", "2026-01-03", entry(1, 12.0, task="youtube"))
    assert benchmarks.read(tmp_path) == [
        Benchmark("xlsr", "pretrained", "ravdess", "Test CPU", 2.0, 6.0, 4),
        Benchmark("xlsr", "pretrained", "ravdess", "Test GPU", 3.0, 3.0, 1),
        Benchmark("xlsr", "pretrained", "youtube", "Test CPU", 5.0, 5.0, 1),
    ]


def test_of_what_was_measured_again_the_latest_counts_whatever_the_file_is_called(
    tmp_path: Path,
) -> None:
    measured(tmp_path, "0001_encoders.json", "2026-02-01", entry(1, 10.0))
    measured(tmp_path, "0002_encoders.json", "2026-01-01", entry(1, 30.0), entry(8, 5.0))
    assert benchmarks.read(tmp_path) == [
        Benchmark("xlsr", "pretrained", "ravdess", "Test CPU", 6.0, 12.0, 8)
    ]


def test_benchmarks_of_something_else_and_those_without_batch_1_are_passed_over(
    tmp_path: Path,
) -> None:
    epochs = {"extra_info": {"phase": "epochs"}, "stats": {"median": 1.0}}
    measured(tmp_path, "0001_epochs.json", "2026-01-01", epochs, entry(4, 10.0))
    assert benchmarks.read(tmp_path) == []
    assert benchmarks.read(tmp_path / "nowhere") == []


@pytest.mark.parametrize("content", ["", "[]", '{"benchmarks": [{}], "datetime": "x"}'])
def test_a_file_that_is_something_else_is_named(tmp_path: Path, content: str) -> None:
    measured(tmp_path, "0001_encoders.json", "2026-01-01")
    (path,) = (tmp_path / benchmarks.FOLDER).rglob("*.json")
    path.write_text(content)
    with pytest.raises(UserError, match=r"0001_encoders\.json is not what `tox -e perf` writes"):
        benchmarks.read(tmp_path)
