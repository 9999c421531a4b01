"""Gradient-boosted trees (XGBoost), set up for few clips and wide vectors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.special import softmax

from heads.base import Head, HeadContext, HeadInfo, as_probabilities

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from optuna.trial import Trial
    from xgboost import Booster, QuantileDMatrix

INFO = HeadInfo(
    name="gradient_boosting",
    summary="boosted trees, shallow, each on a few of the features (XGBoost, hist)",
)

# Rounds that one fit is read off at, in a search that fits many.
ROUNDS = (100, 200, 300)
# Rounds in a row that see the same features.
_VISIT = 4
# Fewer features say too little for a tree.
_FEWEST_FEATURES = 16


@dataclass(eq=False, repr=False)
class GradientBoostingHead(Head):
    """Boosted shallow trees; the trees of four rounds see one small random set of the features.

    The features are dealt once into sets of equal size, and boosting goes round these sets in a
    random order. XGBoost's own column sampling counts the histograms of all features for every
    tree and then looks at a few: for 1,200 vectors of 1,024 features that takes 4 to 8 times as
    long, and the scores are no better.

    Args:
        n_estimators: boosting rounds; each grows one tree per class.
        learning_rate: shrinkage of each tree, in (0, 1].
        max_depth: depth of a tree.
        subsample: share of the clips each tree sees, in (0, 1].
        share: share of the features in a set, in (0, 1]; a set has 16 features at least.
        min_child_weight: least sum of Hessians in a leaf; large values stop splits on few clips.
        reg_lambda: L2 penalty on leaf values.
        max_bin: histogram bins per feature.
        random_state: seed of the sets of features, their order, and the sampling of clips.
        n_jobs: threads. Sums are formed in another order with another number of threads, so
            probabilities agree to rounding, not to the bit.

    Attributes:
        classes_: class labels, sorted, (classes,).
        n_features_in_: width of the training vectors.
        sets_: positions of the features of each set, sorted.
        visits_: in the order of boosting, the position of a set in `sets_` and the
            `xgboost.Booster` of the rounds on it.

    References:
        Chen and Guestrin (2016), "XGBoost: A Scalable Tree Boosting System", arXiv:1603.02754.
    """

    info = INFO
    version = 2
    tries = 25

    n_estimators: int = 200
    learning_rate: float = 0.1
    max_depth: int = 2
    subsample: float = 0.7
    share: float = 0.1
    min_child_weight: float = 1.0
    reg_lambda: float = 1.0
    max_bin: int = 16
    random_state: int | None = None
    n_jobs: int = 1

    @staticmethod
    def suggest(trial: Trial, context: HeadContext) -> dict[str, Any]:
        """Draw a shallow, strongly sampled ensemble that fits in a second or two.

        Returns:
            All parameters but `share` and `max_bin`, which stay at 0.1 and 16.
        """
        return {
            "n_estimators": trial.suggest_int("n_estimators", ROUNDS[0], ROUNDS[-1], step=100),
            "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.3, log=True),
            "max_depth": trial.suggest_int("max_depth", 1, 4),
            "subsample": trial.suggest_float("subsample", 0.5, 0.9),
            "min_child_weight": trial.suggest_float("min_child_weight", 0.3, 3.0, log=True),
            "reg_lambda": trial.suggest_float("reg_lambda", 0.3, 10.0, log=True),
        }

    @classmethod
    def variants(cls, params: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
        """The setting with every number of rounds, which one fit can be read off at."""
        return tuple({**params, "n_estimators": rounds} for rounds in ROUNDS)

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
        """Fit several settings; all share the sets of features, quantised once.

        Neighbours that differ in `n_estimators` alone are read off the longest of them. Every
        head is the one that `fit` makes.

        Yields:
            One fitted head per setting, in the order given.

        Raises:
            ValueError: see `Head.check_training_data`.
        """
        sets: dict[tuple[float, int], _Sets] = {}

        def shared(params: Mapping[str, Any]) -> dict[str, Any]:
            return {name: value for name, value in params.items() if name != "n_estimators"}

        for _, group in groupby(many, key=shared):
            heads = [
                cls.build(params, pooling=pooling, random_state=random_state, n_jobs=n_jobs)
                for params in group
            ]
            longest = max(heads, key=lambda head: head.n_estimators)
            X, codes = longest.check_training_data(X, y)
            kind = longest.share, longest.max_bin
            if kind not in sets:
                sets[kind] = longest._deal(X, codes)
            longest._boost(sets[kind], codes)
            for head in heads:
                if head is not longest:
                    head._take(longest)
                yield head

    def fit(self, X: NDArray[np.float32], y: NDArray[Any]) -> GradientBoostingHead:
        """Fit on X (clips, features) and labels y (clips,).

        Raises:
            ValueError: see `Head.check_training_data`; or `share` outside (0, 1].
        """
        X, codes = self.check_training_data(X, y)
        self._boost(self._deal(X, codes), codes)
        return self

    def _deal(self, X: NDArray[np.float32], codes: NDArray[np.int64]) -> _Sets:
        """Deal the features into sets and quantise each."""
        from xgboost import QuantileDMatrix

        if not 0 < self.share <= 1:
            raise ValueError(f"share must lie in (0, 1], got {self.share}")
        features = X.shape[1]
        size = min(features, max(_FEWEST_FEATURES, round(features * self.share)))
        order = np.random.default_rng(self.seed()).permutation(features)
        columns = [np.sort(part) for part in np.array_split(order, features // size)]
        return _Sets(
            columns,
            [
                QuantileDMatrix(
                    np.ascontiguousarray(X[:, own]),
                    codes,
                    max_bin=self.max_bin,
                    nthread=self.n_jobs,
                )
                for own in columns
            ],
        )

    def _boost(self, sets: _Sets, codes: NDArray[np.int64]) -> None:
        from xgboost import Booster

        seed = self.seed()
        rng = np.random.default_rng(seed)
        settings = {
            "objective": "multi:softprob",
            "num_class": len(self.classes_),
            "tree_method": "hist",
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth,
            "subsample": self.subsample,
            "min_child_weight": self.min_child_weight,
            "reg_lambda": self.reg_lambda,
            "max_bin": self.max_bin,
            "nthread": self.n_jobs,
            "verbosity": 0,
        }
        margins = np.zeros((len(codes), len(self.classes_)), dtype=np.float32)
        self.sets_ = sets.columns
        self.visits_: list[tuple[int, Booster]] = []
        for visit, first in enumerate(range(0, self.n_estimators, _VISIT)):
            if visit % len(sets.columns) == 0:
                order = rng.permutation(len(sets.columns))
            own = int(order[visit % len(sets.columns)])
            data = sets.quantised[own]
            data.set_base_margin(margins)
            # another seed, or the trees of every visit would see the same clips
            booster = Booster({**settings, "seed": (seed + visit) % 2**31}, [data])
            for round_ in range(min(_VISIT, self.n_estimators - first)):
                booster.update(data, round_)
            margins = booster.predict(data, output_margin=True)
            self.visits_.append((own, booster))

    def _take(self, longer: Self) -> None:
        """Become what `fit` makes of the same clips, read off a head with more rounds."""
        self.classes_, self.n_features_in_ = longer.classes_, longer.n_features_in_
        self.sets_ = longer.sets_
        whole, rest = divmod(self.n_estimators, _VISIT)
        self.visits_ = longer.visits_[:whole]
        if rest:
            own, booster = longer.visits_[whole]
            self.visits_ = [*self.visits_, (own, booster[:rest])]

    def state(self) -> dict[str, NDArray[Any]]:
        """Sets of features, the set of each visit, and its trees in XGBoost's own format (UBJ)."""
        boosters = [np.frombuffer(bytes(own.save_raw("ubj")), np.uint8) for _, own in self.visits_]
        return {
            "visits": np.array([own for own, _ in self.visits_], dtype=np.int64),
            **{f"set_{n}": own for n, own in enumerate(self.sets_)},
            **{f"trees_{n}": own for n, own in enumerate(boosters)},
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """See `Head.restore`."""
        from xgboost import Booster

        sets = sum(name.startswith("set_") for name in state)
        self.sets_ = [state[f"set_{n}"] for n in range(sets)]
        self.visits_ = []
        for n, own in enumerate(state["visits"].tolist()):
            booster = Booster({"nthread": self.n_jobs})
            booster.load_model(bytearray(state[f"trees_{n}"].tobytes()))
            self.visits_.append((own, booster))

    def exported(self) -> torch.nn.Module:
        """See `Head.exported`: all trees at once.

        A feature that another runtime rounds to the other side of a threshold takes another leaf,
        hence a clip may rarely get probabilities that are off by what one tree says.
        """
        from heads._exported import Tree, Trees

        trees = []
        for own, booster in self.visits_:
            model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
            trees += [
                Tree.of_xgboost(tree, label, self.sets_[own])
                for tree, label in zip(model["trees"], model["tree_info"], strict=True)
            ]
        return Trees(trees, len(self.classes_))

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Class probabilities (clips, classes), columns in the order of `classes_`."""
        from xgboost import DMatrix

        X = self.check_vectors(X)
        data = [DMatrix(np.ascontiguousarray(X[:, own]), nthread=self.n_jobs) for own in self.sets_]
        margins = np.zeros((len(X), len(self.classes_)), dtype=np.float32)
        for own, booster in self.visits_:
            data[own].set_base_margin(margins)
            margins = booster.predict(data[own], output_margin=True)
        return as_probabilities(softmax(margins.astype(np.float64), axis=1))


@dataclass(frozen=True, eq=False)
class _Sets:
    """Sets of features, and the training clips quantised in each."""

    columns: list[NDArray[np.int64]]
    quantised: list[QuantileDMatrix]
