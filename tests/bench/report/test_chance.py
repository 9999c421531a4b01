"""What always answering the largest class scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report import chance
from bench.scoring import score
from tests.bench.records.make_records import make_record


@given(st.lists(st.integers(0, 20), min_size=2, max_size=6).filter(any))
def test_chance_is_what_those_predictions_score(counts: list[int]) -> None:
    truth = np.repeat(np.arange(len(counts)), counts)
    largest = np.full(len(truth), int(np.argmax(counts)))
    labels = [f"class{place}" for place in range(len(counts))]
    assert chance.macro_f1(counts) == pytest.approx(score(truth, largest, labels).macro_f1)


def test_clips_are_counted_by_their_true_class() -> None:
    assert chance.tested(make_record(confusion=[[7, 2], [0, 4]])) == (9, 4)
