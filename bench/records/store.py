"""Records: the stored result of one cell, one strict JSON file, written atomically."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.config.grid import Cell
from bench.errors import StorageError
from bench.files import replacing
from bench.scoring import Scores


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class WeightsRecord(_Strict):
    """Which weights ran. `sha` is the sha256 of the weight file, None unless pretrained."""

    id: str | None
    sha: str | None
    kind: Literal["pretrained", "random-init", "none"]
    size: Literal["full", "small"] = "full"
    seed: int | None = None


class TrialCounts(_Strict):
    """Optuna trials of one study by final state."""

    complete: int
    pruned: int
    failed: int


class EpochRecord(_Strict):
    """One epoch of training; losses are mean cross-entropies in nats."""

    train_loss: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    validation_macro_f1: float | None = None


class FoldRecord(_Strict):
    """One outer fold: what was tuned on validation and what it gave on test.

    `layer` is `weighted` where a sum of layers was learnt. `curve` is that of the best trial of a
    head trained epoch by epoch against the validation clips, `best_epoch` (0-based) the one it was
    stopped at, up to which the refit trains; `notes` say what else happened, e.g. that the batch
    was halved.
    """

    test_groups: list[str]
    clips: dict[Literal["train", "validation", "test"], int]
    best_params: dict[str, float | int | str | bool | None]
    layer: int | Literal["weighted"]
    val_accuracy: float
    val_macro_f1: float
    test_accuracy: float
    test_macro_f1: float
    trials: TrialCounts
    trial_errors: list[str] = Field(default_factory=list)
    best_epoch: int | None = None
    curve: list[EpochRecord] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


class Throughput(_Strict):
    """Speed, on the hardware named.

    `backbone_rtfx` counts time inside the encoder only; `end_to_end_rtfx` also decoding,
    resampling, batching, statistics and cache writes. `predict_clips_per_s` is the fitted head in a
    tuning worker of this run (`tuning_threads`), on ready vectors; of heads that read frames or
    train the backbone, reading the frames and the trained blocks included. `tuning_seconds` is the
    sum over all trials and refits, earlier runs' trials included. `batch` is the most windows per
    batch; backbones that must not be padded often have fewer. The `benchmark_*` fields come from
    `tox -e perf`, None until it has been run on the same hardware.
    """

    backbone_rtfx: float
    end_to_end_rtfx: float
    audio_seconds: float
    batch: int
    dtype: str
    threads: int
    hardware: str
    predict_clips_per_s: float
    tuning_threads: int
    tuning_seconds: float
    benchmark_batch1_rtfx: float | None = None
    benchmark_best_rtfx: float | None = None
    benchmark_best_batch: int | None = None


class TrainingRecord(_Strict):
    """How heads that read frames or train the backbone were trained.

    `frozen_part` is `cached` where the input of the first trained part was computed once per clip
    and kept in half precision, `live` where every epoch ran it again, `both` where training clips
    were augmented or folds differ. `augmentation` holds its settings, None without.
    `crop_seconds` is how much of a clip is used at most.
    """

    device: str
    hardware: str
    precision: list[str]
    frozen_part: Literal["cached", "live", "both"]
    augmentation: dict[str, float | int | str | bool | list[float]] | None = None
    crop_seconds: float | None = None


class Memory(_Strict):
    """Largest resident size of the child process that extracted the features, MiB."""

    peak_rss_mb: float


class Excluded(_Strict):
    """A clip left out, and why."""

    clip: str
    reason: str


class Provenance(_Strict):
    """Where and when the numbers came about.

    `cache_hit` is True where the run that finished this record passed no clip through the
    backbone, since all vectors were in the cache.
    `fingerprint` is the digest of everything that decides the scores; a record with the same
    fingerprint is finished and never computed again.
    """

    git_sha: str | None
    packages: dict[str, str]
    hardware: str
    utc: str
    cache_hit: bool | None
    feature_key: str | None
    fingerprint: str | None


class Record(_Strict):
    """The stored result of one cell."""

    schema_version: Literal[1] = 1
    status: Literal["ok", "skipped", "failed"]
    reason: str | None = None
    task: str
    protocol: str
    backbone: str
    pooling: str
    head: str
    control: Literal["random-init"] | None = None
    preset: str | None = None
    seed: int
    trials: int
    labels: list[str]
    clips: int
    weights: WeightsRecord
    parameters: int | None = None
    layers: int | None = None
    scores: Scores | None = None
    folds: list[FoldRecord] = Field(default_factory=list)
    throughput: Throughput | None = None
    training: TrainingRecord | None = None
    memory: Memory | None = None
    excluded: list[Excluded] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    provenance: Provenance

    @property
    def cell(self) -> Cell:
        """The cell this record is the result of."""
        return Cell(
            self.task,
            self.protocol,
            self.backbone,
            self.pooling,
            self.head,
            self.control,
            self.preset,
        )

    @property
    def sample(self) -> bool:
        """Whether the clips are generated ones."""
        return self.task.startswith("sample-")

    def same_outcome(self, other: Record) -> bool:
        """Whether two records differ in provenance only (as a repeated skip does)."""
        ignore = {"provenance"}
        return self.model_dump(exclude=ignore) == other.model_dump(exclude=ignore)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and only where its bytes change.

    Raises:
        StorageError: the folder is read-only or the disk is full.
    """
    try:
        if path.exists() and path.read_bytes() == content:
            return
        with replacing(path) as partial, partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}); free some space, make the "
            "folder writable or choose another with --results, then run again: what is finished "
            "is kept"
        ) from error


