"""Heads that train the backbone's last blocks below the layer where it is cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optuna.trial import Trial

from bench.config.grid import Cell
from bench.features.extract import Extraction
from bench.plugins import HEADS
from bench.tuning.fits.augment import Augmentation
from bench.tuning.fits.base import Draw, Labels
from bench.tuning.fits.live import Recordings
from bench.tuning.fits.stored import BackboneClips
from bench.tuning.fits.trained import TrainedFit
from heads import HeadContext


@dataclass(frozen=True)
class BackboneFits:
    """A live backbone, cut after a layer and trained from some block on.

    Attributes:
        crop_seconds: how much of the beginning of a clip is used.
        cached: whether the input of the first trained block is read from the store.
        augment: whether training clips are augmented.
    """

    job: Extraction
    crop_seconds: float
    cached: bool
    augment: bool

    def open(self, cell: Cell, labels: Labels, threads: int) -> BackboneFit:
        """The fit of a head that trains the backbone."""
        return BackboneFit(cell, labels, threads, self)


class BackboneFit(TrainedFit):
    """A head that trains the backbone, where the backbone runs."""

    def __init__(self, cell: Cell, labels: Labels, threads: int, source: BackboneFits) -> None:
        head = HEADS.reading(cell.head, "backbone")
        device = source.job.settings.device
        super().__init__(cell, labels, threads, source.job, head, device, source.crop_seconds)
        self._source = source
        augmentation = Augmentation() if source.augment else None
        self._recordings = Recordings(source.job, self.clips, augmentation)

    def draw(self, trial: Trial, clips: int) -> Draw:
        """Draw where the backbone is cut, and the head's parameters."""
        last = self.layers - 1
        cut = trial.suggest_int("layer", 1, last) if last > 1 else last
        return Draw(cut, self.head.suggest(trial, self._context(cut, clips)))

    def first(self, clips: int) -> dict[str, Any]:
        """A cut in the middle, whose layers transfer best as a rule, and what the head proposes."""
        middle = self.layers // 2
        return {"layer": middle, **self.head.first(self._context(middle, clips))}

    def inputs(self, draw: Draw) -> BackboneClips:
        """The clips of the cut backbone; ValueError where the draw is of several layers."""
        if not isinstance(draw.layer, int):
            raise ValueError("a backbone is cut after one layer, not after several")
        return BackboneClips(
            self._recordings,
            draw.layer,
            cached=self._source.cached,
            crop_seconds=self.crop_seconds,
        )

    def is_live(self, inputs: BackboneClips) -> bool:
        """Whether what the first trained block reads was not, or not wholly, in the store."""
        return inputs.live

    def _context(self, cut: int, clips: int) -> HeadContext:
        return HeadContext(
            clips=clips,
            features=self.view.width(cut),
            classes=self.labels.number,
            blocks=self.layers - 1,
            cut=cut,
            accelerator=self.job.settings.device != "cpu",
        )
