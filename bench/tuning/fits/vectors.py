"""Heads on vectors: pooled frames of one frozen layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from optuna.trial import Trial
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.config.grid import Cell
from bench.features.key import FeatureSettings
from bench.features.store import FeatureSet
from bench.plugins import HEADS
from bench.tuning.fits.base import (
    Draw,
    Fit,
    Fitted,
    Indices,
    Labels,
    Layer,
    Probabilities,
    Request,
    Watch,
    spread,
)
from bench.tuning.settings import Setting, quasi_random
from heads import HeadContext

Vectors = NDArray[np.float32]
# The head that finds the best layers for heads that take longer.
PROBE = "lda"


@dataclass(frozen=True)
class VectorFits:
    """Where a cell's vectors are: enough to open the feature set in another process.

    Clips go by the sha256 of their decoded samples, in the order of the labels.
    """

    root: Path
    settings: FeatureSettings
    clips: tuple[str, ...]

    def open(self, cell: Cell, labels: Labels, threads: int) -> VectorFit:
        """The fit of a head on pooled vectors."""
        view = FeatureSet(self.root, self.settings).view(self.clips)
        return VectorFit(view, labels, cell.pooling, cell.head, threads)


class LayerVectors(Protocol):
    """Vectors of a cell's clips, at any of so many layers."""

    layers: int

    @property
    def vectors(self) -> Callable[[Any, str], Vectors]:
        """Returns float32 (clips, features) of a layer under a pooling."""


class VectorFit(Fit):
    """Pooled vectors of frozen layers, standardised with the statistics of the clips fitted on."""

    def __init__(
        self, features: LayerVectors, labels: Labels, pooling: str, head: str, threads: int
    ) -> None:
        self.layers = features.layers
        self._features = features
        self._labels = labels
        self._pooling = pooling
        self._head = HEADS.reading(head, "vectors")
        self._threads = threads

    def draw(self, trial: Trial, clips: int) -> Draw:
        """Draw a layer and the head's parameters."""
        layer = trial.suggest_int("layer", 0, self.layers - 1) if self.layers > 1 else 0
        return Draw(layer, self._head.suggest(trial, self._context(clips, layer)))

    def candidates(self) -> Sequence[Layer]:
        """The layers there are to choose from."""
        return range(self.layers)

    def grid(self) -> Sequence[dict[str, Any]] | None:
        """Every setting of the head; None where it has no such list."""
        return self._head.grid()

    def settings(self, count: int, clips: int) -> tuple[Setting, ...]:
        """So many settings of the head, for fits on so many clips; no layer is chosen yet."""
        return quasi_random(self._head, self._context(clips, self.candidates()[0]), count)

    def variants(self, layer: Layer, params: Mapping[str, Any]) -> tuple[Draw, ...]:
        """What one fit of a setting on a layer gives at once."""
        return tuple(Draw(layer, variant) for variant in self._head.variants(params))

    def probe(self) -> VectorFit:
        """The same clips under a linear head that has nothing but the layer to choose."""
        return VectorFit(self._features, self._labels, self._pooling, PROBE, self._threads)

    def fit(self, draw: Draw, clips: Indices, seed: int, watch: Watch) -> FittedVectors:
        """Fit a head; see `Fit.fit`. There are no epochs to watch."""
        vectors = self._vectors(draw.layer)
        head = self._head.build(
            draw.params, pooling=self._pooling, random_state=seed, n_jobs=self._threads
        )
        model = make_pipeline(StandardScaler(), head)
        model.fit(vectors[clips], self._labels.classes[clips])
        return FittedVectors(model=model, vectors=vectors, number=self._labels.number)

    def fit_many(self, requests: Sequence[Request]) -> Iterator[FittedVectors]:
        """Fit several draws; those of one layer, seed and clips are standardised once."""

        def shared(request: Request) -> tuple[Layer, int, int]:
            return request.draw.layer, request.seed, id(request.clips)

        for (layer, seed, _), group in groupby(requests, key=shared):
            alike = list(group)
            vectors, clips = self._vectors(layer), alike[0].clips
            scaler = StandardScaler()
            for head in self._head.fit_many(
                scaler.fit_transform(vectors[clips]),
                self._labels.classes[clips],
                [request.draw.params for request in alike],
                pooling=self._pooling,
                random_state=seed,
                n_jobs=self._threads,
            ):
                model = make_pipeline(scaler, head)
                yield FittedVectors(model=model, vectors=vectors, number=self._labels.number)

    def _context(self, clips: int, layer: Layer) -> HeadContext:
        return HeadContext(clips, self._vectors(layer).shape[1], self._labels.number)

    def _vectors(self, layer: Layer) -> Vectors:
        if layer == "weighted":
            raise ValueError("a weighted sum of layers is learnt from frames, not from vectors")
        return self._features.vectors(layer, self._pooling)


@dataclass(frozen=True, kw_only=True)
class FittedVectors(Fitted):
    """A head on vectors of one layer.

    `vectors` are of all clips at the layer, (clips, features), `number` is of all classes.
    """

    model: Pipeline
    vectors: Vectors
    number: int

    def predict(self, clips: Indices) -> Probabilities:
        """Probabilities (len(clips), classes)."""
        probabilities = self.model.predict_proba(self.vectors[clips])
        return spread(probabilities, self.model.classes_, self.number)
