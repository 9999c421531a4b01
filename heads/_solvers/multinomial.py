"""Multinomial logistic regression for a whole path of penalties on the same clips.

The objective is scikit-learn's: `C * sum of log losses + |W|² / 2`, the intercept unpenalised.
What makes it fast:

- Wide vectors (more features than clips) are seen through their products `X Xᵀ` alone: weights are
  `A X`, with one number per clip and class in A, so an iteration costs (clips × clips) products.
- Nonlinear conjugate gradients, preconditioned with the Hessian in which all classes share the
  weight of a clip: one Cholesky factorisation in every `REFRESH` iterations.
- Along its direction the logits are linear, so the line search multiplies nothing.
- Each C starts where the line through the last two solutions, over log C, leads.

References:
    Polak and Ribière (1969), "Note sur la convergence de méthodes de directions conjuguées".
    Zhu and Hastie (2005), "Kernel logistic regression and the import vector machine".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.linalg import lapack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# Iterations that one factorisation serves.
REFRESH = 20
# A clip weighs at least this share of the heaviest: the factors divide by its root.
LIGHTEST = 0.02
# Newton's steps for the length of a step; the function along it is smooth and convex.
LENGTHS = 2


class NotSolved(ArithmeticError):
    """The iterations ran out or left the finite numbers; another solver has to be asked."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Weights of one C.

    Attributes:
        coef: float32 (classes, features), or (1, features) of the second class where there are two.
        intercept: float64 (classes,) or (1,).
        iterations: conjugate gradient iterations used.
    """

    coef: Floats
    intercept: NDArray[np.float64]
    iterations: int


def solve_path(
    X: Floats,
    y: NDArray[np.int64],
    path: Sequence[float],
    *,
    tol: float = 2e-3,
    max_iter: int = 300,
) -> Iterator[Solution]:
    """Fit every C of a path, each from the two before it, as they are asked for.

    Args:
        X: float32 (clips, features), of about unit variance; need not be centred.
        y: class of each clip (clips,), 0 to classes - 1, each of them present.
        path: values of C > 0, rising.
        tol: ends a C when the next preconditioned step changes no training clip's logit by more.
        max_iter: iterations for one C at most.

    Yields:
        One solution per value, in order.

    Raises:
        NotSolved: `max_iter` did not suffice for a C, or its numbers are not finite.
    """
    mean = X.mean(axis=0, dtype=np.float64).astype(np.float32)
    space: _Space = (_Wide if X.shape[1] > len(X) else _Narrow)(X - mean)
    targets = np.zeros((int(y.max()) + 1, len(X)), dtype=np.float32)
    targets[y, np.arange(len(y))] = 1
    # scikit-learn gives two classes one vector of weights: half the penalty of two opposite ones
    scale = 0.5 if len(targets) == 2 else 1.0
    before: list[tuple[float, _Point]] = []
    for C in path:
        start = _start(before, C) if before else _origin(space, targets)
        point, iterations = _minimise(space, targets, start, C * scale, tol, max_iter)
        before = [*before[-1:], (C, point)]
        coef = space.weights(point.at)
        intercept = (point.intercept[:, 0] - coef @ mean).astype(np.float64)
        if len(targets) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        yield Solution(coef, intercept, iterations)


@dataclass(frozen=True, eq=False)
class _Point:
    """Weights in the coordinates of a space, the logits they give without intercept, intercept."""

    at: Floats
    logits: Floats
    intercept: Floats

    def plus(self, step: _Point, length: float) -> _Point:
        t = np.float32(length)
        return _Point(
            self.at + t * step.at,
            self.logits + t * step.logits,
            self.intercept + t * step.intercept,
        )


class _Space(Protocol):
    """Coordinates of the weights, (classes, coordinates), for centred vectors X."""

    coordinates: int

    def weights(self, at: Floats) -> Floats:
        """Weights (classes, features)."""

    def logits(self, at: Floats) -> Floats:
        """Logits (classes, clips)."""

    def pull(self, residuals: Floats) -> Floats:
        """Coordinates of `residuals X`, for residuals (classes, clips)."""

    def dot(self, left: Floats, right: _Point) -> float:
        """Scalar product of two weights, of which one's logits are known."""

    def factors(self, weights: Floats, C: float) -> _Factors:
        """Factors of `I + C Xᵀ diag(weights) X`, for clip weights (clips,)."""


class _Factors(Protocol):
    def solve(self, gradient: Floats) -> Floats:
        """Coordinates of the gradient divided by the factored matrix."""


class _Wide:
    """One coordinate per clip: weights are `at X`, products of vectors are all that is needed."""

    def __init__(self, X: Floats) -> None:
        self._X = X
        self._products = X @ X.T
        self.coordinates = len(X)

    def weights(self, at: Floats) -> Floats:
        return at @ self._X

    def logits(self, at: Floats) -> Floats:
        return at @ self._products

    def pull(self, residuals: Floats) -> Floats:
        return residuals

    def dot(self, left: Floats, right: _Point) -> float:
        return float(np.vdot(left, right.logits))

    def factors(self, weights: Floats, C: float) -> _Factors:
        roots = np.sqrt(weights)
        matrix = np.empty_like(self._products)
        np.multiply(self._products, np.float32(C) * roots[:, None], out=matrix)
        return _Cholesky(np.multiply(matrix, roots, out=matrix), roots)


