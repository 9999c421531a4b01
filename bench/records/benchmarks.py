"""What `tox -e perf` measured, read from pytest-benchmark's JSON: a file for each time it ran."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError

FOLDER = "benchmarks"


@dataclass(frozen=True)
class Benchmark:
    """Encoder speed of one backbone on one machine, median over the rounds of a benchmark.

    Attributes:
        backbone: its name.
        weights: kind of its weights.
        task: whose clips were encoded.
        hardware: what it ran on.
        batch1_rtfx: seconds of audio per second of wall time, one clip at a time.
        best_rtfx, best_batch: at the fastest batch size tried.
    """

    backbone: str
    weights: str
    task: str
    hardware: str
    batch1_rtfx: float
    best_rtfx: float
    best_batch: int


def read(results: Path) -> list[Benchmark]:
    """Every benchmark below a results folder; of one measured again, the latest figures.

    Raises:
        UserError: a file there is not what `tox -e perf` writes.
    """
    speeds: dict[tuple[str, str, str, str], dict[int, float]] = {}
    runs = [_run(path) for path in sorted((results / FOLDER).rglob("*.json"))]
    for _, measured in sorted(runs, key=lambda run: run[0]):
        for key, batch, rtfx in measured:
            speeds.setdefault(key, {})[batch] = rtfx
    found = []
    for key, by_batch in sorted(speeds.items()):
        best = max(by_batch, key=lambda batch: by_batch[batch])
        if 1 in by_batch:
            found.append(Benchmark(*key, by_batch[1], by_batch[best], best))
    return found


_Speed = tuple[tuple[str, str, str, str], int, float]


def _run(path: Path) -> tuple[str, list[_Speed]]:
    """When a file was measured, and RTFx by what was measured and batch size."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        measured = []
        for entry in content["benchmarks"]:
            extra = entry["extra_info"]
            if "backbone" not in extra:
                continue  # it times something else
            key = (extra["backbone"], extra["weights_kind"], extra["task"], extra["hardware"])
            rtfx = extra["audio_seconds"] / entry["stats"]["median"]
            measured.append((key, extra["batch"], round(rtfx, 3)))
        return str(content["datetime"]), measured
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not what `tox -e perf` writes ({error!r}); delete it or measure again"
        ) from error
