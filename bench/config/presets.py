"""Presets: published systems as frozen recipes, to be run as they are and compared with.

Every figure and setting here is as published by the system's authors. What they did not publish
is in `undocumented`, with what stands in for it here; nothing is tuned. The stand-ins add as little
as possible: the head's own defaults, no decay, no dropout, no augmentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from bench.config.spec import GridConfig
from bench.errors import UserError, nearest


@dataclass(frozen=True)
class Quoted:
    """A published figure with the digits it was published with.

    Attributes:
        share: such as `0.76`.
        above: True where no more than "above" it was published.
    """

    share: str
    above: bool = False

    @property
    def percent(self) -> str:
        """In percent, such as `76` or `above 70`."""
        digits = f"{Decimal(self.share).scaleb(2):f}"
        return f"above {digits}" if self.above else digits


@dataclass(frozen=True)
class Published:
    """What the authors report; None is what they do not.

    Attributes:
        measured_on: the clips the figures are of, as far as that is known.
    """

    measured_on: str
    accuracy: Quoted | None = None
    macro_f1: Quoted | None = None
    precision: Quoted | None = None
    recall: Quoted | None = None

    def __str__(self) -> str:
        named = {
            "accuracy": self.accuracy,
            "macro-F1": self.macro_f1,
            "precision": self.precision,
            "recall": self.recall,
        }
        return ", ".join(f"{name} {value.percent} %" for name, value in named.items() if value)


@dataclass(frozen=True)
class Preset:
    """One published system.

    Attributes:
        name: as on the command line, in records and in paths.
        summary: one line for `voxgrid list`.
        task: what it was published on.
        protocols: the one nearest to how it was published, then those that keep groups apart.
        backbone: name of the backbone.
        poolings: one row each.
        head: name of the head.
        published: its figures.
        params: constructor parameters of the head; the pooling, seed and threads are the cell's.
        crop_seconds: how much of the beginning of a clip training reads; None: what the
            configuration says. Of no effect on heads that read vectors, which are of all the sound
            of a clip.
        undocumented: what is not documented, and what is done here.
        differs: what is done differently here on purpose.
        layer: the layer read or cut at.
    """

    name: str
    summary: str
    task: str
    protocols: tuple[str, ...]
    backbone: str
    poolings: tuple[str, ...]
    head: str
    published: Published
    params: Mapping[str, float | int | str | bool] = field(hash=False)
    crop_seconds: float | None = None
    undocumented: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()
    layer: Literal["last"] = "last"


# What the harness does to every system
_REFIT = (
    "Test clips choose nothing here: the head is fitted on the training clips, scored on the "
    "validation clips, fitted again on both and tested once."
)
_EPOCH = (
    "Test clips choose nothing here: the epoch is chosen on the validation clips, the training is "
    "repeated on training and validation clips for as many epochs, and the test clips are scored "
    "once."
)
_STANDARDISED = "Vectors are standardised with the statistics of the clips fitted on."
_POOLING = "How frames become one vector per clip: averaged here."
_SPLIT = (
    "How the clips were split: random-75-25 (random_state=101) stands for it here, channel-5fold "
    "is the fair one."
)
_CLASSIFIER = (
    "The classifier on the pooled frames: one linear layer on standardised vectors here, without "
    "dropout."
)
_DECAY = "Optimiser, weight decay and augmentation: AdamW here, without decay or augmentation."

_PRESETS = (
    Preset(
        name="s2t-mlp-youtube",
        summary="Speech2Text encoder vectors → neural network",
        task="youtube",
        protocols=("random-75-25", "channel-5fold"),
        backbone="speech2text",
        poolings=("mean",),
        head="mlp",
        published=Published(
            "a split that is not documented", accuracy=Quoted("0.5575"), macro_f1=Quoted("0.5595")
        ),
        params={
            "hidden": 256,
            "dropout": 0.3,
            "learning_rate": 1e-3,
            "weight_decay": 1.0,
            "epochs": 20,
            "batch_size": 64,
        },
        undocumented=(
            _SPLIT,
            "How its F1 was averaged over classes: it stands in the macro-F1 column.",
            _POOLING,
            "Layers, dropout, optimiser and epochs of the network: those of the head `mlp` before "
            "tuning.",
            "How much of a clip was used: all of what is stored of it here, its first 60 s unless "
            "fetched otherwise.",
        ),
        differs=(_REFIT, _STANDARDISED),
    ),
    Preset(
        name="w2v2-finetune-youtube",
        summary="wav2vec2-base but its feature encoder fine-tuned on 60 s of 109 clips per class",
        task="youtube",
        protocols=("balanced-109", "channel-5fold"),
        backbone="wav2vec2",
        poolings=("mean",),
        head="fine_tune",
        published=Published(
            "the 44 validation clips that the system was also selected on, where always answering "
            "one class gives 25 %",
            accuracy=Quoted("0.6364"),
        ),
        params={
            "trained": "all",
            "mix": False,
            "hidden": 0,
            "dropout": 0.0,
            "backbone_learning_rate": 1e-5,
            "learning_rate": 1e-5,
            "weight_decay": 0.0,
            "warmup": 0.1,
            "epochs": 45,
            "patience": 45,  # every epoch runs, and the best one is kept
            "batch_size": 8,
            "accumulate": 4,
        },
        crop_seconds=60.0,
        undocumented=(
            _POOLING,
            _CLASSIFIER,
            _DECAY,
            "Which 109 clips of each class, and which 98 of them trained: drawn with a fixed seed "
            "here, 11 of the 98 for validation.",
        ),
        differs=(
            _EPOCH,
            "The published figure is of the clips that also chose the system; here validation and "
            "test clips are different ones.",
        ),
    ),
    Preset(
        name="quartznet-mlp-youtube",
        summary="QuartzNet encoder vectors of the first 60 s → neural network",
        task="youtube",
        protocols=("random-75-25", "channel-5fold"),
        backbone="quartznet",
        poolings=("mean",),
        head="mlp",
        published=Published(
            "a split that is not documented",
            accuracy=Quoted("0.70", above=True),
            precision=Quoted("0.70", above=True),
            recall=Quoted("0.70", above=True),
        ),
        params={
            "hidden": 256,
            "dropout": 0.9,
            "learning_rate": 1e-3,
            "weight_decay": 1.0,
            "epochs": 20,
            "batch_size": 64,
        },
        undocumented=(
            _SPLIT,
            "How long the fragments of a clip were: windows of the harness here.",
            "Optimiser, learning rate and epochs of the network: those of the head `mlp` before "
            "tuning.",
            "How precision and recall were averaged over classes.",
        ),
        differs=(
            _REFIT,
            _STANDARDISED,
            "A clip's vector is the average over all its frames, hence a shorter last fragment "
            "counts for less.",
            "Vectors are of all the sound that is stored of a clip: its first 60 s as in the "
            "published system, unless fetched otherwise.",
        ),
    ),
    Preset(
        name="xlsr-finetune-ravdess",
        summary="XLSR-53 but its feature encoder fine-tuned, merging frames by mean, sum or max",
        task="ravdess",
        protocols=("random-80-20", "speaker-6fold"),
        backbone="xlsr",
        poolings=("mean", "sum", "max"),
        head="fine_tune",
        published=Published(
            "a random split with every speaker on both sides",
            accuracy=Quoted("0.76"),
            macro_f1=Quoted("0.74"),
        ),
        params={
            "trained": "all",
            "mix": False,
            "hidden": 0,
            "dropout": 0.0,
            "backbone_learning_rate": 1e-4,
            "learning_rate": 1e-4,
            "weight_decay": 0.0,
            "warmup": 0.0,
            "epochs": 2,
            "patience": 2,  # every epoch runs, and the best one is kept
            "batch_size": 2,
            "accumulate": 2,
        },
        undocumented=(
            "Which of the three ways of merging frames the figures are of: each is a row here.",
            _CLASSIFIER,
            _DECAY,
            "Warm-up of the learning rate: none here.",
            "The seed of the split: 101 here.",
        ),
        differs=(_EPOCH,),
    ),
    Preset(
        name="w2v2-gb-ravdess",
        summary="wav2vec2 vectors → gradient boosting, the best of several classifiers",
        task="ravdess",
        protocols=("random-80-20", "speaker-6fold"),
        backbone="wav2vec2",
        poolings=("mean",),
        head="gradient_boosting",
        published=Published(
            "a stratified random split with every speaker on both sides", accuracy=Quoted("0.48")
        ),
        params={
            "n_estimators": 100,
            "learning_rate": 0.1,
            "max_depth": 3,
            "subsample": 1.0,
            "colsample_bytree": 1.0,
            "min_child_weight": 1.0,
            "reg_lambda": 1.0,
            "max_bin": 64,
        },
        undocumented=(
            "Which wav2vec2 and which layer: the last layer of wav2vec2-base here.",
            _POOLING,
            "Settings of the boosting: scikit-learn's defaults of rounds, step and depth here "
            "(100, 0.1 and 3).",
            "The seed of the split: 101 here.",
        ),
        differs=(
            _REFIT,
            _STANDARDISED,
            "It was the best of several scikit-learn classifiers; here it is the only one.",
            "The trees are XGBoost's, grown on histograms, instead of scikit-learn's.",
        ),
    ),
)
PRESETS: dict[str, Preset] = {preset.name: preset for preset in _PRESETS}


def find(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        UserError: there is none; says which was meant.
    """
    if name not in PRESETS:
        raise UserError(f"unknown preset '{name}': {nearest(name, PRESETS)}")
    return PRESETS[name]


