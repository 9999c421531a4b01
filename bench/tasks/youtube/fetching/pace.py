"""How often a site is asked: not too often, and not at all while it says to wait."""

from __future__ import annotations

import threading
import time


class Pacer:
    """Spaces out the requests of several threads.

    Args:
        interval: least seconds between the beginnings of two requests.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self, stop: threading.Event) -> None:
        """Return when it is this thread's turn, or as soon as `stop` is set."""
        while not stop.is_set():
            with self._lock:
                now = time.monotonic()
                if now >= self._next:
                    self._next = now + self._interval
                    return
                left = self._next - now
            # turns are taken one by one, so that a hold that comes meanwhile counts for all
            stop.wait(left)

    def hold(self, seconds: float) -> None:
        """Let nobody ask for so long."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)
