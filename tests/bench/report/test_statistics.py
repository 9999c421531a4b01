"""Intervals and ties, against simulations with a known truth and against another package."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, recall_score

from bench.report.statistics import Counts, Resampled

# As many as RAVDESS has.
GROUPS, CLIPS, CLASSES = 24, 60, 8
SHAPE = GROUPS, CLASSES
ACCURACY, MACRO_F1, UAR = range(3)


def _predicted(
    rng: np.random.Generator, truth: np.ndarray, right: np.ndarray | float
) -> np.ndarray:
    """Predictions that are right with such a chance, else any other class."""
    other = (truth + rng.integers(1, CLASSES, size=truth.size)) % CLASSES
    return np.where(rng.random(truth.size) < right, truth, other)


def _clips() -> tuple[np.ndarray, np.ndarray]:
    """Truth and group of each clip."""
    return np.arange(GROUPS * CLIPS) % CLASSES, np.repeat(np.arange(GROUPS), CLIPS)


@settings(max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 5), groups=st.integers(1, 6))
def test_scores_of_drawn_groups_are_those_of_the_clips_drawn(
    seed: int, classes: int, groups: int
) -> None:
    rng = np.random.default_rng(seed)
    truth, owner = rng.integers(classes, size=40), rng.integers(groups, size=40)
    owner[:groups] = np.arange(groups)
    several = [rng.integers(classes, size=40) for _ in range(2)]
    counts = Counts.of(truth, several, owner, (groups, classes))
    drawn = rng.integers(groups, size=groups)
    weights = np.bincount(drawn, minlength=groups)[None].astype(float)
    clips = np.concatenate([np.flatnonzero(owner == group) for group in drawn])
    present = np.unique(truth[clips])
    expected = np.mean(
        [
            [
                accuracy_score(truth[clips], said[clips]),
                f1_score(truth[clips], said[clips], labels=present, average="macro"),
                recall_score(truth[clips], said[clips], labels=present, average="macro"),
            ]
            for said in several
        ],
        axis=0,
    )
    np.testing.assert_allclose(counts.scores(weights)[0], expected)


def test_the_interval_holds_the_true_accuracy_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    truth, groups = _clips()
    held, draws = 0, 1000
    for _ in range(draws):
        # speakers differ: some are twice as hard as others
        easy = np.repeat(rng.beta(7, 3, size=GROUPS), CLIPS)
        row = Counts.of(truth, [_predicted(rng, truth, easy)], groups, SHAPE)
        interval = Resampled.of([row], resamples=500).interval({0: 1}, ACCURACY)
        held += interval.low <= 0.7 <= interval.high
    assert 0.93 <= held / draws <= 0.97


def test_groups_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    truth, groups = _clips()
    easy = np.repeat(rng.beta(4, 2, size=GROUPS), CLIPS)
    said = [_predicted(rng, truth, easy)]
    widths = []
    for owner in (groups, np.arange(truth.size)):
        interval = Resampled.of(
            [Counts.of(truth, said, owner, (int(owner.max()) + 1, CLASSES))]
        ).interval({0: 1}, MACRO_F1)
        widths.append(interval.high - interval.low)
    assert widths[0] > 1.5 * widths[1]


def test_intervals_are_those_of_another_package() -> None:
    rng = np.random.default_rng(1)
    truth, groups = _clips()
    said = _predicted(rng, truth, np.repeat(rng.beta(7, 3, size=GROUPS), CLIPS))
    ours = Resampled.of([Counts.of(truth, [said], groups, SHAPE)]).interval({0: 1}, ACCURACY)
    # the level at which percentiles are as wide as ours, which are made wider for few groups
    wider = stats.t.ppf(0.975, GROUPS - 1) * np.sqrt(GROUPS / (GROUPS - 1))
    theirs = stats.bootstrap(
        ((truth == said).reshape(GROUPS, CLIPS).mean(axis=1),),
        np.mean,
        confidence_level=1 - 2 * stats.norm.sf(wider),
        method="percentile",
        rng=rng,
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.005)


def test_rows_that_are_equally_good_are_seldom_told_apart() -> None:
    rng = np.random.default_rng(0)
    truth, groups = _clips()
    split, boards = 0, 200
    for _ in range(boards):
        easy = np.repeat(rng.beta(7, 3, size=GROUPS), CLIPS)
        rows = [Counts.of(truth, [_predicted(rng, truth, easy)], groups, SHAPE) for _ in range(20)]
        split += Resampled.of(rows, resamples=500).separated(MACRO_F1).any()
    assert split / boards <= 0.07


def test_rows_far_apart_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    truth, groups = _clips()
    told, boards = 0, 100
    for _ in range(boards):
        easy = np.repeat(rng.beta(20, 10, size=GROUPS), CLIPS)
        rows = [
            Counts.of(truth, [_predicted(rng, truth, easy + lead)], groups, SHAPE)
            for lead in (0.15, 0.0)
        ]
        told += bool(Resampled.of(rows, resamples=500).separated(MACRO_F1)[0, 1])
    assert told / boards >= 0.9


def test_ranks_are_shared_by_rows_that_cannot_be_told_from_the_best() -> None:
    rng = np.random.default_rng(0)
    truth, groups = _clips()
    chances = (0.3, 0.9, 0.88, 0.6, 0.61)
    rows = [Counts.of(truth, [_predicted(rng, truth, own)], groups, SHAPE) for own in chances]
    assert Resampled.of(rows).ranks(MACRO_F1) == [(5, 5), (1, 2), (1, 2), (3, 4), (3, 4)]


def test_equal_rows_share_their_rank_and_the_same_predictions_give_the_same_interval() -> None:
    truth, groups = _clips()
    said = _predicted(np.random.default_rng(0), truth, 0.7)
    rows = [Counts.of(truth, [said], groups, SHAPE) for _ in range(2)]
    boards = [Resampled.of(rows) for _ in range(2)]
    assert boards[0].ranks(ACCURACY) == [(1, 2), (1, 2)]
    intervals = [board.interval({row: 1}, UAR) for board in boards for row in range(2)]
    assert len(set(intervals)) == 1


def test_rows_on_other_groups_are_not_compared() -> None:
    truth, groups = _clips()
    rows = [
        Counts.of(truth, [truth], own, (int(own.max()) + 1, CLASSES))
        for own in (groups, groups // 2)
    ]
    with pytest.raises(ValueError, match=r"\[12, 24\] groups"):
        Resampled.of(rows)


def test_a_row_better_by_the_same_in_every_group_is_better() -> None:
    truth, groups = _clips()
    worse = np.where(np.arange(truth.size) % CLIPS < 5, (truth + 1) % CLASSES, truth)
    rows = [Counts.of(truth, [said], groups, SHAPE) for said in (truth, worse)]
    assert Resampled.of(rows).separated(ACCURACY).tolist() == [[False, True], [False, False]]
