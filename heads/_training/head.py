"""What the heads that train a network share: fitting on sequences, predicting, pickling."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from heads._training.settings import Architecture, Job, Labelled, Settings
from heads.base import as_probabilities
from heads.sequences import TrainedHead, Training

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from heads._training.network import Network
    from heads.sequences import Epoch, Sequences


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Run a block with `count` torch threads, then restore the number there was before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class NeuralHead(TrainedHead):
    """A head whose classifier, pooling and perhaps backbone are one network, trained together.

    Attributes:
        classes_: class labels, sorted, (classes,).
        n_features_in_: width of the frames that the network reads.
        network_: the trained torch module, on the CPU, in evaluation mode.
        curve_: `heads.sequences.Epoch` of every epoch.
        best_epoch_: index of the epoch whose weights were kept, counted from 0.
        precision_: `32-true` or `bf16-mixed`.
        device_: name of the torch device trained on, and predicted on where it is there.
        notes_: what a reader of the result should know.
    """

    network_: Network
    curve_: list[Epoch]
    best_epoch_: int
    precision_: str
    device_: str
    notes_: list[str]

    @abstractmethod
    def _inputs(self, X: Any) -> Sequences:
        """What the network reads of the clips given to `fit` or `predict_proba`."""

    @abstractmethod
    def _tail(self, X: Any) -> Callable[[], torch.nn.Module | None]:
        """Makes a fresh copy of the part of the backbone to train, or None."""

    @abstractmethod
    def _architecture(self) -> Architecture:
        """What comes after the tail."""

    @abstractmethod
    def _settings(self) -> Settings:
        """How to train."""

    def fit(self, X: Any, y: NDArray[Any], training: Training | None = None) -> NeuralHead:
        """Train the network.

        Args:
            X: clips, `Sequences` or `TrainableClips` as the class reads.
            y: labels (clips,), strings or integers.
            training: how the fit is watched, saved and resumed; by default not at all.

        Raises:
            ValueError: sizes disagree, a parameter means nothing, or y names only one class.
            FitDiverged: the loss became NaN or infinite.
            OutOfMemory: a batch of one clip does not fit into memory.
        """
        training = training or Training()
        with torch_threads(self.n_jobs):
            self._fit(X, self._labels(X, y), training)
        return self

    def _fit(self, X: Any, y: NDArray[Any], training: Training) -> None:
        codes = self.learn_classes(y)
        settings, architecture = self._settings(), self._architecture()
        settings.check()
        architecture.check()
        job = Job(
            head=self.info.name,
            train=Labelled(self._checked(X), codes),
            validation=self._validation(training),
            classes=len(self.classes_),
            tail=self._tail(X),
            architecture=architecture,
            settings=settings,
            configuration=self._configuration(),
        )
        from heads._training.loop import train

        before = len(training.notes)
        trained = train(job, training)
        self.n_features_in_ = job.train.clips.width
        self.network_ = trained.network
        self.curve_ = trained.curve
        self.best_epoch_ = trained.best
        self.precision_ = trained.precision
        self.device_ = training.device
        self.notes_ = training.notes[before:]
        self._batch_size = trained.batch_size

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Class probabilities (clips, classes), columns in the order of `classes_`.

        Args:
            X: clips, of the kind given to `fit`.

        Raises:
            NotFittedError: `fit` has not been called.
            ValueError: the frames have another width than in `fit`.
            FitDiverged: a probability is not finite.
            OutOfMemory: a batch of one clip does not fit into memory.
        """
        check_is_fitted(self)
        import torch

        from heads._training.compute import predict

        wanted = torch.device(self.device_)
        # a head trained on a GPU can be unpickled where there is none
        there = wanted.type != "cuda" or torch.cuda.is_available()
        device = wanted if there else torch.device("cpu")
        with torch_threads(self.n_jobs):
            clips = self._checked(X)
            if clips.width != self.n_features_in_:
                raise ValueError(
                    f"{self.info.name} was fitted on frames of {self.n_features_in_} features, "
                    f"these have {clips.width}"
                )
            logits = predict(
                self._assembled(X), clips, device, self.precision_, self._batch_size, self.info.name
            )
        return as_probabilities(softmax(logits, axis=1))

    def state(self) -> dict[str, NDArray[Any]]:
        """What training changed of the network, its standardisations, and what it computes in."""
        import torch

        frozen = {n for n, own in self.network_.named_parameters() if not own.requires_grad}
        fixed = dict(self.network_.head.named_buffers(prefix="head"))
        tensors = {n: own for n, own in self.network_.state_dict().items() if n not in frozen}
        arrays = {
            name: np.ascontiguousarray(own.detach().to("cpu", torch.float32).numpy())
            for name, own in {**tensors, **fixed}.items()
        }
        arrays["batch_size"] = np.array([self._batch_size])
        arrays["precision"] = np.frombuffer(self.precision_.encode(), dtype=np.uint8).copy()
        return arrays

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """See `Head.restore`; what is frozen of a backbone comes with the first clips."""
        held = dict(state)
        self.precision_ = held.pop("precision").tobytes().decode()
        self._batch_size = int(held.pop("batch_size")[0])
        self.device_ = "cpu"
        self._state = held

    def _assembled(self, X: Any) -> Network:
        """The network: that of the fit, or one that is made of what was restored."""
        if not hasattr(self, "network_"):
            from heads._training.network import assembled

            self.network_ = assembled(
                self._tail(X)(), self._architecture(), len(self.classes_), self._state
            )
        return self.network_

    def _checked(self, X: Any) -> Sequences:
        clips = self._inputs(X)
        if len(clips) == 0 or clips.lengths.min() < 1:
            raise ValueError(f"{self.info.name} needs at least one clip, and a frame in every clip")
        return clips

    def _labels(self, X: Any, y: NDArray[Any]) -> NDArray[Any]:
        y = column_or_1d(y)
        check_classification_targets(y)
        if len(y) != len(X):
            raise ValueError(f"{len(X)} clips but {len(y)} labels")
        return y

    def _validation(self, training: Training) -> Labelled | None:
        if training.validation is None:
            return None
        clips, labels = training.validation
        labels = self._labels(clips, labels)
        unseen = sorted(set(labels.tolist()) - set(self.classes_.tolist()))
        numbers = {label: i for i, label in enumerate([*self.classes_.tolist(), *unseen])}
        codes = np.array([numbers[label] for label in labels.tolist()], dtype=np.int64)
        return Labelled(self._checked(clips), codes)

    def _configuration(self) -> dict[str, Any]:
        # the number of threads is no reason to train anew
        params = {name: value for name, value in self.get_params().items() if name != "n_jobs"}
        return {
            "class": type(self).__name__,
            "version": self.version,
            "params": params,
            "labels": self.classes_.tolist(),
        }
