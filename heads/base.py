"""The head contract: a scikit-learn classifier that also knows its own search space."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from optuna.trial import Trial


class HeadError(Exception):
    """Something about a head that its user can act on; the message says how."""


class FitDiverged(HeadError):
    """Training or prediction produced a number that is not finite; the message says where."""


class OutOfMemory(HeadError):
    """One clip at a time does not fit into memory; the message says what would."""


# What a head class is fitted on. `vectors`: pooled, standardised clip vectors; `frames`: the frames
# of frozen layers, which it pools itself; `backbone`: a live backbone, which it trains.
Reads = Literal["vectors", "frames", "backbone"]
# Given by the harness to what `build` makes, so that no search space may draw them.
SET_BY_HARNESS = frozenset({"pooling", "random_state", "n_jobs"})


@dataclass(frozen=True)
class HeadInfo:
    """What the harness needs to know about a head.

    Attributes:
        name: the name used on the command line, in records and in file names.
        summary: one line for `voxgrid list`.
    """

    name: str
    summary: str


@dataclass(frozen=True)
class HeadContext:
    """What a search space may depend on. Never anything of the test fold.

    Attributes:
        clips: number of training clips.
        features: length of a clip vector, or width of a frame.
        classes: number of classes.
        blocks: all blocks of the backbone, for heads that train it.
        cut: layer that the backbone is cut after, for the same: so many blocks lie below it.
        accelerator: whether training runs on a GPU, where it may cost more.
    """

    clips: int
    features: int
    classes: int
    blocks: int = 0
    cut: int | None = None
    accelerator: bool = False


class Head(ClassifierMixin, BaseEstimator):
    """A scikit-learn classifier with plain constructor parameters and a search space.

    Every head takes `random_state` (int) and `n_jobs` (threads, int) besides its own parameters,
    and `pooling` where it pools frames itself. `heads.checks` holds what is expected of it.
    Heads that read frames or a backbone are `heads.sequences.TrainedHead`s.

    Attributes:
        info: the `INFO` of its module.
        version: raise it when the code or the search space changes the numbers.
        reads: what it is fitted on.
        random: whether a fit depends on `random_state`.
        tries: settings that a search tries at most, where it has to draw them.
        expected_failed_checks: the few checks of scikit-learn's that it cannot pass, each with
            the reason.
    """

    info: ClassVar[HeadInfo]
    version: ClassVar[int] = 1
    reads: ClassVar[Reads] = "vectors"
    random: ClassVar[bool] = True
    tries: ClassVar[int] = 50
    expected_failed_checks: ClassVar[Mapping[str, str]] = MappingProxyType({})
    classes_: NDArray[Any]
    n_features_in_: int
    random_state: int | None
    n_jobs: int

    @staticmethod
    @abstractmethod
    def suggest(trial: Trial, context: HeadContext) -> dict[str, Any]:
        """Draw constructor parameters from the search space.

        Args:
            trial: the Optuna trial to draw from.
            context: sizes of the training data.

        Returns:
            Keyword arguments of the constructor, without those of `SET_BY_HARNESS`.
        """

    @staticmethod
    def first(context: HeadContext) -> dict[str, Any]:
        """What the first trial of a study draws; nothing leaves it to the sampler.

        Args:
            context: as for `suggest`.

        Returns:
            Values for parameters that `suggest` draws, by their names in the trial.
        """
        return {}

    @classmethod
    def grid(cls) -> tuple[dict[str, Any], ...] | None:
        """Every setting worth trying, for a search that tries them all.

        Returns:
            What `suggest` may return, each once, by the names in the trial; None where the space
            has to be drawn from.
        """
        return None

    @classmethod
    def variants(cls, params: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
        """Settings that one fit gives at once, such as a number of boosting rounds.

        `fit_many` is asked for them one after the other, and a search takes the best of them. It
        may ask for the first one alone, to see which settings are worth more.

        Args:
            params: what `suggest` returned, or nothing where only what differs is asked for.

        Returns:
            What `suggest` may return, what costs least first; by default the setting itself.
        """
        return (dict(params),)

    @classmethod
    def build(
        cls, params: Mapping[str, Any], *, pooling: str, random_state: int, n_jobs: int
    ) -> Self:
        """A new, unfitted head.

        Args:
            params: what `suggest` or `refit_params` returned.
            pooling: name of the pooling; for heads that pool frames themselves.
            random_state: seed.
            n_jobs: threads.

        Raises:
            TypeError: `params` holds a parameter the head does not have.
        """
        own = {"pooling": pooling} if "pooling" in cls._get_param_names() else {}
        return cls(**params, **own, random_state=random_state, n_jobs=n_jobs)

    @classmethod
    def fit_many(
        cls,
        X: Any,
        y: NDArray[Any],
        many: Sequence[Mapping[str, Any]],
        *,
        pooling: str,
        random_state: int,
        n_jobs: int,
    ) -> Iterator[Self]:
        """Fit several settings on the same clips, for a search.

        By default each is built and fitted when its turn comes. A head may share work between
        them, and may come only close to what `fit` gives, as long as the scores that a search
        compares stay the same; what is reported is fitted by `fit`.

        Args:
            X: as for `fit`.
            y: labels (clips,).
            many: parameters as for `build`.
            pooling: as for `build`.
            random_state: seed of each fit.
            n_jobs: threads.

        Yields:
            One fitted head per setting, in the order given.

        Raises:
            ValueError: as `fit`, and like any error here it is that of the setting whose turn it
                was: those before have been yielded, and those after may be asked for anew.
            FitDiverged: the same.
        """
        for params in many:
            head = cls.build(params, pooling=pooling, random_state=random_state, n_jobs=n_jobs)
            head.fit(X, y)
            yield head

    def reads_from(self, cut: int) -> int | None:
        """For heads on a backbone: the layer whose frames the first trained part reads.

        Args:
            cut: layer that the backbone is cut after.

        Returns:
            `heads.sequences.STEM` where everything but the feature encoder is trained; None where
            the head cannot say, so that no frames are kept for it.

        Raises:
            ValueError: so much cannot be trained below that cut.
        """
        return None

    @classmethod
    def refit_params(cls, params: Mapping[str, Any], best_epoch: int | None) -> dict[str, Any]:
        """What `build` takes for a fit on more clips, none of which are left to validate on.

        By default the same; a head whose training is ended by validation clips says here how long
        it is to be without them.

        Args:
            params: what `suggest` returned.
            best_epoch: `TrainedHead.best_epoch_` of the fit with validation clips.
        """
        return dict(params)

    @classmethod
    def trains(cls, drawn: Mapping[str, Any], pooling: str, cut: int | None) -> str | None:
        """What of the network is trained with these parameters, in words for a table.

        Args:
            drawn: parameters by their names in the trial, or constructor parameters.
            pooling: the pooling of the cell.
            cut: layer the backbone is cut after; None without one.

        Returns:
            Such as `the last 2 blocks`; None where the head's name says all there is to say.
        """
        return None

    def state(self) -> dict[str, NDArray[Any]]:
        """What a fitted head predicts with, beside its parameters: arrays, for a file of them.

        They are C-contiguous, since such files keep bytes and no strides.

        Raises:
            HeadError: the head does not offer it.
        """
        raise HeadError(
            f"head '{self.info.name}' does not say what it predicts with (it has no `state`): take "
            "a row of another head"
        )

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Become the head that `state` is of; `classes_` and `n_features_in_` are set already."""
        raise HeadError(f"head '{self.info.name}' cannot be made of what it predicted with")

    def exported(self) -> torch.nn.Module:
        """A fitted head on vectors, as a module that `torch.export` can follow.

        Returns:
            A module: float32 (clips, features) → scores (clips, classes), whose softmax
            `predict_proba` is.

        Raises:
            HeadError: the head does not offer it.
        """
        raise HeadError(
            f"head '{self.info.name}' does not say how it would be a graph (it has no `exported`): "
            "take a winner with another head"
        )

    @abstractmethod
    def fit(self, X: Any, y: NDArray[Any]) -> Head:
        """Fit on clips X and labels y (clips,).

        Args:
            X: float32 (clips, features); or `heads.sequences.Sequences` or `TrainableClips`, as
                the class reads.
            y: labels (clips,), strings or integers.
        """

    @abstractmethod
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Class probabilities (clips, classes), columns in the order of `classes_`."""

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each clip, (clips,)."""
        # first, because on an unfitted head this is what raises NotFittedError
        probabilities = self.predict_proba(X)
        return self.classes_[np.argmax(probabilities, axis=1)]

    def check_training_data(
        self, X: NDArray[np.float32], y: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Validate what `fit` was given and set `classes_` and `n_features_in_`.

        Args:
            X: vectors (clips, features).
            y: labels (clips,), strings or integers.

        Returns:
            X as C-contiguous float32, and y as positions in `classes_`.

        Raises:
            ValueError: X holds NaN or infinity, sizes disagree, y is not a set of class labels
                or names fewer than two classes.
        """
        X, y = validate_data(self, X, y, dtype=np.float32, order="C")
        check_classification_targets(y)
        return X, self.learn_classes(y)

    def learn_classes(self, y: NDArray[Any]) -> NDArray[np.int64]:
        """Set `classes_`; returns labels y (clips,) as positions in it.

        Raises:
            ValueError: y names fewer than two classes.
        """
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least two classes to tell apart, "
                f"the training labels hold only one class: '{self.classes_[0]}'"
            )
        return codes.astype(np.int64)

    def check_vectors(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Validate what `predict_proba` was given; returns X as C-contiguous float32.

        Raises:
            NotFittedError: `fit` has not been called.
            ValueError: X holds NaN or infinity, or has another width than in `fit`.
        """
        check_is_fitted(self)
        return validate_data(self, X, dtype=np.float32, order="C", reset=False)

    def seed(self) -> int:
        """An int seed for other libraries, drawn from `random_state`."""
        return int(check_random_state(self.random_state).randint(2**31 - 1))


def as_probabilities(raw: NDArray[Any]) -> NDArray[np.float64]:
    """Rescale float32 probabilities (clips, classes) so that rows sum to 1 in float64.

    scikit-learn's log loss complains about rows that are off by float32 rounding.

    Raises:
        FitDiverged: a probability is not finite.
    """
    probabilities = np.asarray(raw, dtype=np.float64)
    if not np.isfinite(probabilities).all():
        raise FitDiverged("the fitted head predicts probabilities that are not finite")
    return probabilities / probabilities.sum(axis=1, keepdims=True)
