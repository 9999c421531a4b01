"""Progress and durations a person can read: a bar per phase on a terminal, lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

# Where there is no terminal to redraw, details come no more often than this.
_SECONDS_BETWEEN_DETAILS = 30.0
# Nor is anybody left without a word for longer than this while a run is on.
_SECONDS_BETWEEN_LINES = 5.0


class Phase:
    """A phase under way; call it with how much more is done."""

    def __init__(
        self,
        bars: Progress,
        label: str,
        total: float,
        done: float,
        say: Callable[[str], None] | None,
    ) -> None:
        self._bars = bars
        self._label, self._total = label, total
        self._done = done
        self._task = bars.add_task(label, total=round(total), completed=round(done))
        self._detail: TaskID | None = None
        self._say = say
        self._said = self._counted = time.monotonic()

    def __call__(self, amount: float) -> None:
        """So much more is done."""
        self.at(self._done + amount, self._total)

    def at(self, done: float, total: float) -> None:
        """So much is done of so much in all, where the total was not known before."""
        self._done, self._total = done, total
        self._bars.update(self._task, completed=round(done), total=round(total))
        if self._say is not None and time.monotonic() - self._counted >= _SECONDS_BETWEEN_LINES:
            self._counted = time.monotonic()
            self._say(f"{self._label}: {done:.0f} of {total:.0f}")

    def detail(self, text: str) -> None:
        """What goes on below the phase's own steps: a line that each call replaces."""
        if self._say is None:
            if self._detail is None:
                self._detail = self._bars.add_task(text, total=None)
            self._bars.update(self._detail, description=text)
        elif time.monotonic() - self._said >= _SECONDS_BETWEEN_DETAILS:
            self._said = time.monotonic()
            self._say(text)


@dataclass(frozen=True)
class Standing:
    """How far a run is: of all its cells, and in seconds; `guessed` where a part of these is.

    `doing` are the words for what goes on, `detail` those for what goes on below that.
    """

    ended: int
    cells: int
    elapsed: float
    left: float
    guessed: bool
    doing: str
    detail: str = ""

    @property
    def share(self) -> float:
        """Of all the time that the run takes."""
        whole = self.elapsed + self.left
        return self.elapsed / whole if whole > 0 else 1.0

    def __str__(self) -> str:
        gone, left = (timedelta(seconds=round(s)) for s in (self.elapsed, self.left))
        return f"{100 * self.share:.1f} %, {gone}, left {left}{' ?' if self.guessed else ''}"


class Reporter:
    """Where a run says what it is doing; bars are drawn on terminals that can redraw a line."""

    def __init__(self, console: Console) -> None:
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
        with Progress(
            SpinnerColumn(),
            # what sites say is shown here too, and must not be read as markup
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("elapsed"),
            TimeElapsedColumn(),
            TextColumn("left"),
            # a long phase speeds up and slows down: look back ten minutes
            TimeRemainingColumn(),
            console=self.console,
            disable=not self._draws,
            speed_estimate_period=600,
            transient=True,
        ) as bars:
            yield Phase(bars, label, total, done, None if self._draws else self.say)

    @contextmanager
    def whole(
        self, standing: Callable[[], Standing], every: float = _SECONDS_BETWEEN_LINES
    ) -> Iterator[None]:
        """One bar over a whole run, or a line `every` so many seconds, by how the run stands."""
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
                words = "; ".join(filter(None, (now.doing, now.detail)))
                self.say(f"[{now.ended}/{now.cells}] {now}: {words}")

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()


def _drawn(now: Standing, width: int) -> RenderableType:
    """A bar with its figures, which are never cut, and below it what goes on."""
    words = Text(f"[{now.ended}/{now.cells}] {now}")
    bar = ProgressBar(1.0, now.share, width=min(40, width))
    top = Table.grid(padding=(0, 1))
    if bar.width is not None and bar.width + 1 + len(words) <= width:
        top.add_row(bar, words)
    else:
        top.add_row(bar)
        top.add_row(words)
    below = [Text(line, no_wrap=True, overflow="ellipsis") for line in (now.doing, now.detail)]
    return Group(top, *filter(None, below))


def duration(seconds: float) -> str:
    """A duration in words, no finer than an estimate deserves."""
    if seconds < 1:
        return "<1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
