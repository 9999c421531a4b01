"""The schema of a record: strict models, so that a field that nobody knows is refused.

A record says all that the report needs. What a field meant when it was written is not asked of
today's code. Raise `SCHEMA_VERSION` when a field changes: records of an older version are no longer
read, and a code of an older version refuses to work beside them.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.config.grid import Cell
from bench.scoring import Scores

SCHEMA_VERSION: Literal[2] = 2


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Folding(_Strict):
    """What the protocol did with the clips.

    Attributes:
        summary: one line about the protocol.
        grouped: whether it promises that no group is on two sides.
        leaks: whether clips of one group are tested and fitted on in some fold; of clips that
            the protocol could not fold, whether it allows that.
        subset: whether it draws some of the clips only, so that its scores differ from another
            protocol's by more than what leaks.
    """

    summary: str
    grouped: bool
    leaks: bool
    subset: bool


class PublishedSystem(_Strict):
    """The published system that a preset repeats, as its authors report it.

    Attributes:
        summary: one line about it.
        task, backbone: what it was published on and with; the record's own may be others.
        protocols: the nearest to how it was published first.
        poolings: one row each.
        measured_on: the clips the figures are of, as far as that is known.
        figures: in percent, with the digits they were published with, such as `above 70`.
        undocumented: what was not documented, and what was done instead.
        differs: what was done differently on purpose.
    """

    summary: str
    task: str
    backbone: str
    protocols: list[str]
    poolings: list[str]
    measured_on: str
    figures: dict[Literal["accuracy", "macro_f1", "precision", "recall"], str]
    undocumented: list[str] = Field(default_factory=list)
    differs: list[str] = Field(default_factory=list)


class WeightsRecord(_Strict):
    """Which weights ran.

    Attributes:
        commit: of the repository `id`, where it is one and the commit is known.
        sha: sha256 of the weight file, None unless pretrained.
    """

    id: str | None
    commit: str | None = None
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

    Attributes:
        layer: `weighted` where a sum of layers was learnt.
        trained: what of the network was trained, in words; None where the head's name says it.
        best_epoch: 0-based, the one the best trial was stopped at, up to which the refit trains.
        curve: epochs of the best trial, of a head trained epoch by epoch on the training clips.
        notes: what else happened, e.g. that the batch was halved.
    """

    test_groups: list[str]
    clips: dict[Literal["train", "validation", "test"], int]
    best_params: dict[str, float | int | str | bool | None]
    layer: int | Literal["weighted"]
    trained: str | None = None
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
    """Speed, each on the hardware named for it.

    Attributes:
        backbone_rtfx: of time inside the encoder only.
        end_to_end_rtfx: of decoding, resampling, batching, statistics and cache writes as well.
        batch: most windows per batch; backbones that must not be padded often have fewer.
        hardware: what the encoder ran on, with `threads`.
        predict_clips_per_s: the fitted head in a tuning worker, on ready vectors; of heads that
            read frames or train the backbone, reading the frames and the trained blocks included.
        tuning_hardware: what trials and refits ran on, with `tuning_threads`: the processor but
            for heads that train the backbone.
        tuning_seconds: sum over all trials and refits, those of earlier runs included.
    """

    backbone_rtfx: float
    end_to_end_rtfx: float
    audio_seconds: float
    batch: int
    dtype: str
    threads: int
    hardware: str
    predict_clips_per_s: float
    tuning_hardware: str
    tuning_threads: int
    tuning_seconds: float


class TrainingRecord(_Strict):
    """How a head that reads frames or trains the backbone was trained.

    Attributes:
        reads: `frames` of the frozen backbone, or the `backbone` itself, part of which it trains.
        frozen_part: `cached` where the input of the first trained part was computed once per clip
            and kept in half precision, `live` where every epoch ran it again, `both` where
            training clips were augmented or folds differ.
        augmentation: its settings, None without.
        crop_seconds: how much of a clip is used at most.
    """

    reads: Literal["frames", "backbone"]
    device: str
    precision: list[str]
    frozen_part: Literal["cached", "live", "both"]
    augmentation: dict[str, float | int | str | bool | list[float]] | None = None
    crop_seconds: float | None = None


class MemoryRecord(_Strict):
    """Largest resident size of the child process that extracted the features, MiB."""

    peak_rss_mb: float


class ExcludedRecord(_Strict):
    """A clip left out, and why."""

    clip: str
    reason: str


class Provenance(_Strict):
    """When and from what the numbers came about; on what hardware says `Throughput`.

    Attributes:
        packages: versions of all that the numbers depend on.
        cache_hit: whether the run that finished this record passed no clip through the backbone,
            since all vectors were in the cache.
        fingerprint: digest of everything that decides the scores; a record with the same
            fingerprint is finished and never computed again.
    """

    git_sha: str | None
    packages: dict[str, str]
    utc: str
    cache_hit: bool | None
    feature_key: str | None
    fingerprint: str | None


class Record(_Strict):
    """The stored result of one cell.

    Attributes:
        sample: whether the clips are generated ones, which share no table with real ones.
        group: what clips are grouped by, in one word, such as `speaker`.
        published: the system that `preset` repeats; None without a preset.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    status: Literal["ok", "skipped", "failed"]
    reason: str | None = None
    task: str
    sample: bool
    group: str
    protocol: str
    folding: Folding
    backbone: str
    pooling: str
    head: str
    control: Literal["random-init"] | None = None
    preset: str | None = None
    published: PublishedSystem | None = None
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
    memory: MemoryRecord | None = None
    excluded: list[ExcludedRecord] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    provenance: Provenance

    @model_validator(mode="after")
    def _says_what_its_preset_repeats(self) -> Self:
        if (self.preset is None) != (self.published is None):
            raise ValueError("preset and published are given together, or neither is")
        return self

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
    def scored(self) -> Scores:
        """The scores of a record of status ok.

        Raises:
            ValueError: it has none.
        """
        if self.scores is None:
            raise ValueError(f"{self.cell} has no scores: it is {self.status}")
        return self.scores

    def same_outcome(self, other: Record) -> bool:
        """Whether two records differ in provenance only (as a repeated skip does)."""
        ignore = {"provenance"}
        return self.model_dump(exclude=ignore) == other.model_dump(exclude=ignore)
