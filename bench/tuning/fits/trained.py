"""What fits of heads that are trained epoch by epoch share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from bench.config.grid import Cell
from bench.features.extract import Extraction
from bench.tuning.fits.base import Draw, Fit, Fitted, Indices, Labels, Probabilities, Watch, spread
from heads import TrainedHead, Training


class TrainedFit(Fit):
    """Heads that read frames, or train the backbone.

    Attributes:
        job: names its clips, backbone and store.
        crop_seconds: how much of the beginning of a clip is read; None for all.
    """

    def __init__(
        self,
        cell: Cell,
        labels: Labels,
        threads: int,
        job: Extraction,
        head: type[TrainedHead],
        device: str,
        crop_seconds: float | None,
    ) -> None:
        self.job = job
        self.crop_seconds = crop_seconds
        self.head = head
        self.labels = labels
        self.clips = tuple(source.pcm_sha256 for source in job.sources)
        self.view = job.features().view(self.clips)
        self.layers = self.view.layers
        self._pooling = cell.pooling
        self._threads = threads
        self._device = device

    @abstractmethod
    def inputs(self, draw: Draw) -> Any:
        """What the head is fitted on, for all clips: `Sequences` or `TrainableClips`."""

    def is_live(self, inputs: Any) -> bool:
        """Whether the frozen part of the backbone ran in every epoch of a fit on `inputs`."""
        return False

    def refit(self, draw: Draw, best_epoch: int | None) -> Draw:
        """The draw, trained for as long as was best; see `Fit.refit`."""
        return Draw(draw.layer, self.head.refit_params(draw.params, best_epoch))

    def fit(self, draw: Draw, clips: Indices, seed: int, watch: Watch) -> Fitted:
        """Train a head, scoring each epoch on the validation clips of `watch`; see `Fit.fit`."""
        inputs, classes = self.inputs(draw), self.labels.classes
        validation = None
        if watch.validation is not None:
            validation = (inputs.take(watch.validation), classes[watch.validation])
        training = Training(validation, watch.folder, watch.on_epoch, self._device)
        head = self.head.build(
            draw.params, pooling=self._pooling, random_state=seed, n_jobs=self._threads
        )
        head.fit(inputs.take(clips), classes[clips], training)
        return FittedTrained(
            curve=tuple(head.curve_),
            best_epoch=head.best_epoch_,
            notes=tuple(training.notes),
            precision=head.precision_,
            live=self.is_live(inputs),
            head=head,
            inputs=inputs,
            number=self.labels.number,
        )


@dataclass(frozen=True, kw_only=True)
class FittedTrained(Fitted):
    """A trained head, what it reads for all clips, and the number of classes of the task."""

    head: Any
    inputs: Any
    number: int

    def predict(self, clips: Indices) -> Probabilities:
        """Probabilities (len(clips), classes)."""
        probabilities = self.head.predict_proba(self.inputs.take(clips))
        return spread(probabilities, self.head.classes_, self.number)
