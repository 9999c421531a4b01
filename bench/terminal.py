"""Tables, bars and sentences on a terminal, in which nothing from outside can give it commands."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType  # noqa: TID251
from rich.segment import Segment

from bench.printable import printable_lines


class Terminal(Console):
    """A rich console that shows every text as `printable`, whatever it stands in."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """See rich: colours and cursor moves are not text there, and pass."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable_lines(text), style)
