"""A small neural network with one hidden layer: Linear → tanh → dropout → Linear."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from heads._training.head import NeuralHead, torch_threads
from heads._training.settings import Architecture, Settings
from heads.base import FitDiverged, Head, HeadContext, HeadInfo, as_probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from optuna.trial import Trial
    from torch import Generator, Tensor
    from torch.nn import Module

    from heads.sequences import Sequences

INFO = HeadInfo(
    name="mlp",
    summary="one hidden tanh layer with dropout (torch, AdamW)",
)


@dataclass(eq=False, repr=False)
class MLPHead(Head):
    """Linear → tanh → dropout → Linear, trained with AdamW for a fixed number of epochs.

    The learning rate falls to zero along a half cosine. There is no early stopping, hence no
    share of the training clips is held out and nothing outside `fit`'s arguments is looked at.
    Every random number comes from a generator of this fit: torch's global one is left alone.

    This loop is a second one beside `heads._training.loop`, on purpose. A search fits thousands of
    these, each within a second: autograd alone takes 1.5 times as long (tests/perf/test_search.py),
    before batches that are halved, checkpoints, autocast and pooling of one frame per clip. And
    that loop's warm-up on a line, clipped gradients and weights drawn from the global generator
    make it another head.

    Args:
        hidden: width of the hidden layer.
        dropout: share of hidden units zeroed in training, in [0, 1).
        learning_rate: AdamW's first step size.
        weight_decay: AdamW's decoupled decay of the two weight matrices (biases are spared).
        epochs: passes over the training clips.
        batch_size: clips per step.
        random_state: seed of the initial weights, the order of clips and dropout.
        n_jobs: threads for torch, given back after `fit`.

    Attributes:
        classes_: class labels, sorted, (classes,).
        n_features_in_: width of the training vectors.
        weights_: (features, hidden) and (hidden, classes), float32.
        biases_: (hidden,) and (classes,), float32.
        loss_curve_: mean training cross-entropy of each epoch.

    References:
        Loshchilov and Hutter (2019), "Decoupled Weight Decay Regularization", arXiv:1711.05101.
        Srivastava et al. (2014), "Dropout", JMLR 15.
    """

    info = INFO
    version = 2

    hidden: int = 256
    dropout: float = 0.3
    learning_rate: float = 1e-3
    weight_decay: float = 1.0
    epochs: int = 20
    batch_size: int = 64
    random_state: int | None = None
    n_jobs: int = 1

    @staticmethod
    def suggest(trial: Trial, context: HeadContext) -> dict[str, Any]:
        """Draw width, dropout, step size, decay and length of training.

        Returns:
            All parameters but `batch_size`, which stays at 64.
        """
        return {
            "hidden": trial.suggest_categorical("hidden", [64, 128, 256]),
            "dropout": trial.suggest_float("dropout", 0.0, 0.9),
            "learning_rate": trial.suggest_float("learning_rate", 2e-4, 4e-3, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-2, 5.0, log=True),
            "epochs": trial.suggest_int("epochs", 12, 20, step=4),
        }

    def fit(self, X: NDArray[np.float32], y: NDArray[Any]) -> MLPHead:
        """Fit on X (clips, features) and labels y (clips,).

        Raises:
            ValueError: see `Head.check_training_data`; or `dropout` outside [0, 1).
            FitDiverged: the loss became NaN or infinite.
        """
        X, codes = self.check_training_data(X, y)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")
        import torch

        with torch_threads(self.n_jobs), torch.no_grad():
            self._train(X, codes)
        return self

    def _train(self, X: NDArray[np.float32], codes: NDArray[np.int64]) -> None:
        import torch

        generator = torch.Generator().manual_seed(self.seed())
        shapes = ((X.shape[1], self.hidden), (self.hidden, len(self.classes_)))
        weights = [torch.empty(shape) for shape in shapes]
        for weight in weights:
            torch.nn.init.xavier_uniform_(weight, generator=generator)
        biases = [torch.zeros(shape[1]) for shape in shapes]
        for tensor in (*weights, *biases):
            tensor.grad = torch.zeros_like(tensor)
        optimiser = torch.optim.AdamW(
            [
                {"params": weights, "weight_decay": self.weight_decay},
                {"params": biases, "weight_decay": 0.0},
            ],
            fused=True,
        )
        clips = torch.from_numpy(X)
        wanted = torch.eye(len(self.classes_))[torch.from_numpy(codes)]
        steps = self.epochs * -(-len(clips) // self.batch_size)
        step = 0
        self.loss_curve_: list[float] = []
        for epoch in range(self.epochs):
            order = torch.randperm(len(clips), generator=generator)
            total = torch.zeros(())
            for batch in order.split(self.batch_size):
                for group in optimiser.param_groups:
                    group["lr"] = self.learning_rate * (1 + cos(pi * step / steps)) / 2
                total += self._gradients(weights, biases, clips[batch], wanted[batch], generator)
                optimiser.step()
                step += 1
            loss = float(total) / len(clips)
            if not np.isfinite(loss):
                raise FitDiverged(
                    f"mlp: the training loss became {loss} in epoch {epoch + 1} of "
                    f"{self.epochs}; lower learning_rate ({self.learning_rate:g}) and check that "
                    "the vectors are standardised"
                )
            self.loss_curve_.append(loss)
        self.weights_ = [weight.numpy() for weight in weights]
        self.biases_ = [bias.numpy() for bias in biases]

    def _gradients(
        self,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        clips: Tensor,
        wanted: Tensor,
        generator: Generator,
    ) -> Tensor:
        """Set the gradients of the mean loss of some clips, and give the sum of their losses.

        Written out, since autograd's bookkeeping takes as long as the products of a small network.

        Args:
            clips: (clips, features).
            wanted: one-hot labels (clips, classes).
        """
        import torch

        kept = torch.rand((len(clips), self.hidden), generator=generator).ge_(self.dropout)
        kept /= 1 - self.dropout
        activity = torch.addmm(biases[0], clips, weights[0]).tanh_()
        dropped = activity * kept
        chances = torch.addmm(biases[1], dropped, weights[1]).log_softmax(dim=1)
        loss = -torch.vdot(chances.view(-1), wanted.view(-1))
        above = chances.exp_().sub_(wanted).div_(len(clips))
        below = torch.mm(above, weights[1].T).mul_(kept).mul_(1 - activity.square_())
        for place, (read, error) in enumerate(((clips, below), (dropped, above))):
            torch.mm(read.T, error, out=weights[place].grad)
            torch.sum(error, dim=0, out=biases[place].grad)
        return loss

    def state(self) -> dict[str, NDArray[Any]]:
        """Weights (features, hidden) and (hidden, classes), and biases."""
        parts = {"weight": self.weights_, "bias": self.biases_}
        return {f"{name}_{n}": own for name, both in parts.items() for n, own in enumerate(both)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """See `Head.restore`."""
        self.weights_ = [state[f"weight_{n}"] for n in range(2)]
        self.biases_ = [state[f"bias_{n}"] for n in range(2)]

    def exported(self) -> Module:
        """See `Head.exported`."""
        from heads._exported import Hidden

        return Hidden(self.weights_, self.biases_)

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Class probabilities (clips, classes), columns in the order of `classes_`."""
        X = self.check_vectors(X)
        with threadpool_limits(self.n_jobs):
            activity = np.tanh(X @ self.weights_[0] + self.biases_[0])
            logits = activity @ self.weights_[1] + self.biases_[1]
        return as_probabilities(softmax(logits.astype(np.float64), axis=1))


