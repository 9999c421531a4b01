"""Cells whose heads read frames or train the backbone: made in the worker, then tuned."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import Trial

from bench.config.grid import Cell
from bench.features.extract import Extraction
from bench.features.store import FeatureView
from bench.plugins import HEADS
from bench.protocols.fold import Fold
from bench.tuning import layers
from bench.tuning.fits.augment import Augmentation
from bench.tuning.fits.stored import BackboneClips, Recordings, sequences
from bench.tuning.fits.vectors import Classes, Draw, Layer, Tested, Validated, Watch, spread
from heads import HeadContext
from heads.base import Wants
from heads.sequences import Sequences, Training


@dataclass(frozen=True)
class FramesSource:
    """Frames of frozen layers, pooled by the head.

    Attributes:
        job: names the clips and where their frames are.
        layers: those to choose from.
        crop_seconds: how much of the beginning of a clip is used.
    """

    job: Extraction
    layers: tuple[int, ...]
    crop_seconds: float

    def open(self, cell: Cell, classes: Classes, n_classes: int, threads: int) -> FramesProblem:
        """The problem of a head that reads frames."""
        return FramesProblem(cell, classes, n_classes, threads, self)


@dataclass(frozen=True)
class BackboneSource:
    """A live backbone, cut after a layer and trained from some block on.

    Attributes:
        job: names the clips, the backbone and where frames are.
        layers: those whose frames are kept.
        crop_seconds: how much of the beginning of a clip is used.
        cached: whether the input of the first trained block is read from the store.
        augment: whether training clips are augmented.
    """

    job: Extraction
    layers: tuple[int, ...]
    crop_seconds: float
    cached: bool
    augment: bool

    def open(self, cell: Cell, classes: Classes, n_classes: int, threads: int) -> BackboneProblem:
        """The problem of a head that trains the backbone."""
        return BackboneProblem(cell, classes, n_classes, threads, self)


class _Trained(ABC):
    """What both kinds of problem share: labels, folds, heads and their training.

    Attributes:
        classes: class index of every clip, (clips,).
        n_classes: number of classes.
        layers: how many layers there are to choose from.
    """

    wants: Wants

    def __init__(
        self, cell: Cell, classes: Classes, n_classes: int, threads: int, job: Extraction
    ) -> None:
        self.classes = classes
        self.n_classes = n_classes
        self._cell = cell
        self._threads = threads
        self._job = job
        self._clips = tuple(source.pcm_sha256 for source in job.sources)
        self._seconds = np.array([source.seconds for source in job.sources])
        self._view: FeatureView = job.features().view(self._clips)
        self.layers = self._view.layers

    @abstractmethod
    def inputs(self, draw: Draw) -> Any:
        """What the head is fitted on, for all clips."""

    @abstractmethod
    def first(self, fold: Fold) -> dict[str, Any]:
        """What the first trial of a study draws, by name; the sampler draws the rest."""

    def live(self, draw: Draw) -> bool:
        """Whether the frozen part of the backbone runs in every epoch."""
        return False

    def validate(self, draw: Draw, fold: Fold, seed: int, watch: Watch) -> Validated:
        """Train on the training clips, score each epoch on the validation clips."""
        clips = self.inputs(draw)
        validation = (clips.take(fold.validation), self.classes[fold.validation])
        training = self._training(watch, validation)
        head = self._head(draw.params, seed)
        head.fit(clips.take(fold.train), self.classes[fold.train], training)
        best = head.curve_[head.best_epoch_]
        return Validated(
            accuracy=best.validation_accuracy,
            macro_f1=best.validation_macro_f1,
            best_epoch=head.best_epoch_,
            curve=tuple(head.curve_),
            notes=tuple(training.notes),
            precision=head.precision_,
            live=self.live(draw),
        )

    def test(self, draw: Draw, validated: Validated, fold: Fold, seed: int, watch: Watch) -> Tested:
        """Train on training and validation clips up to the best epoch, predict the test clips."""
        clips = self.inputs(draw)
        fitted_on = np.concatenate([fold.train, fold.validation])
        training = self._training(watch, None)
        head = self._head(self._refit_params(draw, validated), seed)
        head.fit(clips.take(fitted_on), self.classes[fitted_on], training)
        test = clips.take(fold.test)
        began = time.perf_counter()
        probabilities = spread(head.predict_proba(test), head.classes_, self.n_classes)
        seconds = time.perf_counter() - began
        return Tested(probabilities, len(fold.test) / seconds, tuple(training.notes))

    def _refit_params(self, draw: Draw, validated: Validated) -> dict[str, Any]:
        """Parameters of the head that is fitted on training and validation clips together."""
        return draw.params

    def _head(self, params: dict[str, Any], seed: int) -> Any:
        given = {**params, "pooling": self._cell.pooling}
        head = HEADS.fitted_on(self._cell.head, self.wants)
        return head(**given, random_state=seed, n_jobs=self._threads)

    def _training(self, watch: Watch, validation: tuple[Any, NDArray[Any]] | None) -> Training:
        device = self._job.device if self.wants == "backbone" else "cpu"
        return Training(validation, watch.folder, watch.on_epoch, device)

    def _most_frames(self, layer: int, crop_seconds: float) -> int:
        """Frames in the part of a clip that is used."""
        # of the longest clip: the edges of short ones make the rate look higher
        longest = int(np.argmax(self._seconds))
        rate = float(self._view.frames(max(layer, 0))[longest] / self._seconds[longest])
        return max(1, round(crop_seconds * rate))


class FramesProblem(_Trained):
    """A head that pools the frames of a frozen layer, or of a learnt sum of layers."""

    wants: Wants = "frames"

    def __init__(
        self, cell: Cell, classes: Classes, n_classes: int, threads: int, source: FramesSource
    ) -> None:
        super().__init__(cell, classes, n_classes, threads, source.job)
        self._source = source
        self._mixable = tuple(layer for layer in self._view.mixable() if layer in source.layers)

    def draw(self, trial: Trial, fold: Fold) -> Draw:
        """Draw one layer or the weighted sum of those of one shape, and the head's parameters."""
        offered = self._source.layers
        position = trial.suggest_int("layer", 0, len(offered) - 1) if len(offered) > 1 else 0
        layer: Layer = offered[position]
        if len(self._mixable) > 1:
            kind = trial.suggest_categorical("layers", ["single", "weighted"])
            layer = "weighted" if kind == "weighted" else layer
        head = HEADS.fitted_on(self._cell.head, self.wants)
        return Draw(layer, head.suggest(trial, self._context(layer, fold)))

    def first(self, fold: Fold) -> dict[str, Any]:
        """The middle layer alone, and what the head proposes."""
        position = len(self._source.layers) // 2
        head = HEADS.fitted_on(self._cell.head, self.wants)
        proposed = head.first(self._context(self._source.layers[position], fold))
        return {"layer": position, "layers": "single", **proposed}

    def _context(self, layer: Layer, fold: Fold) -> HeadContext:
        width = self._view.width(self._mixable[-1] if layer == "weighted" else layer)
        return HeadContext(len(fold.train), width, self.n_classes)

    def inputs(self, draw: Draw) -> Sequences:
        """Frames of the layer or layers, for all clips."""
        chosen = self._mixable if draw.layer == "weighted" else (draw.layer,)
        return sequences(
            Recordings(self._job, self._clips),
            chosen,
            most_frames=self._most_frames(chosen[-1], self._source.crop_seconds),
        )


