"""The path of multinomial logistic regressions, against scikit-learn run to convergence."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from heads._solvers import multinomial
from heads._solvers.multinomial import NotSolved, solve_path

PATH = np.logspace(-4, 0, 7).tolist()
# (clips, features, classes, how far apart the classes lie)
SHAPES = {
    "wide, separable": (120, 300, 5, 1.0),
    "wide, noise": (80, 400, 4, 0.0),
    "narrow, overlapping": (300, 20, 6, 0.3),
    "narrow, separable": (200, 40, 3, 2.0),
    "two classes, wide": (60, 200, 2, 0.5),
    "two classes, narrow": (200, 10, 2, 0.3),
    "few clips": (9, 50, 3, 1.0),
}


def clips_of(shape: str) -> tuple[np.ndarray, np.ndarray]:
    """Vectors whose features are as correlated as real ones, standardised; and classes."""
    clips, features, classes, apart = SHAPES[shape]
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(clips) % classes)
    means = rng.standard_normal((classes, features)) * apart
    scales = np.arange(1, features + 1) ** -0.5
    mixed = np.linalg.qr(rng.standard_normal((features, features)))[0] * scales
    X = (rng.standard_normal((clips, features)) + means[y]) @ mixed.T
    return StandardScaler().fit_transform(X).astype(np.float32), y.astype(np.int64)


def probabilities(solution: multinomial.Solution, X: np.ndarray) -> np.ndarray:
    logits = X @ solution.coef.T + solution.intercept
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def converged(C: float, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    model = LogisticRegression(C=C, tol=1e-7, max_iter=10_000)
    return model.fit(X.astype(np.float64), y).predict_proba(X)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_solution_is_scikit_learns(shape: str) -> None:
    X, y = clips_of(shape)
    for C, solution in zip(PATH, solve_path(X, y, PATH), strict=True):
        off = np.abs(probabilities(solution, X) - converged(C, X, y)).max()
        assert off < 2e-3, f"C={C:g}"


@pytest.mark.parametrize("shape", SHAPES)
def test_a_finer_tolerance_comes_closer(shape: str) -> None:
    X, y = clips_of(shape)
    for C, solution in zip(PATH, solve_path(X, y, PATH, tol=1e-4), strict=True):
        assert np.abs(probabilities(solution, X) - converged(C, X, y)).max() < 2e-4, f"C={C:g}"


@pytest.mark.parametrize("shape", ["wide, separable", "narrow, overlapping"])
def test_vectors_need_not_be_centred(shape: str) -> None:
    X, y = clips_of(shape)
    (centred,) = solve_path(X, y, [0.01], tol=1e-4)
    (moved,) = solve_path(X + 3, y, [0.01], tol=1e-4)
    off = np.abs(probabilities(moved, X + 3) - probabilities(centred, X)).max()
    assert off < 1e-3


@pytest.mark.parametrize("shape", ["wide, separable", "narrow, overlapping"])
def test_a_constant_feature_gets_no_weight(shape: str) -> None:
    X, y = clips_of(shape)
    X[:, 3] = 0
    (solution,) = solve_path(X, y, [0.01])
    assert np.abs(solution.coef[:, 3]).max() < 1e-6


def test_classes_of_uneven_size_have_their_intercepts() -> None:
    X, y = clips_of("wide, noise")
    y = np.where(y == 3, 0, y)
    (solution,) = solve_path(X, y, [1e-4], tol=1e-5)
    assert np.abs(probabilities(solution, X) - converged(1e-4, X, y)).max() < 2e-4


def test_iterations_that_do_not_suffice_are_told() -> None:
    X, y = clips_of("wide, separable")
    with pytest.raises(NotSolved, match=r"1 iterations did not suffice for C=0\.01"):
        list(solve_path(X, y, [0.01], max_iter=1))


def test_numbers_beyond_float32_are_told() -> None:
    X, y = clips_of("wide, separable")
    with pytest.raises(NotSolved), np.errstate(all="ignore"):
        list(solve_path(X * np.float32(1e19), y, [0.01]))
