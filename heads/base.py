"""The head contract: a scikit-learn classifier that also knows its own search space."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from optuna.trial import Trial


@dataclass(frozen=True)
class HeadInfo:
    """What the harness needs to know about a head.

    Attributes:
        name: the name used on the command line, in records and in file names.
        summary: one line for `voxgrid list`.
        wants: what the head is fitted on. `vectors`: pooled, standardised clip vectors.
        version: raise it when the code or the search space changes the numbers.
    """

    name: str
    summary: str
    wants: Literal["vectors"] = "vectors"
    version: int = 1


@dataclass(frozen=True)
class HeadContext:
    """What a search space may depend on. Never anything of the test fold.

    Attributes:
        clips: number of training clips.
        features: length of a clip vector.
        classes: number of classes.
    """

    clips: int
    features: int
    classes: int


class Head(ClassifierMixin, BaseEstimator):
    """A scikit-learn classifier with plain constructor parameters and a search space.

    Every head takes `random_state` (int) and `n_jobs` (threads, int) besides its own parameters.
    """

    info: ClassVar[HeadInfo]
    classes_: NDArray[Any]

    @staticmethod
    @abstractmethod
    def suggest(trial: Trial, context: HeadContext) -> dict[str, Any]:
        """Draw constructor parameters from the search space.

        Args:
            trial: the Optuna trial to draw from.
            context: sizes of the training data.

        Returns:
            Keyword arguments of the constructor, without `random_state` and `n_jobs`.
        """

    @abstractmethod
    def fit(self, X: NDArray[np.float32], y: NDArray[Any]) -> Head:
        """Fit on X (clips, features) and labels y (clips,)."""

    @abstractmethod
    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Class probabilities (clips, classes), columns in the order of `classes_`."""

    def predict(self, X: NDArray[np.float32]) -> NDArray[Any]:
        """The most probable class of each clip, (clips,)."""
        return self.classes_[np.argmax(self.predict_proba(X), axis=1)]
