"""Which points are worth having, where there are two things to want of them."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points that no other one is better than: the Pareto front, larger being better in both.

    A point is better than another if it is no smaller in either value and larger in one. So of
    points that are equal in one value only the largest in the other is on the front, and of points
    that are equal in both all are or none is.

    Args:
        points: pairs of numbers, none of which is NaN.

    Returns:
        Positions of the points, by falling first value, so that the second one rises; equal points
        in the order given.
    """
    found: list[int] = []
    for place in sorted(range(len(points)), key=lambda p: (-points[p][0], -points[p][1])):
        # all before are at least as large in the first value, and of them the last found is the
        # largest in the second
        last = points[found[-1]] if found else None
        if last is None or points[place][1] > last[1] or points[place] == last:
            found.append(place)
    return found
