"""What a search saves by fitting many settings of a head at once: both ways, in one process.

Run by `tox -e perf`, which adds the JSON to results/benchmarks. Vectors are generated, as wide and
as correlated as those of an encoder. `extra_info.ratio` is the median time of fits one at a time
over that of the same settings at once, measured in turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from bench import machine as measure
from heads import Head
from heads._training.head import torch_threads
from heads.gradient_boosting import GradientBoostingHead
from heads.lda import LDAHead
from heads.logistic_regression import LogisticRegressionHead
from heads.mlp import MLPHead

CLIPS, CLASSES = 960, 8
ROUNDS = 3


def vectors(features: int, apart: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Standardised vectors (clips, features) whose variances fall as fast as real ones, and y.

    Means of classes lie `apart` by so many standard deviations.
    """
    rng = np.random.default_rng(0)
    y = np.arange(CLIPS) % CLASSES
    hidden = rng.standard_normal((CLIPS, CLIPS)) + apart * rng.standard_normal((CLASSES, CLIPS))[y]
    hidden *= np.arange(1, CLIPS + 1) ** -0.7
    X = hidden @ rng.standard_normal((CLIPS, features))
    return StandardScaler().fit_transform(X).astype(np.float32), y


def _seconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def _in_turns(quick: Callable[[], object], slow: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of both, which run in turns."""
    turns = [(_seconds(quick), _seconds(slow)) for _ in range(ROUNDS)]
    first, second = (float(np.median(column)) for column in zip(*turns, strict=True))
    return first, second


@pytest.mark.parametrize("features", [1024, 2048])
@pytest.mark.parametrize("head", [LogisticRegressionHead, LDAHead])
def test_a_search_at_once_and_one_at_a_time(
    head: type[Head], features: int, benchmark: Any
) -> None:
    X, y = vectors(features)
    grid = head.grid()
    assert grid is not None
    given: dict[str, Any] = {"pooling": "mean", "random_state": 0, "n_jobs": 1}
    heads: list[list[Head]] = [[], []]
    # scikit-learn's own tolerance: that of the refit would take it longer still
    coarse = {"tol": 1e-4} if head is LogisticRegressionHead else {}

    def at_once() -> None:
        heads[0] = list(head.fit_many(X, y, grid, **given))

    def one_at_a_time() -> None:
        heads[1] = [head.build({**params, **coarse}, **given).fit(X, y) for params in grid]

    quick, slow = _in_turns(at_once, one_at_a_time)
    benchmark.pedantic(at_once, rounds=1)
    benchmark.extra_info.update(
        phase=f"{len(grid)} settings of {head.info.name} on {CLIPS} clips × {features} features",
        hardware=measure.hardware(),
        threads=1,
        at_once_seconds=round(quick, 3),
        one_at_a_time_seconds=round(slow, 3),
        ratio=round(slow / quick, 2),
    )
    for ours, theirs in zip(*heads, strict=True):
        assert (ours.predict(X) == theirs.predict(X)).mean() >= 0.99
    assert slow > quick


def test_boosting_on_dealt_features_and_by_column_sampling(benchmark: Any) -> None:
    """The same rounds of trees that see a tenth of the features, scored on clips held out."""
    X, y = vectors(1024, apart=0.3)
    fitted, held = np.arange(CLIPS) % 5 > 0, np.arange(CLIPS) % 5 == 0
    trees: dict[str, Any] = {"n_estimators": 300, "learning_rate": 0.1, "max_depth": 2}
    trees |= {"subsample": 0.7, "random_state": 0, "n_jobs": 1}
    ours = GradientBoostingHead(**trees)
    theirs = XGBClassifier(**trees, tree_method="hist", colsample_bytree=0.1, max_bin=64)
    quick, slow = _in_turns(
        lambda: ours.fit(X[fitted], y[fitted]), lambda: theirs.fit(X[fitted], y[fitted])
    )
    benchmark.pedantic(lambda: ours.fit(X[fitted], y[fitted]), rounds=1)
    scores = [float((each.predict(X[held]) == y[held]).mean()) for each in (ours, theirs)]
    benchmark.extra_info.update(
        phase=f"300 rounds of gradient_boosting on {fitted.sum()} clips × 1024 features",
        hardware=measure.hardware(),
        threads=1,
        dealt_seconds=round(quick, 3),
        sampled_seconds=round(slow, 3),
        ratio=round(slow / quick, 2),
        dealt_accuracy=round(scores[0], 4),
        sampled_accuracy=round(scores[1], 4),
    )
    assert scores[0] > scores[1] - 0.05
    assert slow > quick


@pytest.mark.parametrize("hidden", [64, 256])
@pytest.mark.parametrize("features", [1024, 2048])
def test_gradients_written_out_and_by_autograd(features: int, hidden: int, benchmark: Any) -> None:
    """The same training, step by step, as torch would be asked for it."""
    X, y = vectors(features)
    head = MLPHead(hidden=hidden, epochs=16, random_state=0)
    curve: list[float] = []

    def by_autograd() -> None:
        generator = torch.Generator().manual_seed(head.seed())
        inner, outer = torch.nn.Linear(features, hidden), torch.nn.Linear(hidden, CLASSES)
        for linear in (inner, outer):
            # drawn as the head draws them: features in rows
            weight = torch.empty(linear.in_features, linear.out_features)
            torch.nn.init.xavier_uniform_(weight, generator=generator)
            linear.weight.data, linear.bias.data = weight.T, torch.zeros_like(linear.bias)
        groups = [
            {"params": [inner.weight, outer.weight], "weight_decay": head.weight_decay},
            {"params": [inner.bias, outer.bias], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=head.learning_rate, fused=True)
        steps = head.epochs * -(-CLIPS // head.batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        clips, labels = torch.from_numpy(X), torch.from_numpy(y)
        curve.clear()
        for _ in range(head.epochs):
            total = 0.0
            for batch in torch.randperm(CLIPS, generator=generator).split(head.batch_size):
                activity = torch.tanh(inner(clips[batch]))
                kept = torch.rand(activity.shape, generator=generator) >= head.dropout
                logits = outer(activity * kept / (1 - head.dropout))
                loss = torch.nn.functional.cross_entropy(logits, labels[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                total += loss.item() * len(batch)
            curve.append(total / CLIPS)

    with torch_threads(1):
        quick, slow = _in_turns(lambda: head.fit(X, y), by_autograd)
    benchmark.pedantic(lambda: head.fit(X, y), rounds=1)
    benchmark.extra_info.update(
        phase=f"mlp, {hidden} hidden units, {CLIPS} clips × {features} features, 16 epochs",
        hardware=measure.hardware(),
        threads=1,
        written_out_seconds=round(quick, 3),
        autograd_seconds=round(slow, 3),
        ratio=round(slow / quick, 2),
    )
    np.testing.assert_allclose(head.loss_curve_, curve, rtol=1e-3)
