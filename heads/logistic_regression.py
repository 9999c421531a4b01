"""Multinomial logistic regression: the linear probe of the speech literature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from threadpoolctl import threadpool_limits

from heads.base import Head, HeadContext, HeadInfo, as_probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from optuna.trial import Trial

INFO = HeadInfo(
    name="logistic_regression",
    summary="linear probe, L2 strength tuned (scikit-learn, lbfgs)",
)


@dataclass(eq=False, repr=False)
class LogisticRegressionHead(Head):
    """Softmax over one linear layer with an L2 penalty, fitted to convergence by lbfgs.

    Args:
        C: inverse strength of the L2 penalty, > 0.
        max_iter: lbfgs iterations at most; scikit-learn warns (`ConvergenceWarning`) where they
            did not suffice, and `converged_` says so.
        tol: lbfgs stops when the largest gradient component falls below this.
        random_state: accepted as by every head; lbfgs is deterministic.
        n_jobs: threads for the linear algebra.

    Attributes:
        classes_: class labels, sorted, (classes,).
        n_features_in_: width of the training vectors.
        model_: the fitted scikit-learn estimator.
        n_iter_: lbfgs iterations used.
        converged_: whether lbfgs stopped before `max_iter`.

    References:
        scikit-learn: `sklearn.linear_model.LogisticRegression`. Alain and Bengio (2016),
        "Understanding intermediate layers using linear classifier probes", arXiv:1610.01644.
    """

    info = INFO

    C: float = 0.1
    max_iter: int = 1000
    tol: float = 1e-4
    random_state: int | None = None
    n_jobs: int = 1

    @staticmethod
    def suggest(trial: Trial, context: HeadContext) -> dict[str, Any]:
        """Draw `C`; a thousand standardised vectors are separable, so it matters a lot.

        Returns:
            `{"C": ...}`, log-uniform in [1e-5, 10].
        """
        return {"C": trial.suggest_float("C", 1e-5, 1e1, log=True)}

    def fit(self, X: NDArray[np.float32], y: NDArray[Any]) -> LogisticRegressionHead:
        """Fit on X (clips, features) and labels y (clips,).

        Raises:
            ValueError: see `Head.check_training_data`.
        """
        X, codes = self.check_training_data(X, y)
        self.model_ = SklearnLogisticRegression(C=self.C, max_iter=self.max_iter, tol=self.tol)
        with threadpool_limits(self.n_jobs):
            self.model_.fit(X, codes)
        self.n_iter_ = int(self.model_.n_iter_.max())
        self.converged_ = self.n_iter_ < self.max_iter
        return self

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Class probabilities (clips, classes), columns in the order of `classes_`."""
        X = self.check_vectors(X)
        with threadpool_limits(self.n_jobs):
            return as_probabilities(self.model_.predict_proba(X))
