"""What heads on vectors promise beside the conformance suite, which test_checks runs."""

from __future__ import annotations

import warnings

import numpy as np
import optuna
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from bench.plugins import HEADS
from heads._training.head import torch_threads
from heads.base import FitDiverged, Head, HeadContext
from heads.mlp import MLPHead

NAMES = [name for name in HEADS.names() if "vectors" in HEADS.get(name)]
CONTEXT = HeadContext(clips=96, features=24, classes=3)
EMOTIONS = np.array(["calm", "happy", "sad"])

# the smallest honest fit of each head, so that the conformance suite stays fast
SMALL = {
    "logistic_regression": {},
    "lda": {},
    "gradient_boosting": {"n_estimators": 15, "share": 0.5},
    "mlp": {"hidden": 32, "epochs": 15, "batch_size": 16, "learning_rate": 1e-2},
}

every_head = pytest.mark.parametrize("name", NAMES)


def built(name: str, params: dict, random_state: int = 0, n_jobs: int = 1) -> Head:
    cls = HEADS.reading(name, "vectors")
    return cls.build(params, pooling="mean", random_state=random_state, n_jobs=n_jobs)


def small(name: str, random_state: int = 0, n_jobs: int = 1) -> Head:
    return built(name, SMALL[name], random_state, n_jobs)


def separable(clips: int = 96, features: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Three clearly separated clouds, standardised."""
    rng = np.random.default_rng(7)
    codes = np.arange(clips) % 3
    X = rng.standard_normal((clips, features)) + 3 * rng.standard_normal((3, features))[codes]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return X.astype(np.float32), EMOTIONS[codes]


def sampled_params(name: str, count: int, seed: int = 0) -> list[dict]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [HEADS.reading(name, "vectors").suggest(study.ask(), CONTEXT) for _ in range(count)]


@pytest.fixture(autouse=True, scope="module")
def _quiet_optuna():
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


@parametrize_with_checks([small(name) for name in NAMES])  # no check is excepted
def test_scikit_learn_conformance(estimator, check):
    # checks on tiny unstandardised data may end at max_iter, which is not what they are about
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        check(estimator)


def test_every_head_has_a_small_variant_here():
    assert set(SMALL) == set(NAMES)


@every_head
def test_learns_separable_data_with_string_labels(name):
    X, y = separable()
    head = small(name).fit(X[:60], y[:60])
    assert head.classes_.tolist() == EMOTIONS.tolist()
    assert head.score(X[60:], y[60:]) >= 0.9


@every_head
def test_shuffled_labels_score_near_chance(name):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 24)).astype(np.float32)
    y = EMOTIONS[rng.permutation(np.arange(600) % 3)]
    # chance is 1/3, its standard error on 300 clips 0.027
    assert 0.23 < small(name).fit(X[:300], y[:300]).score(X[300:], y[300:]) < 0.44


@pytest.mark.parametrize("name", ["gradient_boosting", "mlp"])
def test_another_seed_other_numbers(name):
    X, y = separable()
    first, second = (small(name, random_state=s).fit(X, y).predict_proba(X) for s in (1, 2))
    assert not np.array_equal(first, second)


@every_head
def test_thread_count_does_not_change_the_prediction(name):
    X, y = separable()
    one, two = (small(name, n_jobs=n).fit(X, y).predict_proba(X) for n in (1, 2))
    np.testing.assert_allclose(one, two, atol=1e-3)
    assert (one.argmax(axis=1) == two.argmax(axis=1)).mean() >= 0.98


@every_head
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(name, bad):
    X, y = separable()
    head = small(name).fit(X, y)
    X[3, 5] = bad
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        head.predict_proba(X)
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        small(name).fit(X, y)


@every_head
def test_every_suggestion_constructs_the_head(name):
    for params in sampled_params(name, 100):
        head = built(name, params, random_state=5)
        assert head.get_params() == clone(head).get_params()
        assert head.get_params() | params == head.get_params()
        assert (head.random_state, head.n_jobs) == (5, 1)
        # the study is stored as JSON, so only plain numbers and words may come out
        assert all(type(value) in (int, float, str) for value in params.values())


@every_head
def test_suggestions_fit_and_the_median_one_learns(name):
    X, y = separable()
    scores = [
        built(name, params).fit(X[:60], y[:60]).score(X, y) for params in sampled_params(name, 5)
    ]
    assert np.median(scores) >= 0.8


@every_head
def test_suggestions_can_be_replayed_from_stored_parameters(name):
    for params in sampled_params(name, 5):
        replay = optuna.trial.FixedTrial(params)
        assert HEADS.reading(name, "vectors").suggest(replay, CONTEXT) == params


def test_mlp_search_reaches_strong_dropout():
    drawn = [params["dropout"] for params in sampled_params("mlp", 300)]
    assert max(drawn) > 0.85
    at_most = optuna.trial.FixedTrial(sampled_params("mlp", 1)[0] | {"dropout": 0.9})
    X, y = separable()
    head = MLPHead(**MLPHead.suggest(at_most, CONTEXT), random_state=0).fit(X, y)
    assert head.dropout == 0.9


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_mlp_refuses_impossible_dropout(dropout):
    X, y = separable()
    with pytest.raises(ValueError, match="dropout"):
        MLPHead(dropout=dropout).fit(X, y)


def test_mlp_stops_when_the_loss_is_not_a_number():
    X, y = separable()
    with pytest.raises(FitDiverged, match="lower learning_rate"):
        MLPHead(learning_rate=1e38, random_state=0).fit(X, y)


def test_mlp_loss_falls():
    X, y = separable()
    curve = small("mlp").fit(X, y).loss_curve_
    assert len(curve) == SMALL["mlp"]["epochs"]
    assert curve[-1] < 0.2 * curve[0]


def test_torch_threads_are_given_back_even_after_an_error():
    before = torch.get_num_threads()

    def interrupted() -> None:
        with torch_threads(before + 1):
            assert torch.get_num_threads() == before + 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert torch.get_num_threads() == before


def test_logistic_regression_admits_that_it_did_not_converge():
    X, y = separable()
    converged = small("logistic_regression").fit(X, y)
    assert converged.converged_
    assert converged.n_iter_ < converged.max_iter
    with pytest.warns(ConvergenceWarning):
        cut_short = built("logistic_regression", {"max_iter": 2}).fit(X, y)
    assert not cut_short.converged_
    assert cut_short.n_iter_ == 2
