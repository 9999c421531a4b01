"""Linear discriminant analysis: one Gaussian per class, all of one shrunk covariance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from heads._solvers.discriminant import NotSolved, solve
from heads._threads import at_most
from heads.base import Head, HeadContext, HeadInfo, as_probabilities

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from optuna.trial import Trial

INFO = HeadInfo(
    name="lda",
    summary="linear discriminant analysis, covariance shrunk by Ledoit and Wolf (scikit-learn)",
)


@dataclass(eq=False, repr=False)
class LDAHead(Head):
    """Linear discriminant analysis whose covariance is shrunk as far as the clips ask for.

    There is nothing to tune but the layer.

    Args:
        random_state: accepted as by every head; nothing is random.
        n_jobs: threads for the linear algebra.

    Attributes:
        classes_: class labels, sorted, (classes,).
        n_features_in_: width of the training vectors.
        model_: the fitted scikit-learn estimator.

    References:
        scikit-learn: `sklearn.discriminant_analysis.LinearDiscriminantAnalysis`. Ledoit and Wolf
        (2004), "A well-conditioned estimator for large-dimensional covariance matrices".
    """

    info = INFO
    random = False

    random_state: int | None = None
    n_jobs: int = 1

    @staticmethod
    def suggest(trial: Trial, context: HeadContext) -> dict[str, Any]:
        """Draw nothing."""
        return {}

    @classmethod
    def grid(cls) -> tuple[dict[str, Any], ...]:
        """The one setting there is."""
        return ({},)

    @classmethod
    def fit_many(
        cls,
        X: NDArray[np.float32],
        y: NDArray[Any],
        many: Sequence[Mapping[str, Any]],
        *,
        pooling: str,
        random_state: int,
        n_jobs: int,
    ) -> Iterator[Self]:
        """Fit by products of clips, which on wide vectors takes a fraction of the time of `fit`.

        Probabilities are those of `fit` within 1e-4. Where the covariance cannot be divided by,
        `fit` itself is asked, which takes least squares.

        Yields:
            One fitted head per setting.

        Raises:
            ValueError: see `Head.check_training_data`.
        """
        for params in many:
            head = cls.build(params, pooling=pooling, random_state=random_state, n_jobs=n_jobs)
            vectors, codes = head.check_training_data(X, y)
            try:
                with at_most(n_jobs):
                    coef, intercept = solve(vectors, codes)
            except NotSolved:
                head.fit(X, y)
            else:
                head._take(coef, intercept)
            yield head

    def fit(self, X: NDArray[np.float32], y: NDArray[Any]) -> LDAHead:
        """Fit on X (clips, features) and labels y (clips,).

        Raises:
            ValueError: see `Head.check_training_data`.
        """
        X, codes = self.check_training_data(X, y)
        self.model_ = _estimator()
        with at_most(self.n_jobs):
            self.model_.fit(X, codes)
        return self

    def state(self) -> dict[str, NDArray[Any]]:
        """Weights (classes, features) and intercepts (classes,); one class of two."""
        parts = {"coef": self.model_.coef_, "intercept": self.model_.intercept_}
        return {name: np.ascontiguousarray(own) for name, own in parts.items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """See `Head.restore`."""
        model = _estimator()
        model.classes_ = np.arange(len(self.classes_))
        model.coef_, model.intercept_ = state["coef"], state["intercept"]
        model.n_features_in_ = self.n_features_in_
        self.model_ = model

    def exported(self) -> torch.nn.Module:
        """See `Head.exported`."""
        from heads._exported import Linear

        return Linear(self.model_.coef_, self.model_.intercept_)

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Class probabilities (clips, classes), columns in the order of `classes_`."""
        X = self.check_vectors(X)
        with at_most(self.n_jobs):
            return as_probabilities(self.model_.predict_proba(X))

    def _take(self, coef: NDArray[np.float64], intercept: NDArray[np.float64]) -> None:
        """Become what `fit` makes of it, with these weights (classes, features)."""
        if len(coef) == 2:  # scikit-learn's way of two classes
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        model = _estimator()
        model.classes_ = np.arange(len(self.classes_))
        model.coef_, model.intercept_ = coef, intercept
        model.n_features_in_ = self.n_features_in_
        self.model_ = model


def _estimator() -> LinearDiscriminantAnalysis:
    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
