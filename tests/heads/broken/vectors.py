"""Heads on vectors: a correct one, and one that breaks each check."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import softmax

from heads.base import Head, HeadInfo, as_probabilities

INFO = HeadInfo(name="centroids", summary="softmax over squared distances to class means")


class Centroids(Head):
    """A correct little head: softmax over squared distances to the classes' means."""

    info = INFO

    def __init__(self, sharpness=1.0, random_state=None, n_jobs=1):
        self.sharpness = sharpness
        self.random_state = random_state
        self.n_jobs = n_jobs

    @staticmethod
    def suggest(trial, context):
        return {"sharpness": trial.suggest_float("sharpness", 0.5, 2.0)}

    @staticmethod
    def first(context):
        return {"sharpness": 1.0}

    def fit(self, X, y):
        X, codes = self.check_training_data(X, y)
        self.means_ = self._means(X, codes)
        return self

    def _means(self, X, codes):
        return np.stack([X[codes == code].mean(axis=0) for code in range(len(self.classes_))])

    def predict_proba(self, X):
        return self._from(self.check_vectors(X))

    def _from(self, X):
        distances = ((X[:, None] - self.means_) ** 2).mean(axis=2)
        return as_probabilities(softmax(-self.sharpness * distances.astype(float), axis=1))


class HasNoSummary(Centroids):
    info = replace(INFO, summary=" ")


class ForgetsItsSeed(Centroids):
    def __init__(self, sharpness=1.0, random_state=None, n_jobs=1):
        super().__init__(sharpness, None, n_jobs)


class SuggestsNumpyNumbers(Centroids):
    @staticmethod
    def suggest(trial, context):
        return {"sharpness": np.float64(trial.suggest_float("sharpness", 0.5, 2.0))}


class BuildsItsDefaults(Centroids):
    @classmethod
    def build(cls, params, *, pooling, random_state, n_jobs):
        return cls(random_state=random_state, n_jobs=n_jobs)


class RefitsWithItsSeed(Centroids):
    @classmethod
    def refit_params(cls, params, best_epoch):
        return {**params, "random_state": 0}


class GridsOutsideItsSpace(Centroids):
    @classmethod
    def grid(cls):
        return ({"sharpness": 1.0}, {"sharpness": 99.0})


class VariesOutsideItsSpace(Centroids):
    @classmethod
    def variants(cls, params):
        return (dict(params), {"sharpness": 99.0})


class FitsManyBackwards(Centroids):
    @classmethod
    def fit_many(cls, X, y, many, **more):
        return reversed(list(super().fit_many(X, y, many, **more)))


class BeginsOutsideItsSpace(Centroids):
    @staticmethod
    def first(context):
        return {"sharpness": 99.0}


class SuggestsWhatItRefuses(Centroids):
    @staticmethod
    def suggest(trial, context):
        return {"sharpness": trial.suggest_float("sharpness", 0.0, 2.0)}

    def fit(self, X, y):
        if self.sharpness == 0:
            raise ValueError("sharpness must be positive")
        return super().fit(X, y)


class IsNotNormalised(Centroids):
    def _from(self, X):
        return 0.9 * super()._from(X)


class OrdersClassesByAppearance(Centroids):
    def fit(self, X, y):
        super().fit(X, y)
        order = list(dict.fromkeys(np.searchsorted(self.classes_, y).tolist()))
        self.classes_, self.means_ = self.classes_[order], self.means_[order]
        return self


class TakesNumbersForQuantities(Centroids):
    def fit(self, X, y):
        super().fit(X, y)
        if np.asarray(y).dtype.kind in "iu":
            self.means_ = self.means_ * 1.1
        return self


class LearnsNothing(Centroids):
    def _means(self, X, codes):
        return np.zeros_like(super()._means(X, codes))


class DrawsUnseeded(Centroids):
    def _means(self, X, codes):
        means = super()._means(X, codes)
        return means + 1e-9 * np.random.default_rng().random(means.shape)


class LearnsOn(Centroids):
    def _means(self, X, codes):
        before = getattr(self, "means_", None)
        means = super()._means(X, codes)
        return means if before is None else 0.9 * means + 0.1 * before


class CentresTheBatch(Centroids):
    def _from(self, X):
        return super()._from(X - 0.3 * X.mean(axis=0))


class FillsGaps(Centroids):
    def fit(self, X, y):
        return super().fit(np.nan_to_num(X, posinf=0.0), y)

    def predict_proba(self, X):
        return super().predict_proba(np.nan_to_num(X, posinf=0.0))


class CutsToItsWidth(Centroids):
    def predict_proba(self, X):
        missing = max(0, getattr(self, "n_features_in_", 0) - X.shape[1])
        return super().predict_proba(np.pad(X, ((0, 0), (0, missing))))


class AcceptsOneClass(Centroids):
    def fit(self, X, y):
        if len(np.unique(y)) > 1:
            return super().fit(X, y)
        self.classes_, self.means_ = np.unique(y), X.mean(axis=0, keepdims=True)
        self.n_features_in_ = X.shape[1]
        return self


class DividesBySpread(Centroids):
    def fit(self, X, y):
        if np.isfinite(X).all():
            self.spread_ = X.std(axis=0)
            with np.errstate(all="ignore"):
                X = np.where(self.spread_ == 0, 1e30, X / self.spread_)
        return super().fit(X, y)

    def _from(self, X):
        with np.errstate(all="ignore"):
            return super()._from(X / self.spread_)


class GuessesUnfitted(Centroids):
    def predict_proba(self, X):
        if not hasattr(self, "means_"):
            return np.full((len(X), 2), 0.5)
        return super().predict_proba(X)


class HoldsAFunction(Centroids):
    def fit(self, X, y):
        self.kernel_ = lambda distance: -distance
        return super().fit(X, y)


class RestoresItsMeansAlone(Centroids):
    def fit(self, X, y):
        super().fit(X, y)
        self.sure_ = 2.0
        return self

    def _from(self, X):
        plain = super()._from(X) ** self.sure_
        return plain / plain.sum(axis=1, keepdims=True)

    def state(self):
        return {"means": self.means_}

    def restore(self, state):
        self.means_, self.sure_ = state["means"], 1.0


class StandardisesInPlace(Centroids):
    def predict_proba(self, X):
        probabilities = super().predict_proba(X)
        X *= 0.5
        return probabilities


class SeedsTheWorld(Centroids):
    def fit(self, X, y):
        np.random.seed(self.random_state)
        return super().fit(X, y)
