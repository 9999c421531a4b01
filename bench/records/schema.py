"""The schema of a record: strict models, so that a field that nobody knows is refused.

A record says all that the report needs. What a field meant when it was written is not asked of
today's code. Raise `SCHEMA_VERSION` when a field changes: records of an older version are no longer
read, and a code of an older version refuses to work beside them.

Records get passed around. Names become paths and are checked strictly, figures have bounds that
nothing measured comes near, and a text that is too long to be read is cut.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from backbones import fusion
from backbones.base import BackboneError
from bench.config.grid import Cell
from bench.scoring import Count, Scores, Share

SCHEMA_VERSION: Literal[2] = 2
# In bytes; with what is added while a file is written, the most that a file name may have.
_LONGEST_FILE_NAME = 204
_LONGEST_TEXT = 10_000


def predicted_by(seed: int) -> str:
    """Column of stored predictions: the class that the refit of a seed predicts."""
    return f"predicted_{seed}" if seed else "predicted"


def _backbone(name: str) -> str:
    try:
        found = fusion.parse(name)
    except BackboneError as error:
        raise ValueError(f"it is neither a name nor an address: {error}") from error
    if found.name != name or not all(":" in e or re.fullmatch(_NAME, e) for e in found.backbones):
        raise ValueError("it is neither a name nor an address")
    return name


def _sound(text: str) -> str:
    # half a character, which JSON may hold and no file can, becomes a code
    whole = text.encode("utf-8", "backslashreplace").decode()
    return whole if len(whole) <= _LONGEST_TEXT else f"{whole[:_LONGEST_TEXT]}…"


# Neither a path nor hidden, whatever it is joined to.
_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
Name = Annotated[str, Field(pattern=f"^{_NAME}$")]
Backbone = Annotated[str, Field(max_length=1000), AfterValidator(_backbone)]
# For people to read.
Words = Annotated[str, AfterValidator(_sound)]
Whole = Annotated[int, Field(ge=-(2**63), le=2**63)]
Layer = Annotated[int, Field(ge=0, le=10_000)]
Seconds = Annotated[float, Field(ge=0, le=1e12)]
# Per second of wall time; rounded to its third decimal, and something divides by it.
Speed = Annotated[float, Field(ge=0.001, le=1e12)]
# One that diverges is as large as single precision holds.
Loss = Annotated[float, Field(ge=-1e39, le=1e39)]
Value = Annotated[float, Field(ge=-1e300, le=1e300)] | Whole | Words | bool
_Item = TypeVar("_Item")
# The first wrong item will do: to collect a million reasons takes gigabytes.
Items = Annotated[list[_Item], Field(fail_fast=True)]


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
        repeats: whether each fold is a split of its own, so that clips may be tested in several;
            scores are then means over the folds.
    """

    summary: Words
    grouped: bool
    leaks: bool
    subset: bool
    # no record is of such a protocol that was written before there was one
    repeats: bool = False


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

    summary: Words
    task: Words
    backbone: Words
    protocols: Items[Words]
    poolings: Items[Words]
    measured_on: Words
    figures: dict[Literal["accuracy", "macro_f1", "precision", "recall"], Words]
    undocumented: Items[Words] = Field(default_factory=list)
    differs: Items[Words] = Field(default_factory=list)


class WeightsRecord(_Strict):
    """Which weights ran.

    Attributes:
        commit: of the repository `id`, where it is one and the commit is known.
        sha: sha256 of the weight file, None unless pretrained.
    """

    id: Words | None
    commit: Words | None = None
    sha: Words | None
    kind: Literal["pretrained", "random-init", "none"]
    size: Literal["full", "small"] = "full"
    seed: Whole | None = None


class TrialCounts(_Strict):
    """Optuna trials of one study by final state."""

    complete: Count
    pruned: Count
    failed: Count


class EpochRecord(_Strict):
    """One epoch of training; losses are mean cross-entropies in nats."""

    train_loss: Loss
    validation_loss: Loss | None = None
    validation_accuracy: Share | None = None
    validation_macro_f1: Share | None = None


class TriedRecord(_Strict):
    """How settings were searched on inner folds.

    Attributes:
        how: `every` one there is; each on the `best` layers of a fusion's parts; or drawn ones in
            a `race`, where most are given up before the last inner folds.
        settings: how many, layers times the settings of each included.
        inner_folds: how many there are.
        curve: the highest macro-F1 so far, in the order tried: after each layer on all inner folds
            of `every` and `best`, after each setting on the first inner folds of a `race`.
        lowest, highest: parameters whose chosen value lies at that end of what was tried.
        by_layer: of `every`, the highest macro-F1 on all inner folds at each layer, from layer 0.
    """

    how: Literal["every", "best", "race"]
    settings: Count
    inner_folds: Count
    curve: Items[Share]
    lowest: Items[Words]
    highest: Items[Words]
    # no record has them that was written before they were kept
    by_layer: Items[Share] = Field(default_factory=list)


class SeedRecord(_Strict):
    """What the refits of one seed score on the test clips."""

    accuracy: Share
    macro_f1: Share


