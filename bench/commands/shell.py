"""What the commands share: progress on standard error, Ctrl-C, and how errors end a command."""

from __future__ import annotations

import codecs
import functools
import io
import logging
import sys
from collections.abc import Callable, Iterable
from os.path import expanduser
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec

import typer

from bench.errors import StorageError
from bench.printable import printable_lines

if TYPE_CHECKING:
    from bench.progress import Reporter

# The parent of what every module of voxgrid's harness says for `--debug`.
_log = logging.getLogger("bench")

_Options = ParamSpec("_Options")

_PLAIN = {"→": "->", "–": "-", "…": "...", "≥": ">="}


def plain(error: UnicodeError) -> tuple[str, int]:
    """Write what an encoding lacks in characters that every one has; an error handler of codecs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    written = [_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking]
    return "".join(written), error.end


class _Full(io.FileIO):
    """Standard output or error in a file; what comes after its disk is full is dropped."""

    lost = False

    def write(self, data: Any, /) -> int:
        """Write; output that is lost ends the command, but progress that is does not end a run."""
        try:
            if not self.lost:
                return super().write(data)
        except BrokenPipeError:
            raise  # typer ends the command
        except OSError as error:
            self.lost = True
            if self.fileno() == 1:
                raise StorageError(
                    f"standard output cannot be written ({error.strerror}); results and caches "
                    "are kept, and the same command shows it again where there is room"
                ) from error
        return len(data)


def open_streams() -> None:
    """Let standard output and error take any character, and a full disk."""
    codecs.register_error("plain", plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__") or not isinstance(stream, io.TextIOWrapper):
            continue  # somebody caught it
        stream.reconfigure(errors="plain")
        if not stream.isatty():
            buffer = io.BufferedWriter(_Full(stream.fileno(), "wb", closefd=False))
            lines = stream.line_buffering
            own = io.TextIOWrapper(buffer, stream.encoding, "plain", line_buffering=lines)
            setattr(sys, name, own)


def at_home(argument: str) -> str:
    """An argument with `~` expanded, behind `--option=` too, where shells leave it."""
    start = argument.find("=") + 1 if argument.startswith("--") else 0
    return argument[:start] + expanduser(argument[start:])  # noqa: PTH111 it may be no path


def reporter() -> Reporter:
    """Where a command says how far it is: standard error."""
    from bench.progress import Reporter
    from bench.terminal import Terminal

    return Reporter(Terminal(stderr=True))


def interruptible(command: Callable[_Options, None]) -> Callable[_Options, None]:
    """Ctrl-C ends a long command with a sentence and code 130."""

    @functools.wraps(command)
    def wrapped(*args: _Options.args, **kwargs: _Options.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            fail("interrupted; what is finished is kept, the same command goes on from there", 130)

    return wrapped


def completion(values: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """What a shell offers for a word begun."""
    return lambda incomplete: [value for value in values() if value.startswith(incomplete)]


class _StandardError(logging.Handler):
    """Whatever is standard error when something is said: progress bars take its place."""

    def emit(self, record: logging.LogRecord) -> None:
        echo(self.format(record), err=True)


def debug(asked: bool) -> None:
    """Say all that is done on standard error, with whole tracebacks; or say no such thing."""
    _log.handlers = [_StandardError()] if asked else []
    _log.setLevel(logging.DEBUG if asked else logging.NOTSET)


def echo(text: str, *, err: bool = False) -> None:
    """Say it on standard output or error: lines as they are, all else as `printable`."""
    typer.echo(printable_lines(text), err=err)  # noqa: TID251


def fail(message: str, code: int, error: BaseException | None = None) -> NoReturn:
    """End the command with a sentence on standard error; under `--debug` the whole of the error."""
    _log.debug("the whole of the error:", exc_info=error)
    echo(f"voxgrid: {message}", err=True)
    sys.exit(code)
