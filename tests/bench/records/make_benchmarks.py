"""Files as `tox -e perf` leaves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.records import benchmarks
from tests.bench.records.make_records import HARDWARE


def entry(batch: int, median: float, **changes: Any) -> dict[str, Any]:
    extra = {
        "backbone": "xlsr",
        "weights_kind": "pretrained",
        "task": "ravdess",
        "hardware": HARDWARE,
        "audio_seconds": 60.0,
        "batch": batch,
    }
    return {"extra_info": extra | changes, "stats": {"median": median}}


def measured(results: Path, name: str, when: str, *entries: dict[str, Any]) -> None:
    path = results / benchmarks.FOLDER / "Some-Machine" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"datetime": when, "benchmarks": entries}))
