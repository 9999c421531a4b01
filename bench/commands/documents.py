"""What `--json` prints: one document each for `plan`, `run` and `leaderboard`; see docs/json.md.

Raise `version` when a key goes away or changes its meaning; more keys may come without.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bench.records.schema import Record
from bench.report.select import by_protocol, finished, is_control, ranked, validation_f1


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __str__(self) -> str:
        # in ASCII: what an encoding lacks must not be written in other words here
        return json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False)


class Row(_Document):
    """A finished record; scores are shares of 1, over all test clips of all folds."""

    backbone: str
    pooling: str
    head: str
    control: str | None
    preset: str | None
    weights: str
    macro_f1: float
    accuracy: float
    uar: float
    validation_macro_f1: float
    clips: int
    trials: int
    seed: int

    @classmethod
    def of(cls, record: Record) -> Row:
        """The row of a record that has scores."""
        scores = record.scored.model_dump(include={"macro_f1", "accuracy", "uar"})
        same = record.model_dump(include=set(cls.model_fields) - {*scores, "weights"})
        return cls(
            **same,
            **scores,
            weights=record.weights.kind,
            validation_macro_f1=validation_f1(record),
        )


class Ranking(_Document):
    """Rows of one task and protocol, best macro-F1 first; controls and presets stand apart."""

    task: str
    sample: bool
    protocol: str
    leaks: bool
    kind: Literal["tuned", "control", "preset"]
    rows: list[Row]


class Seconds(_Document):
    """An estimate and the weakest thing it rests on; null where there is nothing to do."""

    seconds: float
    basis: Literal["records", "benchmark", "guess"] | None


class PlannedCell(_Document):
    """A cell of a backbone; `reason` says why it is skipped, held or made again."""

    protocol: str
    pooling: str
    head: str
    state: str
    reason: str | None


class PlannedBackbone(_Document):
    """A backbone of a task; `reason` says why it cannot run, wall times hold `starts` apart."""

    backbone: str
    reason: str | None
    pending_audio_seconds: float
    starts: Seconds
    extraction: Seconds
    tuning: Seconds
    disk_bytes: int
    cells: list[PlannedCell]


class PlannedTask(_Document):
    """A task; `protocols` gives the number of folds of each that fits."""

    task: str
    sample: bool
    clips: int
    left_out: int
    audio_seconds: float
    protocols: dict[str, int]
    trials: int
    backbones: list[PlannedBackbone]


class PlanDocument(_Document):
    """What `voxgrid plan --json` prints."""

    document: Literal["plan"] = "plan"
    version: Literal[1] = 1
    notes: list[str]
    tasks: list[PlannedTask]
    cells: dict[str, int]
    workers: int
    time: Seconds
    disk_bytes: int


class RunDocument(_Document):
    """What `voxgrid run --json` prints at its end."""

    document: Literal["run"] = "run"
    version: Literal[1] = 1
    notes: list[str]
    cells: dict[str, int]
    unmet: str | None
    rankings: list[Ranking]
    leaderboard: str
    next: list[str]


class LeaderboardDocument(_Document):
    """What `voxgrid leaderboard --json` prints; `agrees` is null without `--check`."""

    document: Literal["leaderboard"] = "leaderboard"
    version: Literal[1] = 1
    path: str
    agrees: bool | None
    difference: str | None
    unfounded: list[str]
    rankings: list[Ranking]


def rankings(found: Iterable[Record]) -> list[Ranking]:
    """Finished records by task, kind and protocol, each best first."""
    kinds: dict[tuple[bool, str, str], list[Record]] = {}
    for record in finished(found):
        kind = "preset" if record.preset else "control" if is_control(record) else "tuned"
        kinds.setdefault((record.sample, record.task, kind), []).append(record)
    return [
        Ranking.model_validate(
            {
                "task": task,
                "sample": sample,
                "protocol": protocol,
                "leaks": any(record.folding.leaks for record in own),
                "kind": kind,
                "rows": list(map(Row.of, ranked(own))),
            }
        )
        for (sample, task, kind), records in sorted(
            kinds.items(), key=lambda item: (*item[0][:2], item[0][2] != "tuned", item[0][2])
        )
        for protocol, own in by_protocol(records).items()
    ]
