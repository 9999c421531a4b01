"""Progress and durations a person can read: a bar per phase on a terminal, lines elsewhere."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.terminal import Terminal

# Where there is no terminal to redraw, nobody is left without a word for longer than this.
_SECONDS_BETWEEN_LINES = 5.0
# About 30 years: a longer duration is none, but what a number out of all reason led to.
_UNTOLD = 1e9


@dataclass(frozen=True)
class Standing:
    """How far a run or a phase is: of all its parts, and in seconds.

    What is `left` is infinite where nothing tells, and `guessed` where a part of it is. `doing` are
    the words for what goes on, `detail` those for what goes on below that.
    """

    ended: int
    parts: int
    elapsed: float
    left: float
    guessed: bool
    doing: str
    detail: str = ""

    @property
    def share(self) -> float:
        """Of all the time that it takes."""
        whole = self.elapsed + self.left
        return self.elapsed / whole if whole > 0 else 1.0

    def __str__(self) -> str:
        known = [seconds for seconds in (self.elapsed, self.left) if abs(seconds) < _UNTOLD]
        times = ", left ".join(str(timedelta(seconds=round(seconds))) for seconds in known)
        mark = " ?" if self.guessed else ""
        return f"[{self.ended}/{self.parts}] {100 * self.share:.1f} %, {times}{mark}"


class Phase:
    """A phase under way; call it with how much more is done."""

    def __init__(self, label: str, total: float, done: float) -> None:
        self._label, self._total, self._done = label, total, done
        self._before, self._began = done, time.monotonic()
        self._detail = ""

    def __call__(self, amount: float) -> None:
        """So much more is done."""
        self._done += amount

    def at(self, done: float, total: float) -> None:
        """So much is done of so much in all; what is done at first, earlier runs did."""
        if not self._done:
            self._before = done
        self._done, self._total = done, total

    def detail(self, text: str) -> None:
        """What goes on below the phase's own steps: words that each call replaces."""
        self._detail = text

    def standing(self) -> Standing:
        """How far it is, with the time left by the pace so far."""
        elapsed, here = time.monotonic() - self._began, self._done - self._before
        to_come = max(0.0, self._total - self._done)
        left = elapsed * to_come / here if here > 0 else math.inf if to_come else 0.0
        done, total = round(self._done), round(self._total)
        return Standing(done, total, elapsed, left, False, self._label, self._detail)


class Reporter:
    """Where a run says what it is doing; bars are drawn on terminals that can redraw a line."""

    def __init__(self, console: Terminal) -> None:
        self.console = console
        self._draws = console.is_terminal and not console.is_dumb_terminal

    def say(self, text: str) -> None:
        """One line that stays."""
        self.console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)

    @contextmanager
    def phase(self, label: str, total: float, *, done: float = 0) -> Iterator[Phase]:
        """A phase of known size, to be called with how much more is done.

        The label names the unit; `done` is how much earlier runs did.
        """
        phase = Phase(label, total, done)
        with self.whole(phase.standing):
            yield phase

    @contextmanager
    def whole(
        self, standing: Callable[[], Standing], every: float = _SECONDS_BETWEEN_LINES
    ) -> Iterator[None]:
        """One bar over the whole of it, or a line `every` so many seconds, by how it stands."""
        if self._draws:
            with Live(
                get_renderable=lambda: _drawn(standing(), self.console.width),
                console=self.console,
                transient=True,
            ):
                yield
            return
        over = threading.Event()

        def tell() -> None:
            while not over.wait(every):
                now = standing()
                self.say(f"{now}: {'; '.join(filter(None, (now.doing, now.detail)))}")

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()


def _drawn(now: Standing, width: int) -> RenderableType:
    """A bar with its figures, which are never cut, and below it what goes on."""
    words, bar = Text(str(now)), ProgressBar(1.0, now.share, width=min(40, width))
    top = Table.grid(padding=(0, 1))
    for row in [(bar, words)] if min(40, width) + 1 + len(words) <= width else [(bar,), (words,)]:
        top.add_row(*row)
    below = [Text(line, no_wrap=True, overflow="ellipsis") for line in (now.doing, now.detail)]
    return Group(top, *filter(None, below))


def duration(seconds: float) -> str:
    """A duration in words, no finer than an estimate deserves."""
    if not seconds < _UNTOLD:
        return "more than 30 years"
    if seconds < 1:
        return "<1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
