"""What the commands share: progress on standard error, Ctrl-C, and how errors end a command."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, cast

import typer

from bench.errors import UserError

if TYPE_CHECKING:
    from bench.progress import Reporter

Command = TypeVar("Command", bound=Callable[..., None])


def reporter() -> Reporter:
    """Where a command says how far it is: standard error."""
    from rich.console import Console

    from bench.progress import Reporter

    return Reporter(Console(stderr=True))


def interruptible(command: Command) -> Command:
    """Ctrl-C ends a long command with a sentence and code 130."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            fail("interrupted; what is finished is kept, the same command goes on from there", 130)

    return cast(Command, wrapped)


def known_control(value: str | None) -> Literal["random-init"] | None:
    """What `--control` says; a `UserError` where it is nothing that voxgrid knows."""
    if value is None or value == "random-init":
        return cast("Literal['random-init'] | None", value)
    raise UserError(f"--control knows only 'random-init', not '{value}'")


def fail(message: str, code: int) -> NoReturn:
    """End the command with a sentence on standard error."""
    typer.echo(f"voxgrid: {message}", err=True)
    sys.exit(code)
