"""What heads that read frames or train a backbone are fitted on, and how their training reports.

The harness implements these protocols; heads know nothing else of files, caches or backbones.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from heads.base import Head

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

# What frames are pooled with, and each in a line: statistics, which heads on vectors are given, and
# poolings whose weights are learnt, which exist inside a head only.
FIXED = {
    "mean": "average over frames",
    "sum": "sum over frames: the average times the number of frames, so duration is kept",
    "max": "maximum over frames",
    "mean_std": "average and standard deviation over frames, concatenated",
    "mean_max": "average and maximum over frames, concatenated",
}
LEARNT = {
    "attention": "average over frames, weighted by learnt self-attention",
    "attentive_stats": (
        "average and standard deviation over frames, weighted by learnt self-attention"
    ),
}
POOLINGS = {**FIXED, **LEARNT}
# In place of a layer: what the feature encoder gives, which the first block reads.
STEM = -1


class Sequences(Protocol):
    """Clips as sequences of frames, of one layer or of several of the same shape.

    Attributes:
        lengths: frames of each clip, int64 (clips,).
        layers: how many layers a batch holds.
        width: features per frame.
    """

    lengths: NDArray[np.int64]
    layers: int
    width: int

    def __len__(self) -> int:
        """Number of clips."""
        ...

    def take(self, indices: NDArray[np.int64]) -> Sequences:
        """Some of the clips, in the order given."""
        ...

    def batch(
        self, indices: NDArray[np.int64], augment: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames of some clips.

        Args:
            indices: positions of the clips, (batch,).
            augment: a seed, for training batches only: draws and applies the augmentation where
                there is one. None never does.

        Returns:
            float32 (batch, layers, frames, width) on the CPU, zero after each clip's end, and
            int64 (batch,) valid frames.
        """
        ...


class TrainableClips(Protocol):
    """Clips of a live backbone that is cut after one layer.

    Attributes:
        blocks: blocks of the backbone below the cut: what could be trained.
    """

    blocks: int

    def __len__(self) -> int:
        """Number of clips."""
        ...

    def take(self, indices: NDArray[np.int64]) -> TrainableClips:
        """Some of the clips, in the order given."""
        ...

    def inputs(self, blocks: int | None) -> Sequences:
        """What the first trained block reads, where the last `blocks` blocks are trained.

        Args:
            blocks: 0 gives the frames at the cut; None stands for everything but the feature
                encoder and gives its output.
        """
        ...

    def tail(self, blocks: int | None) -> torch.nn.Module:
        """A fresh float32 copy of the trained part, for `blocks` of 1 or more, or None.

        Returns:
            A module `(frames (batch, frames, width), lengths (batch,)) -> outputs` with
            `outputs.hidden` and `outputs.lengths`, one tensor for each layer it makes; the last
            is the layer at the cut.
        """
        ...


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave; losses are mean cross-entropies in nats.

    Attributes:
        index: 0, 1, …
        train_loss: over the training clips, dropout and augmentation included.
        seconds: wall time, validation included.
        validation_loss, validation_accuracy, validation_macro_f1: None without validation clips.
    """

    index: int
    train_loss: float
    seconds: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    validation_macro_f1: float | None = None


@dataclass
class Training:
    """How one fit is watched, saved and resumed; every field has a meaning of "not at all".

    Attributes:
        validation: clips and labels that each epoch is scored on; they stop training early.
        folder: where checkpoints go after every epoch, and from where an interrupted fit goes
            on. It need not be there yet. The same fit must be given the same folder, and no other
            may use it.
        on_epoch: called after each epoch, those of an interrupted fit included; what it raises
            ends the fit and is passed on.
        device: a torch device name.
        notes: filled with what a reader of the result should know (a halved batch, …).
    """

    validation: tuple[Any, NDArray[Any]] | None = None
    folder: Path | None = None
    on_epoch: Callable[[Epoch], None] | None = None
    device: str = "cpu"
    notes: list[str] = field(default_factory=list)


class TrainedHead(Head):
    """A head on frames or a backbone: epoch by epoch it is trained, watched, saved and resumed.

    Attributes:
        curve_: every epoch.
        best_epoch_: index of the epoch that was kept, None where no epoch is better than the last.
        precision_: what was computed in, in a word for the reader of a record.
    """

    curve_: Sequence[Epoch]
    best_epoch_: int | None
    precision_: str

    @abstractmethod
    def fit(self, X: Any, y: NDArray[Any], training: Training | None = None) -> TrainedHead:
        """Fit on clips X and labels y (clips,).

        Args:
            X: `Sequences` or `TrainableClips`, as the class reads.
            y: labels (clips,), strings or integers.
            training: how the fit is watched, saved and resumed; by default not at all.
        """
