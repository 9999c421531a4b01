"""What `tox -e perf` measured, read from pytest-benchmark's JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError

FILE_NAME = "throughput.json"


@dataclass(frozen=True)
class Benchmark:
    """Encoder speed of one backbone, median over the rounds of one benchmark run.

    Attributes:
        task: whose clips were encoded.
        hardware: what it ran on.
        batch1_rtfx: seconds of audio per second of wall time, one clip at a time.
        best_rtfx, best_batch: at the fastest batch size tried.
    """

    task: str
    hardware: str
    batch1_rtfx: float
    best_rtfx: float
    best_batch: int


def read(results: Path) -> dict[tuple[str, str], Benchmark]:
    """Benchmarks by (backbone, weights kind); empty where none has been run.

    Raises:
        UserError: the file is there and is not what `tox -e perf` writes.
    """
    path = results / FILE_NAME
    if not path.exists():
        return {}
    speeds: dict[tuple[str, str, str, str], dict[int, float]] = {}
    try:
        for entry in json.loads(path.read_text())["benchmarks"]:
            extra = entry["extra_info"]
            if "backbone" not in extra:
                continue
            key = (extra["backbone"], extra["weights_kind"], extra["task"], extra["hardware"])
            rtfx = extra["audio_seconds"] / entry["stats"]["median"]
            speeds.setdefault(key, {})[extra["batch"]] = round(rtfx, 3)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not what `tox -e perf` writes ({error!r}); delete it or measure again"
        ) from error
    found = {}
    for (backbone, kind, task, hardware), by_batch in speeds.items():
        best = max(by_batch, key=lambda batch: by_batch[batch])
        if 1 in by_batch:
            found[backbone, kind] = Benchmark(task, hardware, by_batch[1], by_batch[best], best)
    return found
