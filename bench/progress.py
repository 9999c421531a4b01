"""Progress a person can read: a bar with an ETA per phase on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Advance = Callable[[float], None]


class Reporter:
    """Where a run says what it is doing.

    Args:
        console: where to; bars are drawn on terminals only.
    """

    def __init__(self, console: Console) -> None:
        self.console = console

    def say(self, text: str) -> None:
        """One line that stays."""
        self.console.print(text, highlight=False, soft_wrap=True)

    @contextmanager
    def phase(self, label: str, total: float, *, done: float = 0) -> Iterator[Advance]:
        """A phase of known size.

        Args:
            label: what is being done, with its unit.
            total: how much there is.
            done: how much earlier runs did.

        Yields:
            A function that is told how much more is done.
        """
        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
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
            task = bars.add_task(label, total=round(total), completed=round(done))
            exact = done

            def advance(amount: float) -> None:
                nonlocal exact
                exact += amount
                bars.update(task, completed=round(exact))

            yield advance