class _Narrow:
    """The weights themselves."""

    def __init__(self, X: Floats) -> None:
        self._X = X
        self._across = np.ascontiguousarray(X.T)
        self.coordinates = X.shape[1]

    def weights(self, at: Floats) -> Floats:
        return at

    def logits(self, at: Floats) -> Floats:
        return at @ self._across

    def pull(self, residuals: Floats) -> Floats:
        return residuals @ self._X

    def dot(self, left: Floats, right: _Point) -> float:
        return float(np.vdot(left, right.at))

    def factors(self, weights: Floats, C: float) -> _Factors:
        scaled = self._across * np.sqrt(np.float32(C) * weights)
        return _Cholesky(scaled @ scaled.T, np.ones(self.coordinates, dtype=np.float32))


class _Cholesky:
    """Solves with `diag(1 / roots) (I + matrix) diag(roots)`; the matrix (n, n) is overwritten."""

    def __init__(self, matrix: Floats, roots: Floats) -> None:
        matrix.flat[:: len(matrix) + 1] += 1
        # the transpose of a symmetric matrix is itself, in the order that LAPACK wants
        self._factor, failed = lapack.spotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
        if failed:
            raise NotSolved("the Hessian is not positive in float32")
        self._roots = roots

    def solve(self, gradient: Floats) -> Floats:
        scaled, _ = lapack.spotrs(self._factor, (gradient / self._roots).T, lower=1)
        solved: Floats = scaled.T * self._roots
        return solved


def _origin(space: _Space, targets: Floats) -> _Point:
    classes, clips = targets.shape
    at, logits, intercept = (
        np.zeros((classes, size), dtype=np.float32) for size in (space.coordinates, clips, 1)
    )
    return _Point(at, logits, intercept)


def _start(before: list[tuple[float, _Point]], C: float) -> _Point:
    """Where the line through the last solutions leads; from one alone, that one."""
    last_C, last = before[-1]
    if len(before) == 1:
        return last
    first_C, first = before[0]
    # no further than the line is known: a long way along it would lead anywhere
    ahead = min(1.0, float(np.log(C / last_C) / np.log(last_C / first_C)))
    step = _Point(last.at - first.at, last.logits - first.logits, last.intercept - first.intercept)
    return last.plus(step, ahead)


def _minimise(
    space: _Space, targets: Floats, point: _Point, C: float, tol: float, max_iter: int
) -> tuple[_Point, int]:
    chances = _softmax(point.logits + point.intercept)
    # the direction last gone, the step it was made of, and the slope along that
    last: tuple[_Point, _Point, float] | None = None
    for iteration in range(max_iter):
        if iteration % REFRESH == 0:
            weights = _weights(chances)
            factors = space.factors(weights, C)
            intercept_weight = np.float32(C * weights.sum())
            last = None
        residuals = np.float32(C) * (chances - targets)
        gradient = space.pull(residuals) + point.at
        gradient_intercept = residuals.sum(axis=1, keepdims=True)
        step = factors.solve(gradient)
        # rounding alone would move all classes alike
        step -= step.mean(axis=0)
        newton = _Point(step, space.logits(step), gradient_intercept / intercept_weight)
        reach = float(np.abs(newton.logits + newton.intercept).max())
        if not np.isfinite(reach):
            break
        if reach < tol:
            return point, iteration
        slope = _product(space, gradient, gradient_intercept, newton)
        direction = _Point(-newton.at, -newton.logits, -newton.intercept)
        if last is not None:
            old_direction, old_newton, old_slope = last
            overlap = _product(space, gradient, gradient_intercept, old_newton)
            direction = direction.plus(old_direction, max(0.0, (slope - overlap) / old_slope))
        last = direction, newton, slope
        point = point.plus(direction, _length(space, targets, point, direction, C))
        chances = _softmax(point.logits + point.intercept)
    raise NotSolved(f"{max_iter} iterations did not suffice for C={C:g}")


def _weights(chances: Floats) -> Floats:
    """What a clip weighs in the Hessian, on average over classes (clips,)."""
    classes = len(chances)
    weights = (1 - (chances * chances).sum(axis=0)) / (classes - 1)
    heaviest = weights.max()
    # all clips may be certain, and nothing would be left to divide by
    return np.maximum(weights, max(LIGHTEST * float(heaviest), 1e-6)).astype(np.float32)


def _product(space: _Space, gradient: Floats, gradient_intercept: Floats, step: _Point) -> float:
    return space.dot(gradient, step) + float(np.vdot(gradient_intercept, step.intercept))


def _length(space: _Space, targets: Floats, point: _Point, direction: _Point, C: float) -> float:
    """How far to go: Newton's steps on the objective along the direction."""
    change = direction.logits + direction.intercept
    logits = point.logits + point.intercept
    wanted = float(np.vdot(change, targets))
    slope_of_penalty = space.dot(point.at, direction)
    curve_of_penalty = space.dot(direction.at, direction)
    length = 1.0
    for _ in range(LENGTHS):
        chances = _softmax(logits + np.float32(length) * change)
        weighted = chances * change
        mean = weighted.sum(axis=0)
        slope = C * (float(mean.sum()) - wanted) + slope_of_penalty + length * curve_of_penalty
        curve = C * float(np.vdot(weighted, change) - np.vdot(mean, mean)) + curve_of_penalty
        if not curve > 0:
            break
        length = min(max(length - slope / curve, 0.1 * length), 4 * length)
    return length


def _softmax(logits: Floats) -> Floats:
    """Probabilities (classes, clips)."""
    raised = np.exp(logits - logits.max(axis=0))
    raised /= raised.sum(axis=0)
    return raised
