"""Heads on vectors made again of what they predict with: the same to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from bench.plugins import HEADS
from heads import Head, HeadError
from heads.lda import LDAHead

PARAMS: dict[str, dict[str, Any]] = {
    "logistic_regression": {"C": 0.1},
    "lda": {},
    "mlp": {"hidden": 16, "epochs": 3},
    "gradient_boosting": {"n_estimators": 25},
}


def test_every_head_on_vectors_is_tested_here() -> None:
    assert {name for name in HEADS.names() if "vectors" in HEADS.get(name)} == set(PARAMS)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("name", PARAMS)
def test_a_head_made_of_its_state_predicts_the_same(name: str, classes: int) -> None:
    random = np.random.default_rng(0)
    y = random.integers(classes, size=90)
    X = random.standard_normal((90, 40)).astype(np.float32)
    X[:, :classes] += np.eye(classes, dtype=np.float32)[y]
    kind = HEADS.reading(name, "vectors")
    fitted = kind.build(PARAMS[name], pooling="mean", random_state=1, n_jobs=1).fit(X[:60], y[:60])
    # through a file, which holds arrays and nothing else
    state = load(save(fitted.state()))
    made = kind.build(PARAMS[name], pooling="mean", random_state=9, n_jobs=1)
    made.classes_, made.n_features_in_ = fitted.classes_, fitted.n_features_in_
    made.restore(state)
    np.testing.assert_array_equal(made.predict_proba(X), fitted.predict_proba(X))


def test_a_head_that_does_not_offer_it_says_so() -> None:
    class Silent(LDAHead):
        state = Head.state

    with pytest.raises(HeadError, match="take a row of another head"):
        Silent().state()