def record_path(results: Path, cell: Cell) -> Path:
    """Where the record of a cell lives below the results folder."""
    return results / f"{cell.relative_path}.json"


def predictions_path(results: Path, cell: Cell) -> Path:
    """Where the per-clip predictions of a cell live, beside its record."""
    return results / f"{cell.relative_path}.parquet"


def write(results: Path, record: Record) -> Path:
    """Store a record.

    A skip or a failure never takes the place of a result that was measured before, and the same
    skip or failure again keeps its file byte for byte.
    """
    path = record_path(results, record.cell)
    stored = read(path) if path.exists() else None
    if (
        stored is not None
        and record.status != "ok"
        and (stored.status == "ok" or stored.same_outcome(record))
    ):
        return path
    text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode())
    return path


def read(path: Path) -> Record | None:
    """The record in a file, or None where it is damaged or of another schema (it runs again)."""
    try:
        return Record.model_validate_json(path.read_bytes())
    except (ValidationError, ValueError):
        return None


def is_final(results: Path, cell: Cell, fingerprint: str, trials: int) -> bool:
    """Whether a cell has a record that nothing would change: it is never computed again.

    Args:
        results: folder of the records.
        cell: which one.
        fingerprint: of everything that decides its scores today.
        trials: wanted per fold; a record of more is final too.
    """
    path = record_path(results, cell)
    stored = read(path) if path.exists() else None
    return (
        stored is not None
        and stored.status == "ok"
        and stored.provenance.fingerprint == fingerprint
        and stored.trials >= trials
        and predictions_path(results, cell).exists()
    )


def read_all(results: Path) -> Iterator[Record]:
    """Every readable record below a results folder, in order of their paths."""
    for path in record_files(results):
        record = read(path)
        if record is not None:
            yield record


def record_files(results: Path) -> Iterable[Path]:
    """Files that should be records: `<task>/<protocol>/…/<a>__<b>__<c>.json`."""
    return sorted(
        path
        for path in results.rglob("*__*__*.json")
        if not any(part.startswith(".") for part in path.relative_to(results).parts)
    )


def as_json(value: Any) -> float | int | str | bool | None:
    """A parameter value as JSON can hold it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
