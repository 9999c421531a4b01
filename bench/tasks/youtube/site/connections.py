"""The connections made for one video, cut at once when its time is up or a stop is asked for."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Literal

from bench.errors import VoxgridError

_LOOK = 0.1  # seconds between two looks at the clock and at the stop
_local = threading.local()


class Stopped(VoxgridError):
    """Something was ended because a stop was asked for; nothing is said about the video."""


class Connections:
    """Every connection that this thread makes while the block lasts.

    A time-out of a socket only bounds the wait for the next byte: a server that sends one byte a
    second, in the body or in the headers, never meets it. Therefore a second thread looks at the
    clock and shuts the connections down; whatever waits for them then meets their end.

    Args:
        seconds: how long the block may last.
        stop: ends it earlier once it is set.

    Attributes:
        cut_for: why the connections were cut, None unless they were.
    """

    def __init__(self, seconds: float, stop: threading.Event | None = None):
        self.cut_for: Literal["stop", "time"] | None = None
        self._ends = time.monotonic() + seconds
        self._stop = stop
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._watcher = threading.Thread(target=self._watch, name="connections", daemon=True)

    def __enter__(self) -> Connections:
        self._outer: Connections | None = current()
        _local.connections = self
        self._watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _local.connections = self._outer
        self._over.set()
        self._watcher.join()
        self.close()

    def remaining(self) -> float:
        """Return the seconds left, 0 once they are over."""
        return max(0.0, self._ends - time.monotonic())

    def add(self, connecting: socket.socket) -> None:
        """Watch a socket that is about to connect.

        Raises:
            ConnectionAbortedError: the time is over or a stop was asked for.
        """
        # a second handle: TLS takes the first one over, and closes it
        handle = connecting.dup()
        with self._lock:
            self._open.append(handle)
        if self.cut_for is not None or self._look():
            self.close()
            raise ConnectionAbortedError("the connections were cut")

    def close(self) -> None:
        """Shut down and close every connection; new ones may follow."""
        with self._lock:
            handles, self._open = self._open, []
        for handle in handles:
            with suppress(OSError):  # not connected yet, or closed by the other side
                handle.shutdown(socket.SHUT_RDWR)
            handle.close()

    def wait(self, seconds: float) -> None:
        """Do nothing for a while, but no longer than until a cut."""
        ends = time.monotonic() + seconds
        while not self._look() and (left := ends - time.monotonic()) > 0:
            time.sleep(min(_LOOK, left))

    def _look(self) -> bool:
        """Return whether it is over, and note why."""
        if self.cut_for is None:
            if self._stop is not None and self._stop.is_set():
                self.cut_for = "stop"
            elif not self.remaining():
                self.cut_for = "time"
        return self.cut_for is not None

    def _watch(self) -> None:
        while not self._over.wait(min(_LOOK, self.remaining())):
            if self._look():
                self.close()
                return


def current() -> Connections | None:
    """Return the connections of this thread's innermost block."""
    return getattr(_local, "connections", None)
