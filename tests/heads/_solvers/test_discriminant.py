"""Discriminant analysis by products of clips, against scikit-learn's in float64."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from heads._solvers.discriminant import NotSolved, _ledoit_wolf, solve
from tests.heads._solvers.test_multinomial import SHAPES, clips_of


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_give_scikit_learns_decisions(shape: str) -> None:
    X, y = clips_of(shape)
    X = X.astype(np.float64)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(X, y)
    coef, intercept = solve(X, y)
    decisions = X @ coef.T + intercept
    if len(coef) == 2:
        decisions = decisions[:, 1] - decisions[:, 0]
    assert decisions == pytest.approx(model.decision_function(X), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("size", [(30, 200), (200, 30), (40, 1)])
def test_shrinkage_is_that_of_ledoit_and_wolf(size: tuple[int, int]) -> None:
    Z = np.random.default_rng(0).standard_normal(size)
    Z -= Z.mean(axis=0)
    covariance, shrinkage = ledoit_wolf(Z, assume_centered=True)
    found, variance = _ledoit_wolf(Z)
    assert found == pytest.approx(shrinkage)
    assert variance * size[1] == pytest.approx(np.trace(covariance))


def test_a_feature_may_be_constant_in_a_class_or_in_all() -> None:
    X, y = clips_of("wide, separable")
    X = X.astype(np.float64)
    X[:, 0] = 0
    X[y == 1, 1] = 2
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(X, y)
    coef, intercept = solve(X, y)
    assert X @ coef.T + intercept == pytest.approx(model.decision_function(X), rel=1e-6, abs=1e-6)


def test_what_is_not_shrunk_cannot_be_divided_by() -> None:
    # a class of one clip has no covariance, and nothing to shrink it to
    with pytest.raises(NotSolved):
        solve(np.eye(3, 5), np.array([0, 1, 2]))
