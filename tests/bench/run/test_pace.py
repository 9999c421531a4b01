"""How long a run will still take follows from the parts that were measured."""

from __future__ import annotations

import pytest

from bench.planning.estimate import Estimate
from bench.run.pace import Pace


class Clock:
    """A clock that a test moves on."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(clock)


def test_a_kind_goes_at_the_pace_it_was_measured_at(clock: Clock, pace: Pace) -> None:
    for cell in ("a", "b"):
        pace.add(cell, "mlp", Estimate(10.0, "guess"), steps=10)
    pace.add("c", "other", Estimate(7.0, "records"))
    assert pace.left() == (27.0, True)
    pace.heard("a")
    clock.now += 35.0  # 5 s of which are imports
    pace.heard("a", 0.5)  # 5 s were expected, so everything of its kind takes six times as long
    left, guessed = pace.left()
    assert (left, guessed) == (pytest.approx(30.0 + 60.0 + 7.0), False)
    assert pace.elapsed == 35.0


def test_a_short_first_step_says_nothing_of_the_pace(clock: Clock, pace: Pace) -> None:
    pace.add("a", "mlp", Estimate(10.0, "guess"), steps=100)
    pace.heard("a")
    clock.now += 4.0  # fifty times what was expected of a step, and yet imports
    pace.heard("a", 0.01)
    assert pace.left() == (pytest.approx(9.9), True)
    clock.now += 0.2
    pace.heard("a", 0.01)
    assert pace.left() == (pytest.approx(2 * 9.8), False)


def test_between_steps_it_shrinks_all_the_time_and_never_by_more_than_a_step(
    clock: Clock, pace: Pace
) -> None:
    pace.add("a", "mlp", Estimate(100.0, "records"), steps=10)
    pace.heard("a")
    seen = []
    for _ in range(20):
        clock.now += 5.0
        seen.append(pace.left()[0])
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen)
    assert min(seen) > 90.0


def test_what_an_earlier_run_did_is_done_and_measures_nothing(clock: Clock, pace: Pace) -> None:
    pace.add("a", "mlp", Estimate(100.0, "guess"), steps=10)
    pace.heard("a", 0.8, measured=False)
    assert pace.left() == (pytest.approx(20.0), True)


def test_parts_side_by_side_share_the_time(clock: Clock, pace: Pace) -> None:
    for cell in range(4):
        pace.add(cell, "mlp", Estimate(10.0, "records"), lanes=2)
    assert pace.left() == (20.0, False)


def test_what_ended_early_is_not_waited_for(pace: Pace) -> None:
    pace.add("a", "mlp", Estimate(10.0, "guess"))
    pace.ended("a")
    pace.ended("never planned")
    assert pace.left() == (0, False)


def test_sound_that_has_to_pass_again_is_still_to_come(clock: Clock, pace: Pace) -> None:
    pace.add("x", "xlsr", Estimate(10.0, "records"), steps=2)
    pace.heard("x")
    clock.now += 5.0
    pace.heard("x", 0.5)
    pace.heard("x", -0.5)
    assert pace.left() == (pytest.approx(10.0), False)
