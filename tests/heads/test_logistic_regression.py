"""Many settings of logistic regression at once, and one at a time."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from heads import logistic_regression
from heads._solvers.multinomial import NotSolved, Solution
from heads.logistic_regression import GRID, LogisticRegressionHead
from tests.heads._solvers.test_multinomial import clips_of

Many = list[dict[str, Any]]


def fit_many(X: np.ndarray, y: np.ndarray, many: Many) -> list[LogisticRegressionHead]:
    return list(
        LogisticRegressionHead.fit_many(X, y, many, pooling="mean", random_state=0, n_jobs=1)
    )


def test_the_grid_is_thirteen_strengths() -> None:
    grid = LogisticRegressionHead.grid()
    assert [setting["C"] for setting in grid] == pytest.approx(np.logspace(-4, 0, 13))


@pytest.mark.parametrize("shape", ["wide, separable", "narrow, overlapping", "two classes, wide"])
def test_many_are_what_each_is(shape: str) -> None:
    X, y = clips_of(shape)
    labels = np.array(["calm", "happy", "sad", "angry", "afraid", "bored"])[y]
    for head in fit_many(X, labels, [{"C": C} for C in GRID]):
        alone = LogisticRegressionHead(C=head.C, tol=1e-7, max_iter=10_000).fit(X, labels)
        assert (head.classes_ == alone.classes_).all()
        assert np.abs(head.predict_proba(X) - alone.predict_proba(X)).max() < 2e-3
        assert (head.predict(X) == alone.predict(X)).mean() >= 0.995


def test_they_come_in_the_order_given() -> None:
    X, y = clips_of("wide, separable")
    asked = [GRID[7], GRID[0], 0.123, GRID[12], GRID[7]]
    assert [head.C for head in fit_many(X, y, [{"C": C} for C in asked])] == asked


def test_others_in_the_batch_change_nothing() -> None:
    X, y = clips_of("wide, separable")
    together = fit_many(X, y, [{"C": C} for C in GRID])
    apart = fit_many(X, y, [{"C": GRID[9]}, {"C": GRID[4]}])
    for one, other in ((apart[0], together[9]), (apart[1], together[4])):
        assert np.abs(one.predict_proba(X) - other.predict_proba(X)).max() < 1e-5


def test_a_setting_off_the_grid_is_fitted_as_ever() -> None:
    X, y = clips_of("wide, separable")
    many: Many = [{"C": GRID[3]}, {"C": 0.123}, {"C": GRID[4], "tol": 1e-6}, {"C": GRID[5]}]
    for head in fit_many(X, y, many)[1:3]:
        alone = LogisticRegressionHead(C=head.C, tol=head.tol).fit(X, y)
        assert (head.predict_proba(X) == alone.predict_proba(X)).all()


def test_what_the_path_cannot_reach_is_fitted_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = clips_of("wide, separable")
    solve = logistic_regression.solve_path

    def two(*args: Any) -> Iterator[Solution]:
        solutions = solve(*args)
        yield next(solutions)
        yield next(solutions)
        raise NotSolved("iterations ran out")

    monkeypatch.setattr(logistic_regression, "solve_path", two)
    heads = fit_many(X, y, [{"C": C} for C in GRID[:3]])
    alone = LogisticRegressionHead(C=GRID[2]).fit(X, y)
    assert (heads[2].predict_proba(X) == alone.predict_proba(X)).all()


def test_one_of_many_is_a_head_like_any() -> None:
    X, y = clips_of("wide, separable")
    head = fit_many(X, y, [{"C": C} for C in GRID[:2]])[1]
    copy = pickle.loads(pickle.dumps(head))
    assert (copy.predict_proba(X) == head.predict_proba(X)).all()
    assert head.get_params() == LogisticRegressionHead(C=GRID[1], random_state=0).get_params()
    assert head.converged_


@pytest.mark.parametrize("many", [[{"C": GRID[0]}, {"C": GRID[1]}], [{"C": 0.5}]])
def test_clips_that_cannot_be_fitted_are_refused(many: Many) -> None:
    X, y = clips_of("wide, separable")
    with pytest.raises(ValueError, match="at least two classes"):
        fit_many(X, np.zeros_like(y), many)
