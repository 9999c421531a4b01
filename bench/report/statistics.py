"""Intervals and ties of test scores: what other groups of clips would have said.

Groups (speakers, channels) are drawn with replacement, all clips of one together, and every row is
scored on the same draws, so that differences of rows are paired. Seeds are fixed: the same
predictions give the same intervals.

An interval tells of new groups like these. It does not tell of other training data: folds share
most of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import stats

# With fewer groups an interval says more of the method than of the scores.
FEWEST_GROUPS = 8
RESAMPLES = 2000
LEVEL = 0.95
_SEED = 0
# Of the spread over groups, what a draw has at least: where rows differ in few groups alone, some
# draws hardly see it. With half, 20 equal rows are told apart too often.
_LEAST_SPREAD = 0.4
# Shares that differ by less are equal.
_ROUNDING = 1e-12

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Counts:
    """What a row predicted, by group.

    Attributes:
        right, true, said: clips (seeds, groups, classes) that are rightly predicted as a class,
            that are of it, and that are predicted as it.
    """

    right: Floats
    true: Floats
    said: Floats

    @classmethod
    def of(
        cls,
        truth: NDArray[np.int64],
        predicted: Sequence[NDArray[np.int64]],
        groups: NDArray[np.int64],
        shape: tuple[int, int],
    ) -> Counts:
        """Count clips.

        Args:
            truth: class of each clip (clips,).
            predicted: of each seed, the class predicted for each clip (clips,).
            groups: group of each clip (clips,), from 0.
            shape: how many groups and how many classes there are.
        """
        classes = shape[1]

        def count(codes: NDArray[np.int64], of: NDArray[np.bool_]) -> Floats:
            places = (groups * classes + codes)[of]
            return np.bincount(places, minlength=shape[0] * classes).reshape(shape).astype(float)

        every = np.ones(len(truth), dtype=bool)
        return cls(
            np.array([count(truth, truth == said) for said in predicted]),
            np.array([count(truth, every) for _ in predicted]),
            np.array([count(said, every) for said in predicted]),
        )

    def scores(self, weights: Floats) -> Floats:
        """Accuracy, macro-F1 and UAR, means over the seeds, with groups counted so often.

        Args:
            weights: how often each group counts (draws, groups).

        Returns:
            Scores (draws, 3). As everywhere, macro-F1 and UAR are means over the classes that
            occur in the truth.
        """
        right, true, said = (
            np.tensordot(weights, each, axes=(1, 1)) for each in (self.right, self.true, self.said)
        )
        present = true > 0
        number = present.sum(axis=2)
        recalls = np.where(present, right / np.where(present, true, 1), 0).sum(axis=2) / number
        f1 = np.where(present, 2 * right / np.where(present, true + said, 1), 0).sum(axis=2)
        accuracy = right.sum(axis=2) / true.sum(axis=2)
        return np.stack([accuracy, f1 / number, recalls], axis=2).mean(axis=1)


@dataclass(frozen=True)
class Interval:
    """A score between two bounds, as shares."""

    score: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Resampled:
    """Rows scored on the same groups, and on the same draws of them.

    Attributes:
        scores: accuracy, macro-F1 and UAR of each row (rows, 3).
        drawn: the same on each draw of groups (rows, draws, 3).
        parts: what each group adds to the score, as mean of which the score is taken
            (rows, groups, 3): the jackknife's pseudo-values.
    """

    scores: Floats
    drawn: Floats
    parts: Floats

    @classmethod
    def of(cls, rows: Sequence[Counts], resamples: int = RESAMPLES) -> Resampled:
        """Score rows that were tested on the same clips.

        Raises:
            ValueError: their groups differ in number.
        """
        numbers = {row.true.shape[1] for row in rows}
        if len(numbers) != 1:
            raise ValueError(f"rows are compared that were tested on {sorted(numbers)} groups")
        (groups,) = numbers
        weights = draws(groups, resamples)
        scores = np.array([row.scores(np.ones((1, groups)))[0] for row in rows])
        without = np.array([row.scores(1 - np.eye(groups)) for row in rows])
        return cls(
            scores,
            np.array([row.scores(weights) for row in rows]),
            groups * scores[:, None] - (groups - 1) * without,
        )

    def rows(self, chosen: Sequence[int]) -> Resampled:
        """Some of the rows, on the same draws."""
        own = list(chosen)
        return Resampled(self.scores[own], self.drawn[own], self.parts[own])

    def interval(self, weights: Mapping[int, float], score: int) -> Interval:
        """The interval of a weighted sum of rows.

        `{3: 1}` is row 3 itself, `{3: 1, 5: -1}` what it is better by than row 5.
        """
        own, by = list(weights), np.array(list(weights.values()))
        drawn = by @ self.drawn[own, :, score]
        low, high = np.quantile(drawn, tails(self.parts.shape[1]))
        return Interval(float(by @ self.scores[own, score]), float(low), float(high))

    def separated(self, score: int) -> NDArray[np.bool_]:
        """Which rows are better than which others, all pairs together (rows, rows).

        [i, j] says that row i is better than row j. The chance of a single false "better" among
        all pairs is held to 5 %: a difference, divided by its standard error, has to exceed what
        the largest of all such quotients reaches in 95 of 100 draws of groups. Pairs that are told
        apart leave, and the bar falls for the others.

        References:
            Westfall and Young (1993), "Resampling-based multiple testing": step-down max-T. Efron
            and Tibshirani (1993), "An introduction to the bootstrap", chapter 12: bootstrap-t,
            which few groups need, since their standard errors are uncertain.
        """
        rows, groups = self.parts.shape[:2]
        differences = self.scores[:, None, score] - self.scores[None, :, score]
        spread = (self.parts[:, None, :, score] - self.parts[None, :, :, score]).var(axis=2)
        quotients = _quotient(differences, spread, groups)
        open_ = ~np.eye(rows, dtype=bool)
        while open_.any():
            bar = np.quantile(self._largest(score, open_), LEVEL)
            told = open_ & (np.abs(quotients) > bar)
            if not told.any():
                break
            open_ &= ~told
        return ~open_ & (quotients > 0)

    def _largest(self, score: int, pairs: NDArray[np.bool_]) -> Floats:
        """On each draw the largest quotient of some pairs of rows, if they were alike (draws,)."""
        groups, number = self.parts.shape[1], self.drawn.shape[1]
        weights = draws(groups, number) / groups
        largest = np.zeros(number)
        for row, others in enumerate(np.triu(pairs)):
            if others.any():
                parts = (self.parts[row, :, score] - self.parts[others, :, score]).T
                centred = parts - parts.mean(axis=0)
                means, squares = weights @ centred, weights @ centred**2
                least = _LEAST_SPREAD * parts.var(axis=0)
                drawn = _quotient(means, np.maximum(squares - means**2, least), groups)
                largest = np.maximum(largest, np.abs(drawn).max(axis=1))
        return largest

    def ranks(self, score: int) -> list[tuple[int, int]]:
        """First and last place of each row; rows that cannot be told from the best share it.

        The best row shares its rank with all that it is not better than; the best of the others
        opens the next one.
        """
        better = self.separated(score)
        left = sorted(range(len(self.scores)), key=lambda row: -self.scores[row, score])
        ranks: dict[int, tuple[int, int]] = {}
        while left:
            first = left[0]
            tied = [row for row in left if not better[first, row]]
            place = len(ranks) + 1
            ranks |= dict.fromkeys(tied, (place, place + len(tied) - 1))
            left = [row for row in left if row not in ranks]
        return [ranks[row] for row in range(len(self.scores))]


def tails(groups: int) -> tuple[float, float]:
    """Which shares of the draws lie below the bounds of an interval, wide enough for few groups.

    Percentiles of draws from n groups are too narrow by √((n-1)/n), and as if the spread of groups
    was known; those taken here make up for both.

    References:
        Hesterberg (2015), "What teachers should know about the bootstrap", section 3.2: the
        expanded percentile interval.
    """
    wider = stats.t.ppf((1 + LEVEL) / 2, groups - 1) * sqrt(groups / (groups - 1))
    low, high = stats.norm.cdf([-wider, wider])
    return float(low), float(high)


def draws(groups: int, number: int) -> Floats:
    """How often each group is drawn (number, groups), the same for every row and every call."""
    draw = np.random.default_rng(_SEED).multinomial
    return draw(groups, np.full(groups, 1 / groups), size=number).astype(float)


def _quotient(differences: Floats, variances: Floats, groups: int) -> Floats:
    """Differences over their standard errors; infinite where all groups differ by the same."""
    errors = np.sqrt(np.maximum(variances, 0) / (groups - 1))
    differ = np.abs(differences) > _ROUNDING
    with np.errstate(divide="ignore"):
        errors = np.where(errors > _ROUNDING, errors, 0.0)
        return np.divide(differences, errors, out=np.zeros_like(differences), where=differ)