@dataclass(eq=False, repr=False)
class PooledMLPHead(NeuralHead):
    """Frames → pooling → standardise → Linear → tanh → dropout → Linear, trained together.

    The frames of a frozen backbone are standardised with the statistics of the training clips.
    Where there are several layers, their sum under learnt weights is pooled. Training is that of
    `fine_tune`, for a fixed number of epochs: validation clips are scored, never learnt from.

    Args:
        pooling: `attention` or `attentive_stats`; or a plain statistic, see
            `heads.sequences.POOLINGS`.
        attention: width of the layer that scores frames.
        hidden: width of the hidden layer.
        dropout: share of hidden units zeroed in training, in [0, 1).
        learning_rate: AdamW's highest step size, reached after a tenth of all steps; it then
            falls to zero on a line.
        weight_decay: AdamW's decoupled decay of matrices.
        epochs: passes over the training clips.
        batch_size: clips per step; halved, and steps made of two batches, when memory ends.
        random_state: seed of the initial weights, the order of clips and dropout.
        n_jobs: threads for torch, given back after `fit`.

    References:
        Lin et al. (2017), "A Structured Self-attentive Sentence Embedding", arXiv:1703.03130.
        Okabe et al. (2018), "Attentive Statistics Pooling for Deep Speaker Embedding",
        arXiv:1803.10963.
    """

    info = INFO
    reads = "frames"

    pooling: str = "attention"
    attention: int = 128
    hidden: int = 256
    dropout: float = 0.3
    learning_rate: float = 1e-3
    weight_decay: float = 1.0
    epochs: int = 12
    batch_size: int = 32
    random_state: int | None = None
    n_jobs: int = 1

    @staticmethod
    def suggest(trial: Trial, context: HeadContext) -> dict[str, Any]:
        """Draw widths, dropout, step size, decay and length of training; never the pooling.

        Returns:
            All parameters but `pooling` and `batch_size`.
        """
        return {
            "attention": trial.suggest_categorical("attention", [32, 64, 128]),
            "hidden": trial.suggest_categorical("hidden", [64, 128, 256, 512]),
            "dropout": trial.suggest_float("dropout", 0.0, 0.9),
            "learning_rate": trial.suggest_float("learning_rate", 2e-4, 4e-3, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-2, 5.0, log=True),
            "epochs": trial.suggest_int("epochs", 8, 20, step=4),
        }

    @staticmethod
    def first(context: HeadContext) -> dict[str, Any]:
        """The constructor's own values, and a learnt pooling's width."""
        return {
            "attention": 128,
            "hidden": 256,
            "dropout": 0.3,
            "learning_rate": 1e-3,
            "weight_decay": 1.0,
            "epochs": 12,
        }

    @classmethod
    def trains(cls, drawn: Mapping[str, Any], pooling: str, cut: int | None) -> str | None:
        """What of the network is trained: what lies behind the frames."""
        return f"{pooling} pooling and classifier"

    def _inputs(self, X: Sequences) -> Sequences:
        return X

    def _tail(self, X: Sequences) -> Callable[[], None]:
        return lambda: None

    def _architecture(self) -> Architecture:
        return Architecture(self.pooling, self.attention, self.hidden, self.dropout)

    def _settings(self) -> Settings:
        return Settings(
            epochs=self.epochs,
            last=self.epochs,
            patience=None,
            batch_size=self.batch_size,
            accumulate=1,
            learning_rate=self.learning_rate,
            tail_learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup=0.1,
            precision="auto",
            seed=self.seed(),
        )
