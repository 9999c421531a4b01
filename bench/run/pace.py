"""How far a run is and how long it will still take, by the pace of the parts that are done."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from bench.planning.estimate import Estimate

# The first of several steps imports and loads too: so many seconds of it say nothing of the others.
_WARM_UP = 5.0


@dataclass
class _Part:
    """One part of a run: `done` is a share, `heard` when it was last heard of, None if it was not.

    Its expected `seconds` are those of one of `lanes` that work side by side.
    """

    kind: Hashable
    seconds: float
    guessed: bool
    steps: int
    lanes: int
    done: float = 0.0
    heard: float | None = None


class Pace:
    """Parts of a run, each with what it is expected to take, corrected by what its kind took.

    Threads may share it; its `clock` gives seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._lock = threading.Lock()
        self._parts: dict[Hashable, _Part] = {}
        self._spent: defaultdict[Hashable, float] = defaultdict(float)
        self._expected: defaultdict[Hashable, float] = defaultdict(float)

    def add(
        self, key: Hashable, kind: Hashable, expected: Estimate, steps: int = 1, lanes: int = 1
    ) -> None:
        """A part that is to come, and will be heard of at so many `steps`.

        Parts of one kind go at one pace, relative to what they are expected to take of one of the
        `lanes` that work side by side.
        """
        guessed = expected.basis == "guess"
        self._parts[key] = _Part(kind, expected.seconds, guessed, max(1, steps), lanes)

    def heard(self, key: Hashable, share: float = 0.0, *, measured: bool = True) -> None:
        """A part is under way, and so much more of it is done.

        What it took since it was last heard of is a measurement, unless the share was `measured`
        no more than read back from an earlier run.
        """
        with self._lock:
            part, now = self._parts[key], self._clock()
            if part.heard is not None and measured:
                first = share and not part.done and part.steps > 1
                spent = now - part.heard - (_WARM_UP if first else 0.0)
                if spent > 0:
                    self._spent[part.kind] += spent
                    self._expected[part.kind] += share * part.seconds
            part.done = min(1.0, part.done + share)
            part.heard = now

    def ended(self, key: Hashable) -> None:
        """Nothing more of a part is to come, whatever was done of it, if there was such a part."""
        with self._lock:
            if key in self._parts:
                self._parts[key].done = 1.0

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._began

    def left(self) -> tuple[float, bool]:
        """Seconds still to come, and whether some of them rest on a guess.

        Between two steps of a part it shrinks ever more slowly, and never by more than the step.
        """
        with self._lock:
            now = self._clock()
            waiting = [part for part in self._parts.values() if part.done < 1.0]
            guessed = any(part.guessed and not self._expected[part.kind] for part in waiting)
            return sum(self._left(part, now) for part in waiting), guessed

    def _left(self, part: _Part, now: float) -> float:
        whole = part.seconds
        if self._expected[part.kind] > 0:
            whole *= self._spent[part.kind] / self._expected[part.kind]
        left, step = (1 - part.done) * whole, whole / part.steps
        if part.heard is not None and step > 0:
            left -= min(left, step) * -math.expm1((part.heard - now) / step)
        return left / part.lanes
