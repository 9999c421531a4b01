"""Fit → Fitted: the two calls that tuning, testing and refitting are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from optuna.trial import Trial

from bench.config.grid import Cell
from heads import Epoch

Indices = NDArray[np.int64]
Classes = NDArray[np.int64]
Probabilities = NDArray[np.float64]
# Of a fusion there is one for each part.
Layer = int | tuple[int, ...] | Literal["weighted"]


@dataclass(frozen=True)
class Draw:
    """What is fitted: a layer, and constructor parameters of the head."""

    layer: Layer
    params: dict[str, Any]


@dataclass(frozen=True)
class Labels:
    """The class index of every clip of a cell, (clips,), and the number of classes."""

    classes: Classes
    number: int


@dataclass(frozen=True)
class Watch:
    """How one fit is followed and saved.

    Attributes:
        folder: for its checkpoints; belongs to this fit alone.
        validation: clips that each epoch is scored on, for heads that have epochs.
        on_epoch: called after each epoch; may raise to end the fit.
    """

    folder: Path
    validation: Indices | None = None
    on_epoch: Callable[[Epoch], None] = field(default=lambda epoch: None)


@dataclass(frozen=True, kw_only=True)
class Fitted(ABC):
    """A draw that was trained on some clips, and predicts.

    Attributes:
        curve: every epoch, where there are any.
        best_epoch: 0-based, of the weights that were kept; None where there are no epochs.
        notes: what a reader should know, e.g. that the batch was halved.
        precision: what training computed in, None for heads on vectors.
        live: whether the frozen part of the backbone ran in every epoch.
    """

    curve: tuple[Epoch, ...] = ()
    best_epoch: int | None = None
    notes: tuple[str, ...] = ()
    precision: str | None = None
    live: bool = False

    @abstractmethod
    def predict(self, clips: Indices) -> Probabilities:
        """Probabilities (len(clips), classes) of some of the cell's clips."""


@dataclass(frozen=True)
class Request:
    """One fit among many; the arguments of `Fit.fit`."""

    draw: Draw
    clips: Indices
    seed: int
    watch: Watch


class Fit(ABC):
    """What a cell fits: its clips, their labels, and a head on what it reads of the backbone.

    Attributes:
        layers: how many layers there are to choose from.
    """

    layers: int

    @abstractmethod
    def draw(self, trial: Trial, clips: int) -> Draw:
        """Draw a layer and parameters from the search space, for a fit on so many clips."""

    def first(self, clips: int) -> dict[str, Any]:
        """What the first trial of a study draws, by name; the sampler draws the rest."""
        return {}

    def said(self, layer: Layer) -> dict[str, Any]:
        """A chosen layer as it stands among parameters: nothing where there was no choice."""
        return {"layer": layer} if self.layers > 1 else {}

    def refit(self, draw: Draw, best_epoch: int | None) -> Draw:
        """What to fit on more clips without validation clips, after the best epoch with them."""
        return draw

    @abstractmethod
    def fit(self, draw: Draw, clips: Indices, seed: int, watch: Watch) -> Fitted:
        """Train a draw on some of the cell's clips.

        Args:
            draw: from `draw` or `refit`.
            clips: indices into the cell's clips; nothing else of them is looked at, but for the
                validation clips of `watch`.
            seed: of everything random.
            watch: how the fit is followed and saved.

        Raises:
            ValueError: the draw means nothing for these clips.
            FitDiverged: the loss became NaN or infinite.
            OutOfMemory: a batch of one clip does not fit into memory.
        """

    def fit_many(self, requests: Sequence[Request]) -> Iterator[Fitted]:
        """Fit several draws, layers or folds, in order; the door for what fits many at once."""
        for request in requests:
            yield self.fit(request.draw, request.clips, request.seed, request.watch)


class Fits(Protocol):
    """Makes the fit of a cell in the process that tunes it; picklable."""

    def open(self, cell: Cell, labels: Labels, threads: int) -> Fit:
        """The cell's fit, on so many threads."""


def spread(probabilities: Probabilities, classes: Classes, number: int) -> Probabilities:
    """Probabilities of all classes, zero for those absent from training.

    They come as (clips, len(classes)), and go as (clips, number).
    """
    out = np.zeros((len(probabilities), number))
    out[:, classes] = probabilities
    return out
