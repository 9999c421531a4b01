"""Heads on vectors of several layers, of one backbone or of several, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from math import comb, prod
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import Trial

from backbones.fusion import Fusion
from bench.config.grid import Cell
from bench.features.key import FeatureSettings
from bench.features.store import FeatureSet, FeatureView
from bench.tuning.fits.base import Draw, Labels, Layer
from bench.tuning.fits.vectors import PROBE, VectorFit, Vectors

# Layers of a backbone that are joined with other backbones', or one more than are to be chosen.
PER_PART = 3
# Most joined layers that are tried: the best of each part with the best of the others first.
JOINED = 9
# A backbone gives one vector per clip: what every pooling leaves as it is, this one only copies.
_OF_ONE_FRAME = "mean"


@dataclass(frozen=True)
class FusionFits:
    """Where the vectors of a fusion are; see `VectorFits`.

    Attributes:
        settings: of the fusion's backbones, in their order.
    """

    root: Path
    fusion: Fusion
    settings: tuple[FeatureSettings, ...]
    clips: tuple[str, ...]

    def open(self, cell: Cell, labels: Labels, threads: int) -> FusionFit:
        """The fit of a head on joined vectors."""
        backbones = {}
        for name, settings in zip(self.fusion.backbones, self.settings, strict=True):
            view = FeatureSet(self.root, settings).view(self.clips)
            pooling = _OF_ONE_FRAME if settings.info.per_clip else cell.pooling
            backbones[name] = (view, pooling)
        return FusionFit(self.fusion, backbones, labels, cell.pooling, cell.head, threads)


class Joined:
    """Vectors of the layers of a fusion's parts, in the order of the parts."""

    def __init__(self, fusion: Fusion, backbones: Mapping[str, tuple[FeatureView, str]]) -> None:
        self.layers = prod(
            1 if part.layer is not None else backbones[part.backbone][0].layers
            for part in fusion.parts
        )
        self._fusion = fusion
        self._backbones = backbones
        self.vectors = lru_cache(maxsize=JOINED)(self._vectors)

    def _vectors(self, layers: tuple[int, ...], pooling: str) -> Vectors:
        """Vectors float32 (clips, features of all parts), each backbone under its own pooling."""
        parts = []
        for part, layer in zip(self._fusion.parts, layers, strict=True):
            view, own = self._backbones[part.backbone]
            parts.append(view.vectors(layer, own))
        return np.hstack(parts)


class FusionFit(VectorFit):
    """Pooled vectors of several layers side by side, each feature standardised by itself.

    Its layers are tuples with one for each part.

    Args:
        backbones: by name the vectors of one, and its pooling.
    """

    def __init__(
        self,
        fusion: Fusion,
        backbones: Mapping[str, tuple[FeatureView, str]],
        labels: Labels,
        pooling: str,
        head: str,
        threads: int,
    ) -> None:
        super().__init__(Joined(fusion, backbones), labels, pooling, head, threads)
        self._fusion = fusion
        self._backbones = backbones

    def draw(self, trial: Trial, clips: int) -> Draw:
        """Draw a layer for each part whose name fixes none, and the head's parameters."""
        layers = tuple(
            trial.suggest_int(f"layer_{number}", 0, self._backbones[part.backbone][0].layers - 1)
            if part.layer is None
            else part.layer
            for number, part in enumerate(self._fusion.parts, start=1)
        )
        return Draw(layers, self._head.suggest(trial, self._context(clips, layers)))

    def candidates(self) -> Sequence[Layer]:
        """The first layers of all parts: which are worth trying is for a probe to say."""
        counts = {name: view.layers for name, (view, _) in self._backbones.items()}
        return self.joined({name: range(count) for name, count in counts.items()})[:1]

    def said(self, layer: Layer) -> dict[str, Any]:
        """The layer of each part."""
        assert isinstance(layer, tuple)
        return {f"layer_{number}": own for number, own in enumerate(layer, start=1)}

    def probe(self) -> FusionFit:
        """The same vectors under a linear head that has nothing but the layers to choose."""
        settings = self._labels, self._pooling, PROBE, self._threads
        return FusionFit(self._fusion, self._backbones, *settings)

    def probes(self) -> dict[str, tuple[VectorFit, int]]:
        """Of each backbone with a layer to choose: a probe of it alone, and how many to keep."""
        return {
            name: (
                VectorFit(view, self._labels, pooling, PROBE, self._threads),
                # one that the name fixes may be among the best, and is no choice
                _most(free) + len(self._fusion.fixed(name)),
            )
            for name, (view, pooling) in self._backbones.items()
            if (free := self._fusion.free(name))
        }

    def joined(self, best: Mapping[str, Sequence[Layer]]) -> list[Layer]:
        """What to try, the most promising first.

        Args:
            best: layers of each backbone that has one to choose, the best first.
        """
        options = []
        for name in self._fusion.backbones:
            fixed, free = self._fusion.fixed(name), self._fusion.free(name)
            own = (layer for layer in best.get(name, ()) if isinstance(layer, int))
            ranked = [layer for layer in own if layer not in fixed][: _most(free)]
            options.append(
                [
                    (sum(ranks), (*fixed, *sorted(ranked[rank] for rank in ranks)))
                    for ranks in combinations(range(len(ranked)), free)
                ]
            )
        pairs = [
            (sum(rank for rank, _ in each), tuple(layer for _, own in each for layer in own))
            for each in product(*options)
        ]
        return [layers for _, layers in sorted(pairs, key=lambda pair: pair[0])[:JOINED]]


def tried(fusion: Fusion, layers: Mapping[str, int]) -> int:
    """How many joined layers are tried, of backbones that have so many layers; 0: too few."""
    ways = []
    for name, count in layers.items():
        fixed, free = fusion.fixed(name), fusion.free(name)
        ways.append(comb(max(0, min(count - len(fixed), _most(free))), free))
    return min(JOINED, prod(ways))


def _most(free: int) -> int:
    """How many layers of a backbone are joined with others', where so many are to be chosen."""
    return max(PER_PART, free + 1)