class BackboneProblem(_Trained):
    """A head that trains the backbone's last blocks below the layer where it is cut."""

    wants: Wants = "backbone"

    def __init__(
        self, cell: Cell, classes: Classes, n_classes: int, threads: int, source: BackboneSource
    ) -> None:
        super().__init__(cell, classes, n_classes, threads, source.job)
        self._source = source
        augmentation = Augmentation() if source.augment else None
        self._recordings = Recordings(source.job, self._clips, augmentation)
        self._stored = frozenset(source.job.frame_set().layers_of(self._clips))

    def draw(self, trial: Trial, fold: Fold) -> Draw:
        """Draw where the backbone is cut, and the head's parameters."""
        last = self.layers - 1
        layer = trial.suggest_int("layer", 1, last) if last > 1 else last
        head = HEADS.fitted_on(self._cell.head, self.wants)
        params = head.suggest(trial, self._context(layer, fold))
        if params.get("blocks") is not None:
            # the space is the same for every cut; a low cut has fewer blocks below it
            params["blocks"] = min(params["blocks"], layer)
        return Draw(layer, params)

    def first(self, fold: Fold) -> dict[str, Any]:
        """A cut in the middle, whose layers transfer best as a rule, and what the head proposes."""
        middle = self.layers // 2
        head = HEADS.fitted_on(self._cell.head, self.wants)
        return {"layer": middle, **head.first(self._context(middle, fold))}

    def _context(self, layer: int, fold: Fold) -> HeadContext:
        return HeadContext(
            clips=len(fold.train),
            features=self._view.width(layer),
            classes=self.n_classes,
            blocks=self.layers - 1,
            accelerator=self._job.device != "cpu",
        )

    def _refit_params(self, draw: Draw, validated: Validated) -> dict[str, Any]:
        # without validation clips nothing says when to stop: the epoch is known from before
        epochs = None if validated.best_epoch is None else validated.best_epoch + 1
        return {**draw.params, "refit_epochs": epochs}

    def live(self, draw: Draw) -> bool:
        """Whether the frozen part runs in every epoch: if asked for, or not every layer is kept."""
        return not self._source.cached or layers.input_of(draw) not in self._stored

    def inputs(self, draw: Draw) -> BackboneClips:
        """The clips of the cut backbone."""
        start = layers.input_of(draw)
        return BackboneClips(
            self._recordings,
            layers.cut_of(draw),
            cached=not self.live(draw),
            most_frames=self._most_frames(start, self._source.crop_seconds),
        )
