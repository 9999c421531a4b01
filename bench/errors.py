"""Errors a person can act on. Each message names the thing, the place and the next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VoxgridError(Exception):
    """Base of every error voxgrid raises on purpose."""


class UserError(VoxgridError):
    """A mistake in what was asked for (a typo, a wrong path): the command exits with code 2."""


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