class FoldRecord(_Strict):
    """One outer fold: what was tuned on validation and what it gave on test.

    Attributes:
        layer: `weighted` where a sum of layers was learnt; of a fusion, one per part.
        trained: what of the network was trained, in words; None where the head's name says it.
        best_epoch: 0-based, the one the best trial was stopped at, up to which the refit trains.
        curve: epochs of the best trial, of a head trained epoch by epoch on the training clips.
        notes: what else happened, e.g. that the batch was halved.
        tried: of a search on inner folds, whose predictions give the validation scores.
        test_accuracy, test_macro_f1: of the first seed.
    """

    test_groups: Items[Words]
    clips: dict[Literal["train", "validation", "test"], Count]
    best_params: dict[Words, Value | None]
    layer: Layer | Items[Layer] | Literal["weighted"]
    trained: Words | None = None
    val_accuracy: Share
    val_macro_f1: Share
    test_accuracy: Share
    test_macro_f1: Share
    trials: TrialCounts
    trial_errors: Items[Words] = Field(default_factory=list)
    best_epoch: Count | None = None
    curve: Items[EpochRecord] = Field(default_factory=list)
    notes: Items[Words] = Field(default_factory=list)
    # no record has one that was written before there were inner folds
    tried: TriedRecord | None = None

    @model_validator(mode="after")
    def _best_epoch_is_in_its_curve(self) -> Self:
        if self.curve and self.best_epoch is not None and self.best_epoch >= len(self.curve):
            raise ValueError(f"best_epoch is {self.best_epoch} of {len(self.curve)} epochs")
        return self


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

    backbone_rtfx: Speed
    end_to_end_rtfx: Speed
    audio_seconds: Seconds
    batch: Count
    dtype: Words
    threads: Count
    hardware: Words
    predict_clips_per_s: Annotated[float, Field(ge=0, le=1e15)]
    tuning_hardware: Words
    tuning_threads: Count
    tuning_seconds: Seconds


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
    device: Words
    precision: Items[Words]
    frozen_part: Literal["cached", "live", "both"]
    augmentation: dict[Words, Value | Items[float]] | None = None
    crop_seconds: Seconds | None = None


class MemoryRecord(_Strict):
    """Largest resident size of the child process that extracted the features, MiB.

    Attributes:
        peak_rss_mb: in all.
        loaded_rss_mb: before its first clip, libraries and weights.
    """

    peak_rss_mb: Annotated[float, Field(ge=0, le=1e12)]
    # no record has it that was written before it was asked
    loaded_rss_mb: Annotated[float, Field(ge=0, le=1e12)] | None = None


class ExcludedRecord(_Strict):
    """A clip left out, and why."""

    clip: Words
    reason: Words


class Provenance(_Strict):
    """When and from what the numbers came about; on what hardware says `Throughput`.

    Attributes:
        packages: versions of all that the numbers depend on.
        cache_hit: whether the run that finished this record passed no clip through the backbone,
            since all vectors were in the cache.
        fingerprint: digest of everything that decides the scores; a record with the same
            fingerprint is finished and never computed again.
    """

    git_sha: Words | None
    packages: dict[Words, Words]
    utc: Words
    cache_hit: bool | None
    feature_key: Words | None
    fingerprint: Words | None


class Record(_Strict):
    """The stored result of one cell.

    Attributes:
        sample: whether the clips are generated ones, which share no table with real ones.
        group: what clips are grouped by, in one word, such as `speaker`.
        own: of one's own data, the arguments that name them.
        published: the system that `preset` repeats; None without a preset.
        data: of one's own data, the digest of all usable clips: files may come, go or change.
        differs: what the backbone does otherwise than published.
        seeds: scores by seed of the refits, where there are several; `scores` are their means.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    status: Literal["ok", "skipped", "failed"]
    reason: Words | None = None
    task: Name
    sample: bool
    group: Words
    # no record is of one's own data that was written before they could be read
    own: Items[Words] | None = None
    protocol: Name
    folding: Folding
    backbone: Backbone
    pooling: Name
    head: Name
    control: Literal["random-init"] | None = None
    preset: Name | None = None
    published: PublishedSystem | None = None
    seed: Whole
    trials: Count
    labels: Annotated[Items[Words], Field(max_length=1000)]
    clips: Count
    # no record says so that was written before it was asked
    data: Words | None = None
    weights: WeightsRecord
    # no record says so that was written before it was asked
    differs: Words | None = None
    parameters: Count | None = None
    layers: Layer | None = None
    scores: Scores | None = None
    # no record has several that was written before there were any
    seeds: Annotated[Items[SeedRecord], Field(max_length=1000)] = Field(default_factory=list)
    folds: Annotated[Items[FoldRecord], Field(max_length=1000)] = Field(default_factory=list)
    throughput: Throughput | None = None
    training: TrainingRecord | None = None
    memory: MemoryRecord | None = None
    excluded: Items[ExcludedRecord] = Field(default_factory=list)
    notes: Items[Words] = Field(default_factory=list)
    provenance: Provenance

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if (self.preset is None) != (self.published is None):
            raise ValueError("preset and published are given together, or neither is")
        if (self.status == "ok") != (self.scores is not None):
            raise ValueError("a record of status ok has scores, and no other")
        if len(set(self.labels)) != len(self.scores.confusion if self.scores else self.labels):
            raise ValueError("labels are distinct, and as many as the confusion has rows")
        if len(self.cell.relative_path.name) > _LONGEST_FILE_NAME:
            raise ValueError("the names of backbone, pooling and head are too long for one file")
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
    def fused(self) -> bool:
        """Whether it joins vectors of several layers; or of one that the name fixes."""
        return not fusion.parse(self.backbone).alone

    @property
    def encoders(self) -> tuple[str, ...]:
        """The backbones that clips pass: one, or those of a fusion."""
        return fusion.parse(self.backbone).backbones

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
