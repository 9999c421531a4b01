"""Heads that pool the frames of a frozen layer, or of a learnt sum of layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optuna.trial import Trial

from bench.config.grid import Cell
from bench.features.extract import Extraction
from bench.plugins import HEADS
from bench.tuning.fits.base import Draw, Labels, Layer
from bench.tuning.fits.live import Recordings
from bench.tuning.fits.stored import frames_within, sequences
from bench.tuning.fits.trained import TrainedFit
from heads import HeadContext, Sequences


@dataclass(frozen=True)
class FrameFits:
    """Frames of the frozen layers to choose from, in the first seconds of a clip."""

    job: Extraction
    layers: tuple[int, ...]
    crop_seconds: float

    def open(self, cell: Cell, labels: Labels, threads: int) -> FrameFit:
        """The fit of a head that reads frames."""
        return FrameFit(cell, labels, threads, self)


class FrameFit(TrainedFit):
    """A head on frames, trained on the processor.

    Attributes:
        mixable: layers that a weighted sum is of.
    """

    def __init__(self, cell: Cell, labels: Labels, threads: int, source: FrameFits) -> None:
        head = HEADS.reading(cell.head, "frames")
        super().__init__(cell, labels, threads, source.job, head, "cpu", source.crop_seconds)
        self._source = source
        self.mixable = tuple(layer for layer in self.view.mixable() if layer in source.layers)

    def draw(self, trial: Trial, clips: int) -> Draw:
        """Draw one layer or the weighted sum of those of one shape, and the head's parameters."""
        offered = self._source.layers
        position = trial.suggest_int("layer", 0, len(offered) - 1) if len(offered) > 1 else 0
        layer: Layer = offered[position]
        if len(self.mixable) > 1:
            kind = trial.suggest_categorical("layers", ["single", "weighted"])
            layer = "weighted" if kind == "weighted" else layer
        return Draw(layer, self.head.suggest(trial, self._context(layer, clips)))

    def first(self, clips: int) -> dict[str, Any]:
        """The middle layer alone, and what the head proposes."""
        position = len(self._source.layers) // 2
        proposed = self.head.first(self._context(self._source.layers[position], clips))
        return {"layer": position, "layers": "single", **proposed}

    def inputs(self, draw: Draw) -> Sequences:
        """Frames of the layer or layers, for all clips."""
        chosen = (draw.layer,) if isinstance(draw.layer, int) else self.mixable
        most = frames_within(self.job, chosen[-1], self.crop_seconds)
        return sequences(Recordings(self.job, self.clips), chosen, most_frames=most)

    def _context(self, layer: Layer, clips: int) -> HeadContext:
        width = self.view.width(layer if isinstance(layer, int) else self.mixable[-1])
        return HeadContext(clips, width, self.labels.number)
