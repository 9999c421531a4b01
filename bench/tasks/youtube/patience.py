"""How often a site is asked, what is asked again, and when there is no sense in asking on."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from bench.errors import DataUnavailable
from bench.tasks.youtube.client import Options
from bench.tasks.youtube.statuses import FINAL, ItemError, Stopped

Result = TypeVar("Result")

# What a server may ask us to wait; beyond it the item has failed for this time.
LONGEST_WAIT = 900.0
# One refusal may concern one video; so many in a row concern this machine.
_BLOCKED_IN_A_ROW = 3
_FAILED_IN_A_ROW = 12


class Patience:
    """Spaces out what several threads ask, asks again, and counts the faults of all.

    yt-dlp waits between requests too, but each of its objects for itself, and it hears no stop.
    """

    def __init__(self, options: Options, stop: threading.Event) -> None:
        self._options = options
        self._stop = stop
        self._lock = threading.Lock()
        self._next = 0.0
        self._blocked = self._failed = 0

    def __call__(self, action: Callable[[], Result]) -> Result:
        """Return what an action returns, asking again after passing faults.

        Raises an `ItemError` for a lasting fault, or the last of the passing ones, and `Stopped`.
        """
        attempt = 0
        while True:
            self.wait()
            try:
                return action()
            except ItemError as error:
                attempt += 1
                asked = error.retry_after or 0.0
                if not error.passing or attempt >= self._options.attempts or asked > LONGEST_WAIT:
                    raise
                # spread, so that threads that failed together do not come back together
                delay = self._options.backoff * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
                if error.status == "blocked":
                    self.hold(max(delay, asked))  # said to this machine, not of this video
                else:
                    self._stop.wait(delay)

    def wait(self) -> None:
        """Return when it is this thread's turn; `Stopped` once the stop is set."""
        while not self._stop.is_set():
            with self._lock:
                left = self._next - time.monotonic()
                if left <= 0:
                    self._next = time.monotonic() + self._options.interval
                    return
            # turns are taken one by one, so that a hold that comes meanwhile counts for all
            self._stop.wait(left)
        raise Stopped("the fetch is ending")

    def hold(self, seconds: float) -> None:
        """Let nobody ask for so long."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def count(self, error: ItemError | None) -> None:
        """Count what an item ended with, None for well; a `DataUnavailable` after too many."""
        with self._lock:
            if error is None or error.status in FINAL:
                self._blocked = self._failed = 0  # an answer, if not always the one hoped for
                return
            self._blocked += error.status == "blocked"
            self._failed += error.status != "blocked"
        if self._blocked >= _BLOCKED_IN_A_ROW:
            self._stop.set()
            raise DataUnavailable(
                f"the site takes this machine for a robot ({error}): run the same command again "
                "later, or with --cookies FILE of a browser that is signed in; what is fetched is "
                "kept"
            )
        if self._failed >= _FAILED_IN_A_ROW:
            self._stop.set()
            raise DataUnavailable(
                f"{self._failed} videos in a row failed, the last because: {error}; when the "
                "network and the site are back, run the same command again: it goes on from here"
            )
