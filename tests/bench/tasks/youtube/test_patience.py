"""Passing faults are met again, lasting ones not, and long rows of faults end a fetch."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.errors import DataUnavailable
from bench.tasks.youtube.client import Options
from bench.tasks.youtube.run import Patience
from bench.tasks.youtube.statuses import ItemError, Stopped

PASSING = ItemError("failed", "timed out", passing=True)


def patience(
    attempts: int = 3,
    backoff: float = 0.01,
    interval: float = 0.0,
    stop: threading.Event | None = None,
) -> Patience:
    options = Options(attempts=attempts, backoff=backoff, interval=interval)
    return Patience(options, stop or threading.Event())


class Faults:
    """An action that fails so many times before it succeeds."""

    def __init__(self, error: ItemError, times: int) -> None:
        self.error = error
        self.left = times
        self.at: list[float] = []

    def __call__(self) -> str:
        self.at.append(time.monotonic())
        if self.left:
            self.left -= 1
            raise self.error
        return "sound"


def test_passing_faults_are_tried_again_until_they_pass() -> None:
    faults = Faults(PASSING, 2)
    assert patience()(faults) == "sound"
    assert len(faults.at) == 3


def test_passing_faults_that_stay_are_given_up() -> None:
    faults = Faults(PASSING, 9)
    with pytest.raises(ItemError, match="timed out"):
        patience(attempts=4)(faults)
    assert len(faults.at) == 4


def test_lasting_faults_are_never_tried_again() -> None:
    faults = Faults(ItemError("private", "Private video"), 9)
    with pytest.raises(ItemError):
        patience()(faults)
    assert len(faults.at) == 1


def test_waits_grow() -> None:
    faults = Faults(PASSING, 3)
    patience(attempts=4, backoff=0.04)(faults)
    first, second, third = (b - a for a, b in zip(faults.at, faults.at[1:], strict=False))
    assert first >= 0.03
    assert second >= 0.06
    assert third >= 0.12


def test_what_the_server_asks_to_wait_holds_for_every_thread() -> None:
    shared = patience(backoff=0.001)
    waited = ItemError("blocked", "429", passing=True, retry_after=0.3)
    faults = Faults(waited, 1)
    shared(faults)
    assert faults.at[1] - faults.at[0] >= 0.3
    shared.hold(0.2)
    began = time.monotonic()
    shared(Faults(PASSING, 0))
    assert time.monotonic() - began >= 0.19


def test_a_server_that_asks_to_wait_for_hours_is_left_for_the_next_run() -> None:
    faults = Faults(ItemError("blocked", "429", passing=True, retry_after=7200.0), 9)
    with pytest.raises(ItemError):
        patience()(faults)
    assert len(faults.at) == 1


def test_requests_of_all_threads_keep_their_distance() -> None:
    shared = patience(interval=0.05)
    began = []

    def ask(_: int) -> None:
        shared.wait()
        began.append(time.monotonic())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    began.sort()
    assert began[-1] - began[0] >= 0.05 * 7 - 0.005


def test_a_stop_ends_every_wait_at_once() -> None:
    stop = threading.Event()
    shared = patience(backoff=60.0, stop=stop)
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Stopped):
        shared(Faults(PASSING, 9))
    shared.hold(60.0)
    with pytest.raises(Stopped):
        shared.wait()
    assert time.monotonic() - began < 10


def test_a_row_of_refusals_ends_the_fetch_with_what_to_do() -> None:
    shared = patience()
    blocked = ItemError("blocked", "Sign in to confirm you're not a bot")
    shared.count(blocked)
    shared.count(blocked)
    shared.count(None)
    shared.count(blocked)
    shared.count(blocked)
    with pytest.raises(DataUnavailable, match=r"--cookies"):
        shared.count(blocked)


def test_a_dead_network_ends_the_fetch_and_dead_videos_do_not() -> None:
    shared = patience()
    for _ in range(100):
        shared.count(ItemError("unavailable", "Video unavailable"))
    lasting = ItemError("failed", "certificate verify failed")
    for number in range(11):
        shared.count(PASSING if number % 2 else lasting)
    with pytest.raises(DataUnavailable, match="12 videos in a row failed"):
        shared.count(PASSING)
