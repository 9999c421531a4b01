"""What a cell tunes: how one trial is drawn, fitted on train, scored on validation, and tested."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from optuna.trial import Trial
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.features.store import FeatureView
from bench.plugins import HEADS
from bench.protocols.fold import Fold
from bench.scoring import macro_f1
from heads import HeadContext
from heads.sequences import Epoch

Vectors = NDArray[np.float32]
Classes = NDArray[np.int64]
Layer = int | Literal["weighted"]


@dataclass(frozen=True)
class Draw:
    """What one trial is: a layer, and constructor parameters of the head."""

    layer: Layer
    params: dict[str, Any]


@dataclass(frozen=True)
class Validated:
    """What a head fitted on the training clips gave on the validation clips.

    Attributes:
        accuracy, macro_f1: of the best epoch, where there are epochs.
        best_epoch: 0-based, None where the head does not stop by validation.
        curve: every epoch, where there are any.
        notes: what a reader should know, e.g. that the batch was halved.
        precision: what training computed in, None for heads on vectors.
        live: whether the frozen part of the backbone ran in every epoch.
    """

    accuracy: float
    macro_f1: float
    best_epoch: int | None = None
    curve: tuple[Epoch, ...] = ()
    notes: tuple[str, ...] = ()
    precision: str | None = None
    live: bool = False


@dataclass(frozen=True)
class Tested:
    """What the refitted head said of the test clips.

    Attributes:
        probabilities: (clips, n_classes).
        clips_per_s: of predicting.
        notes: what a reader should know of the refit.
    """

    probabilities: NDArray[np.float64]
    clips_per_s: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Watch:
    """How a fit is followed and saved.

    Attributes:
        folder: for its checkpoints; belongs to this fit alone.
        on_epoch: called after each epoch; may raise to end the fit.
    """

    folder: Path
    on_epoch: Callable[[Epoch], None] = field(default=lambda epoch: None)


class Problem(Protocol):
    """The clips and labels of a cell, with its backbone, pooling and head."""

    @property
    def layers(self) -> int:
        """How many layers there are to choose from."""
        ...

    def draw(self, trial: Trial, fold: Fold) -> Draw:
        """Draw a layer and parameters from the search space."""
        ...

    def first(self, fold: Fold) -> dict[str, Any]:
        """What the first trial of a study draws, by name; the sampler draws the rest."""
        ...

    def validate(self, draw: Draw, fold: Fold, seed: int, watch: Watch) -> Validated:
        """Fit on the training clips and score on the validation clips."""
        ...

    def test(self, draw: Draw, validated: Validated, fold: Fold, seed: int, watch: Watch) -> Tested:
        """Fit on training and validation clips and predict the test clips, once."""
        ...


@dataclass(frozen=True)
class VectorProblem:
    """Pooled vectors of frozen layers, standardised with the statistics of the clips fitted on.

    Attributes:
        features: vectors of all clips, by layer and pooling.
        classes: class index of every clip, (clips,).
        n_classes: number of classes.
        pooling: name of the pooling.
        head: name of the head.
        threads: for fitting.
    """

    features: FeatureView
    classes: Classes
    n_classes: int
    pooling: str
    head: str
    threads: int

    @property
    def layers(self) -> int:
        """How many layers there are to choose from."""
        return self.features.layers

    def draw(self, trial: Trial, fold: Fold) -> Draw:
        """Draw a layer and the head's parameters."""
        layer = trial.suggest_int("layer", 0, self.layers - 1) if self.layers > 1 else 0
        context = HeadContext(
            clips=len(fold.train),
            features=self._vectors(layer).shape[1],
            classes=self.n_classes,
        )
        return Draw(layer, HEADS.fitted_on(self.head).suggest(trial, context))

    def first(self, fold: Fold) -> dict[str, Any]:
        """Nothing: fits on vectors are cheap enough to begin anywhere."""
        return {}

    def validate(self, draw: Draw, fold: Fold, seed: int, watch: Watch) -> Validated:
        """Fit on the training clips and score on the validation clips."""
        vectors = self._vectors(draw.layer)
        model = self._model(draw, seed).fit(vectors[fold.train], self.classes[fold.train])
        predicted = self._probabilities(model, vectors[fold.validation]).argmax(axis=1)
        truth = self.classes[fold.validation]
        return Validated(
            float(np.mean(predicted == truth)), macro_f1(truth, predicted, self.n_classes)
        )

    def test(self, draw: Draw, validated: Validated, fold: Fold, seed: int, watch: Watch) -> Tested:
        """Fit on training and validation clips and predict the test clips, once."""
        fitted_on = np.concatenate([fold.train, fold.validation])
        vectors = self._vectors(draw.layer)
        model = self._model(draw, seed).fit(vectors[fitted_on], self.classes[fitted_on])
        began = time.perf_counter()
        probabilities = self._probabilities(model, vectors[fold.test])
        return Tested(probabilities, len(fold.test) / (time.perf_counter() - began))

    def _vectors(self, layer: Layer) -> Vectors:
        if layer == "weighted":
            raise ValueError("a weighted sum of layers is learnt from frames, not from vectors")
        return self.features.vectors(layer, self.pooling)

    def _model(self, draw: Draw, seed: int) -> Pipeline:
        cls = HEADS.fitted_on(self.head)
        head = cls(**draw.params, random_state=seed, n_jobs=self.threads)
        return make_pipeline(StandardScaler(), head)

    def _probabilities(self, model: Pipeline, vectors: Vectors) -> NDArray[np.float64]:
        return spread(model.predict_proba(vectors), model.classes_, self.n_classes)


def spread(
    probabilities: NDArray[np.float64], classes: NDArray[np.int64], n_classes: int
) -> NDArray[np.float64]:
    """Probabilities (clips, n_classes), zero for classes absent from training.

    Args:
        probabilities: (clips, len(classes)).
        classes: class index of each column.
        n_classes: number of classes of the task.
    """
    out = np.zeros((len(probabilities), n_classes))
    out[:, classes] = probabilities
    return out
