"""Errors a person can act on. Each message names the thing, the place and the next step."""

from __future__ import annotations

import difflib
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from bench.printable import printable

_OURS = frozenset({"bench", "backbones", "heads"})
# Of what other people's code says, more is a page that hides what came before it.
_LONGEST = 1000


class VoxgridError(Exception):
    """Base of every error voxgrid raises on purpose."""


class UserError(VoxgridError):
    """A mistake in what was asked for (a typo, a wrong path): the command exits with code 2."""


class PluginCrashed(UserError):
    """Other people's code raised something; the message says what, and at which line of theirs."""


class DataUnavailable(VoxgridError):
    """A task's clips are neither on this machine nor to be downloaded."""


class ClipError(VoxgridError):
    """One clip cannot be used; it is excluded with this reason and the rest goes on."""


class StorageError(VoxgridError):
    """Results or caches cannot be written (full disk, read-only folder)."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return 'did you mean X?' where a known name is close, else the list of known names."""
    spelt = {each.casefold(): each for each in sorted(known)}
    close = difflib.get_close_matches(name.casefold(), spelt, n=1, cutoff=0.5)
    return f"did you mean '{spelt[close[0]]}'?" if close else f"known: {', '.join(spelt.values())}"


def place(error: BaseException, *origins: str, ours: bool = True) -> str:
    """Where an error came from, as ` (FILE, line N)`: the innermost line of a plugin's own.

    `origins` are modules of plugins; `ours` says whether a line of voxgrid's will do where there
    is none of other packages.
    """
    packages = {_package(origin) for origin in origins}
    lines = [
        (_package(frame.f_globals.get("__name__", "")), frame.f_code.co_filename, number)
        # the first is that of whoever caught it
        for frame, number in list(traceback.walk_tb(error.__traceback__))[1:]
    ]
    for wanted in (packages - _OURS, _OURS if ours else frozenset()):
        for package, file, number in reversed(lines):
            if package in wanted:
                return f" ({file}, line {number})"
    return ""


def said(error: BaseException) -> str:
    """What an error says, on one line, whoever made it and whatever it does when asked."""
    try:
        text = str(error)
    except BaseException as another:  # noqa: BLE001 a plugin's own `__str__`
        text = f"it cannot say what: {type(another).__name__}"
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def raised(error: BaseException, *origins: str) -> str:
    """What other people's code raised, in words, and where; see `place`."""
    if isinstance(error, PluginCrashed):
        return said(error)
    where = "" if _on_purpose(error) else place(error, *origins)
    return f"{type(error).__name__}: {said(error)}{where}"


@contextmanager
def crashes_of(what: str, origins: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Turn what other people's code raises, or exits with, into an error that any process can read.

    The message begins with `what`; `origins` (see `place`) are asked only then.

    Raises:
        PluginCrashed: anything came up but an error that is raised on purpose.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise  # a person's
    # a plugin may raise anything, even exit, or what is derived from no Exception
    except BaseException as error:
        if _on_purpose(error):
            raise
        raise PluginCrashed(f"{what}{raised(error, *origins())}") from error


def _on_purpose(error: BaseException) -> bool:
    """Whether it is one of voxgrid's own errors, whose messages say all that there is to know."""
    return any(_package(base.__module__) in _OURS for base in type(error).__mro__)


def _package(module: str) -> str:
    """Of the name of a module, or of what `Registry.origin` says."""
    return re.split(r"\W", module, maxsplit=1)[0]
