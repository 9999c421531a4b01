"""The Pareto front: nothing on it is beaten, everything off it is."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.pareto import front

Pair = tuple[float, float]
# few values, so that many are equal, and any
VALUES = st.integers(0, 4).map(float) | st.floats(allow_nan=False)
POINTS = st.lists(st.tuples(VALUES, VALUES), max_size=12)


def better(one: Pair, other: Pair) -> bool:
    return one != other and one[0] >= other[0] and one[1] >= other[1]


@given(POINTS)
def test_the_front_is_every_point_that_no_other_is_better_than(points: list[Pair]) -> None:
    found = front(points)
    assert sorted(found) == [
        place
        for place, point in enumerate(points)
        if not any(better(other, point) for other in points)
    ]


@given(POINTS)
def test_along_the_front_the_first_value_falls_and_the_second_rises(points: list[Pair]) -> None:
    own = [points[place] for place in front(points)]
    for one, other in pairwise(own):
        assert one == other or (one[0] > other[0] and one[1] < other[1])


@given(POINTS, st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(points: list[Pair], random: Random) -> None:
    mixed = list(points)
    random.shuffle(mixed)
    assert [points[i] for i in front(points)] == [mixed[i] for i in front(mixed)]


@pytest.mark.parametrize(
    ("points", "found"),
    [
        ([], []),
        ([(1.0, 1.0)], [0]),
        ([(1.0, 3.0), (2.0, 2.0), (3.0, 1.0), (1.0, 1.0)], [2, 1, 0]),
        # equally fast: the better one alone; equally good: the faster one alone
        ([(1.0, 1.0), (1.0, 2.0)], [1]),
        ([(1.0, 2.0), (2.0, 2.0)], [1]),
        # equal in both: both, in the order given
        ([(1.0, 2.0), (2.0, 1.0), (1.0, 2.0)], [1, 0, 2]),
        ([(1.0, 2.0), (1.0, 2.0), (2.0, 3.0)], [2]),
    ],
)
def test_ties(points: list[Pair], found: list[int]) -> None:
    assert front(points) == found
