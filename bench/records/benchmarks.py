"""What `tox -e perf` measured, read from pytest-benchmark's JSON: a file for each time it ran."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from backbones import reading
from bench.errors import UserError, said
from bench.records import store
from bench.records.schema import Count, Items, Words

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


# Of what pytest-benchmark writes, the part that is read.
_Seconds = Annotated[float, Field(ge=1e-9, le=1e9)]


class _Measured(BaseModel):
    backbone: Words
    weights_kind: Words
    task: Words
    hardware: Words
    audio_seconds: _Seconds
    batch: Count


class _Else(BaseModel):
    backbone: None = None


class _Stats(BaseModel):
    median: _Seconds


class _Entry(BaseModel):
    extra_info: _Measured | _Else
    stats: _Stats


class _File(BaseModel):
    datetime: Words
    benchmarks: Items[_Entry]


def read(results: Path) -> list[Benchmark]:
    """Every benchmark below a results folder; of one measured again, the latest figures.

    Raises:
        UserError: a file there is not what `tox -e perf` writes.
    """
    speeds: dict[tuple[str, str, str, str], dict[int, float]] = {}
    files = [_file(path) for path in store.found(results / FOLDER, "*.json")]
    for file in sorted(files, key=lambda file: file.datetime):
        for entry in file.benchmarks:
            if isinstance(of := entry.extra_info, _Measured):
                # something divides by it
                rtfx = max(0.001, round(of.audio_seconds / entry.stats.median, 3))
                key = (of.backbone, of.weights_kind, of.task, of.hardware)
                speeds.setdefault(key, {})[of.batch] = rtfx
    found = []
    for key, by_batch in sorted(speeds.items()):
        best = max(by_batch, key=lambda batch: by_batch[batch])
        if 1 in by_batch:
            found.append(Benchmark(*key, by_batch[1], by_batch[best], best))
    return found


def _file(path: Path) -> _File:
    try:
        return _File.model_validate(reading.parse_json(reading.read_bytes(path, reading.SETTINGS)))
    except ValidationError as error:
        reason = f"'{store.field(error)}' is something else"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or said(error)
    raise UserError(
        f"{path} is not what `tox -e perf` writes ({reason}); delete it or measure again"
    )
