"""One rule for the classes of a mean: those that occur in the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from bench.scoring import macro_f1, mean_scores, score

LABELS = ("a", "b", "c", "d")
PAIRS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=30)


def test_a_class_that_occurs_nowhere_counts_in_neither_mean() -> None:
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])
    found = score(truth, predicted, ("a", "b", "c"))
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    assert found.uar == pytest.approx(0.75)
    assert found.per_class_f1.keys() == {"a", "b"}


def test_a_class_that_is_predicted_but_never_true_costs_the_others_their_recall() -> None:
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    assert macro_f1(truth, predicted) == pytest.approx((2 / 3 + 1) / 2)
    assert score(truth, predicted, ("a", "b", "c")).uar == pytest.approx(0.75)


def test_the_scores_of_several_splits_are_means_and_not_those_of_all_predictions() -> None:
    truth = np.array([0, 0, 1, 1, 0, 0, 0, 2])
    predicted = np.array([0, 0, 1, 1, 1, 0, 1, 0])
    each = [score(truth[half], predicted[half], LABELS) for half in (slice(4), slice(4, 8))]
    found = mean_scores(each)
    assert (found.accuracy, found.uar) == (0.625, (1 + 1 / 6) / 2)
    assert found.macro_f1 == pytest.approx((1 + 0.4 / 2) / 2)
    assert found.macro_f1 != pytest.approx(macro_f1(truth, predicted), abs=0.01)
    # a class that one split alone tests has the mean of that one
    assert found.per_class_f1 == pytest.approx({"a": 0.7, "b": 1.0, "c": 0.0})
    assert found.confusion == score(truth, predicted, LABELS).confusion


@given(PAIRS)
def test_labels_that_no_clip_has_change_no_score(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = np.array(pairs).T
    few, many = (score(truth, predicted, LABELS[:count]) for count in (3, 4))
    assert (few.accuracy, few.macro_f1, few.uar) == (many.accuracy, many.macro_f1, many.uar)
    assert few.per_class_f1 == many.per_class_f1
    assert few.macro_f1 == pytest.approx(np.mean(list(few.per_class_f1.values())))


@given(PAIRS)
def test_scores_are_scikit_learns_to_the_bit(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = np.array(pairs).T
    present, found = np.unique(truth), score(truth, predicted, LABELS)
    of_classes = {"labels": present, "zero_division": 0}
    assert found.accuracy == accuracy_score(truth, predicted)
    assert found.macro_f1 == macro_f1(truth, predicted)
    assert found.macro_f1 == f1_score(truth, predicted, average="macro", **of_classes)
    assert found.uar == recall_score(truth, predicted, average="macro", **of_classes)
    each = f1_score(truth, predicted, average=None, **of_classes)
    assert found.per_class_f1 == {LABELS[i]: f1 for i, f1 in zip(present, each, strict=True)}
    assert found.confusion == confusion_matrix(truth, predicted, labels=range(4)).tolist()
