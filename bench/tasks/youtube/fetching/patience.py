"""Passing faults are met again, later and later; lasting ones and long rows of faults are not."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from bench.errors import DataUnavailable
from bench.tasks.youtube.fetching.download import Stopped
from bench.tasks.youtube.fetching.pace import Pacer
from bench.tasks.youtube.site.statuses import FINAL, ItemError

Result = TypeVar("Result")

# What a server may ask us to wait; beyond it the item has failed for this time.
LONGEST_WAIT = 900.0
# One refusal may concern one video; so many in a row concern this machine.
_BLOCKED_IN_A_ROW = 3
_FAILED_IN_A_ROW = 12


@dataclass(frozen=True)
class Patience:
    """How passing faults are met.

    Attributes:
        pacer: spaces out the attempts of all threads.
        stop: ends every wait.
        attempts: how often something is tried in all.
        backoff: seconds to wait after the first fault, twice as many after each further one.
    """

    pacer: Pacer
    stop: threading.Event
    attempts: int
    backoff: float

    def __call__(self, action: Callable[[], Result]) -> Result:
        """Return what an action returns, trying again after passing faults.

        Raises:
            ItemError: a lasting fault, or the last of the passing ones.
            Stopped: `stop` was set before there was an outcome.
        """
        attempt = 1
        while True:
            self.pacer.wait(self.stop)
            if self.stop.is_set():
                raise Stopped("the fetch is ending")
            try:
                return action()
            except ItemError as error:
                if not error.passing or attempt >= self.attempts:
                    raise
                if (error.retry_after or 0.0) > LONGEST_WAIT:
                    raise
                self._rest(error, attempt)
            attempt += 1

    def _rest(self, error: ItemError, attempt: int) -> None:
        # spread, so that threads that failed together do not come back together
        delay = self.backoff * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
        if error.retry_after is not None or error.status == "blocked":
            # the server speaks to this machine, not of this video
            self.pacer.hold(max(delay, error.retry_after or 0.0))
        else:
            self.stop.wait(delay)


@dataclass
class Streak:
    """Faults in a row, over all threads."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _blocked: int = 0
    _failed: int = 0

    def good(self) -> None:
        """Something came: neither is this machine blocked nor the network down."""
        with self._lock:
            self._blocked = self._failed = 0

    def bad(self, error: ItemError) -> None:
        """Count what an item ended with.

        Raises:
            DataUnavailable: there is no sense in going on; says what to do.
        """
        with self._lock:
            if error.status == "blocked":
                self._blocked += 1
            elif error.status not in FINAL:
                self._failed += 1
            else:
                self._blocked = self._failed = 0  # an answer, if not the one hoped for
            blocked, failed = self._blocked, self._failed
        if blocked >= _BLOCKED_IN_A_ROW:
            raise DataUnavailable(
                f"the site takes this machine for a robot ({error}): run the same command again "
                "later, or with --cookies FILE of a browser that is signed in; what is fetched is "
                "kept"
            )
        if failed >= _FAILED_IN_A_ROW:
            raise DataUnavailable(
                f"{failed} videos in a row failed, the last because: {error}; when the network and "
                "the site are back, run the same command again: it goes on from here"
            )