def describe(name: str) -> str:
    """One line about a preset, with its published figures.

    Raises:
        UserError: unknown preset.
    """
    preset = find(name)
    return f"{preset.summary}; published: {preset.published}"


def apply(preset: Preset, config: GridConfig, asked: Mapping[str, Any]) -> GridConfig:
    """The configuration that runs a preset: its cells with nothing tuned, so one fit per fold.

    Args:
        preset: what to run.
        config: as loaded; settings that are not the preset's stay.
        asked: fields of the configuration that the command line gave. `tasks`, `protocols`,
            `backbones` and `poolings` win over the preset's; on another task, all its protocols
            run unless some are given. `heads`, `trials` and `augment` are refused.

    Raises:
        UserError: a head, more than one trial, or augmentation was asked for.
    """
    if asked.get("heads"):
        raise UserError(
            f"preset '{preset.name}' runs its own head, {preset.head}: leave out --head, or "
            "leave out --preset to tune another head"
        )
    if (asked.get("trials") or 1) != 1:
        raise UserError(
            f"preset '{preset.name}' tunes nothing: leave out --trials, or leave out --preset"
        )
    if asked.get("augment"):
        raise UserError(
            f"preset '{preset.name}' runs as published, without augmentation: leave out --augment, "
            "or leave out --preset"
        )
    chosen = tuple(asked.get("tasks") or ())
    own_task = not chosen or chosen == (preset.task,)
    poolings = tuple(asked.get("poolings") or preset.poolings)
    training = {"trials": 1, "poolings": poolings, "augment": False}
    if preset.crop_seconds is not None:
        training["crop_seconds"] = preset.crop_seconds
    return config.model_copy(
        update={
            "tasks": chosen or (preset.task,),
            "protocols": tuple(asked.get("protocols") or (preset.protocols if own_task else ())),
            "backbones": tuple(asked.get("backbones") or (preset.backbone,)),
            "poolings": poolings,
            "heads": (preset.head,),
            "trials": 1,
            "sample": config.sample.model_copy(update={"trials": 1, "trainings": 1}),
            "fine_tune": config.fine_tune.model_copy(update=training),
        }
    )
