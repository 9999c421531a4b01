"""Multinomial logistic regression: the linear probe of the speech literature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from heads._solvers.multinomial import NotSolved, Solution, solve_path
from heads._threads import at_most
from heads.base import Head, HeadContext, HeadInfo, as_probabilities

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from optuna.trial import Trial

INFO = HeadInfo(
    name="logistic_regression",
    summary="linear probe, L2 strength tuned (scikit-learn, lbfgs)",
)

# Every C that is tried: on standardised vectors the best one lies inside, and between two of
# these scores hardly change.
GRID = tuple(float(C) for C in np.logspace(-4, 0, 13))


@dataclass(eq=False, repr=False)
class LogisticRegressionHead(Head):
    """Softmax over one linear layer with an L2 penalty, fitted to convergence by lbfgs.

    Args:
        C: inverse strength of the L2 penalty, > 0.
        max_iter: lbfgs iterations at most; scikit-learn warns (`ConvergenceWarning`) where they
            did not suffice, and `converged_` says so.
        tol: lbfgs stops when the largest gradient component falls below this; with 1e-4, at C = 1,
            probabilities on 1,200 vectors of 1,024 features were off by 0.2.
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
    version = 2
    random = False

    C: float = 0.1
    max_iter: int = 1000
    tol: float = 1e-6
    random_state: int | None = None
    n_jobs: int = 1

    @staticmethod
    def suggest(trial: Trial, context: HeadContext) -> dict[str, Any]:
        """Draw `C`; a thousand standardised vectors are separable, so it matters a lot.

        Returns:
            `{"C": ...}`, log-uniform in [1e-5, 10].
        """
        return {"C": trial.suggest_float("C", 1e-5, 1e1, log=True)}

    @classmethod
    def grid(cls) -> tuple[dict[str, Any], ...]:
        """13 values of C from 1e-4 to 1, evenly spaced in their logarithm."""
        return tuple({"C": C} for C in GRID)

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
        """Fit several settings on the same clips, those of the grid by one path of solutions.

        What a C gives does not depend on which others are asked for: the path always begins at
        the lowest of the grid. Probabilities are off those of a converged `fit` by 2e-3 at most
        for C up to 0.01, and by about 1e-2 for C = 1, where `fit` itself stops earlier. Settings
        that are not of the grid, or that the path cannot reach, are fitted by `fit`.

        Yields:
            One fitted head per setting, in the order given.

        Raises:
            ValueError: see `Head.check_training_data`.
        """
        wanted = [params["C"] for params in many if _on_grid(params)]
        solved: dict[float, Solution] = {}
        heads = (
            cls.build(params, pooling=pooling, random_state=random_state, n_jobs=n_jobs)
            for params in many
        )
        if wanted:
            seen = cls()
            vectors, codes = seen.check_training_data(X, y)
            solved = _solved(vectors, codes, GRID[: GRID.index(max(wanted)) + 1], n_jobs)
        for params, head in zip(many, heads, strict=True):
            solution = solved.get(params["C"]) if _on_grid(params) else None
            if solution is None:
                head.fit(X, y)
            else:
                head._take(seen, solution)
            yield head

    def _take(self, seen: Self, solution: Solution) -> None:
        """Become what `fit` makes of the data that `seen` has checked, with these weights."""
        self.classes_, self.n_features_in_ = seen.classes_, seen.n_features_in_
        model = SklearnLogisticRegression(C=self.C, max_iter=self.max_iter, tol=self.tol)
        model.classes_ = np.arange(len(self.classes_))
        model.coef_, model.intercept_ = solution.coef, solution.intercept
        model.n_features_in_ = self.n_features_in_
        model.n_iter_ = np.array([solution.iterations], dtype=np.int32)
        self.model_ = model
        self.n_iter_ = solution.iterations
        self.converged_ = True

    def fit(self, X: NDArray[np.float32], y: NDArray[Any]) -> LogisticRegressionHead:
        """Fit on X (clips, features) and labels y (clips,).

        Raises:
            ValueError: see `Head.check_training_data`.
        """
        X, codes = self.check_training_data(X, y)
        self.model_ = SklearnLogisticRegression(C=self.C, max_iter=self.max_iter, tol=self.tol)
        with at_most(self.n_jobs):
            self.model_.fit(X, codes)
        self.n_iter_ = int(self.model_.n_iter_.max())
        self.converged_ = self.n_iter_ < self.max_iter
        return self

    def state(self) -> dict[str, NDArray[Any]]:
        """Weights (classes, features) and intercepts (classes,); one class of two."""
        parts = {"coef": self.model_.coef_, "intercept": self.model_.intercept_}
        return {name: np.ascontiguousarray(own) for name, own in parts.items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """See `Head.restore`."""
        model = SklearnLogisticRegression(C=self.C, max_iter=self.max_iter, tol=self.tol)
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


def _on_grid(params: Mapping[str, Any]) -> bool:
    return set(params) == {"C"} and params["C"] in GRID


def _solved(
    X: NDArray[np.float32], codes: NDArray[np.int64], path: Sequence[float], threads: int
) -> dict[float, Solution]:
    """The solutions of a path by C, up to the first that cannot be found."""
    solved: dict[float, Solution] = {}
    with at_most(threads):
        try:
            for C, solution in zip(path, solve_path(X, codes, path), strict=True):
                solved[C] = solution
        except NotSolved:
            pass  # not of the data, which scikit-learn's solver, asked next, may well fit
    return solved
