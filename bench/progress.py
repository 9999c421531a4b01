"""Progress and durations a person can read: a bar per phase on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
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

# Where there is no terminal to redraw, details come no more often than this.
_SECONDS_BETWEEN_DETAILS = 30.0


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
        self._done = done
        self._task = bars.add_task(label, total=round(total), completed=round(done))
        self._detail: TaskID | None = None
        self._say = say
        self._said = time.monotonic()

    def __call__(self, amount: float) -> None:
        """So much more is done."""
        self._done += amount
        self._bars.update(self._task, completed=round(self._done))

    def at(self, done: float, total: float) -> None:
        """So much is done of so much in all, where the total was not known before."""
        self._done = done
        self._bars.update(self._task, completed=round(done), total=round(total))

    def detail(self, text: str) -> None:
        """What goes on below the phase's own steps: a line that each call replaces."""
        if self._say is None:
            if self._detail is None:
                self._detail = self._bars.add_task(text, total=None)
            self._bars.update(self._detail, description=text)
        elif time.monotonic() - self._said >= _SECONDS_BETWEEN_DETAILS:
            self._said = time.monotonic()
            self._say(text)


class Reporter:
    """Where a run says what it is doing; bars are drawn on terminals only."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, text: str) -> None:
        """One line that stays."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

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
            disable=not self.console.is_terminal,
            speed_estimate_period=600,
            transient=True,
        ) as bars:
            yield Phase(bars, label, total, done, None if self.console.is_terminal else self.say)


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
