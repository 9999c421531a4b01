"""What one training needs to know, and the rules that say when it is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heads.sequences import POOLINGS

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from heads.sequences import Epoch, Sequences

PRECISIONS = ("auto", "32-true", "bf16-mixed")


@dataclass(frozen=True)
class Architecture:
    """What the part after the tail is made of.

    Attributes:
        pooling: one of `heads.sequences.POOLINGS`.
        attention: width of the scoring layer of a learnt pooling.
        hidden: width of the classifier's hidden layer; 0 for none.
        dropout: share of numbers zeroed before the last linear layer, in [0, 1).
        mix: whether layers of the tail that share the last one's shape are summed under learnt
            weights. Without a tail, all layers of the input always are.
    """

    pooling: str
    attention: int
    hidden: int
    dropout: float
    mix: bool = True

    def check(self) -> None:
        """Refuse what cannot be built.

        Raises:
            ValueError: saying why.
        """
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}; got '{self.pooling}'")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")
        if self.attention < 1:
            raise ValueError(f"attention must be at least 1, got {self.attention}")
        if self.hidden < 0:
            raise ValueError(f"hidden must be at least 1, or 0 for none, got {self.hidden}")


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        epochs: what the learning rate schedule is laid out for.
        last: epochs to train at most, no more than `epochs`.
        patience: epochs without a better validation macro-F1 after which training stops, the best
            epoch's weights being kept; None trains to the end and keeps the last.
        batch_size: clips in memory at once.
        accumulate: batches per optimiser step.
        learning_rate: AdamW's highest step size for everything new.
        tail_learning_rate: the same for the trained part of the backbone.
        weight_decay: AdamW's decoupled decay of matrices.
        warmup: share of all steps over which the step size rises from zero.
        precision: one of `PRECISIONS`.
        seed: of everything random.
    """

    epochs: int
    last: int
    patience: int | None
    batch_size: int
    accumulate: int
    learning_rate: float
    tail_learning_rate: float
    weight_decay: float
    warmup: float
    precision: str
    seed: int

    def rate(self, step: int, steps: int) -> float:
        """Share of the highest step sizes at a step: up over the warm-up, then down on a line.

        Args:
            step: 0, 1, …
            steps: in all `epochs`.
        """
        rising = self.warmup * steps
        if step < rising:
            return (step + 1) / (rising + 1)
        return max(0.0, (steps - step) / max(1.0, steps - rising))

    def check(self) -> None:
        """Refuse numbers that mean nothing.

        Raises:
            ValueError: saying which.
        """
        counts = {"epochs": self.epochs, "batch_size": self.batch_size}
        counts["accumulate"] = self.accumulate
        if self.patience is not None:
            counts["patience"] = self.patience
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        if not 1 <= self.last <= self.epochs:
            raise ValueError(
                f"refit_epochs must lie between 1 and epochs ({self.epochs}), got {self.last}"
            )
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup must lie in [0, 1], got {self.warmup}")
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision must be one of {', '.join(PRECISIONS)}; got '{self.precision}'"
            )


@dataclass(frozen=True)
class Labelled:
    """Clips and their classes, as positions among those of the training clips, (clips,).

    Classes that the training clips lack are numbered after them.
    """

    clips: Sequences
    codes: NDArray[np.int64]


@dataclass(frozen=True)
class Job:
    """One fit.

    Attributes:
        head: name of the head, for messages.
        train: what is trained on.
        validation: what every epoch is scored on, or None.
        classes: number of classes in `train`.
        tail: makes a fresh copy of the trained part of the backbone, or None.
        architecture: of everything after it.
        settings: how to train.
        configuration: what else a checkpoint must share with this fit.
    """

    head: str
    train: Labelled
    validation: Labelled | None
    classes: int
    tail: Callable[[], torch.nn.Module | None]
    architecture: Architecture
    settings: Settings
    configuration: Mapping[str, Any]

    @property
    def keeps_best(self) -> bool:
        """Whether the best epoch's weights are what comes out, not the last's."""
        return self.validation is not None and self.settings.patience is not None

    def best(self, curve: Sequence[Epoch]) -> int:
        """Index of the epoch whose weights are kept, given those trained so far."""
        if not self.keeps_best:
            return len(curve) - 1
        return max(range(len(curve)), key=lambda i: (curve[i].validation_macro_f1 or 0.0, -i))

    def finished(self, curve: Sequence[Epoch]) -> bool:
        """Whether no further epoch is trained."""
        if len(curve) >= self.settings.last:
            return True
        patience = self.settings.patience
        if not curve or not self.keeps_best or patience is None:
            return False
        return len(curve) - 1 - self.best(curve) >= patience
