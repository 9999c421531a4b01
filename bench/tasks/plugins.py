"""Tasks of other packages: modules like those here, named by entry points of `voxgrid.tasks`.

    [project.entry-points."voxgrid.tasks"]
    my-task = "my_package.my_task"

The name of the entry point is the task's. The module holds `ENTRY = bench.tasks.Entry(...)`, and
the module that `ENTRY.module` names (as a rule `__name__`) holds `resolve`.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from bench.errors import UserError

if TYPE_CHECKING:
    from bench.tasks import Entry

GROUP = "voxgrid.tasks"
# Records and folders of clips are kept under this name.
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class PluginWarning(UserWarning):
    """A plugin was left out; the message says why."""


@dataclass(frozen=True)
class Found:
    """Tasks of other packages.

    Attributes:
        entries: what is known of each, by name.
        origins: module and package of each, by name.
        broken: why a plugin was left out, by the name of its entry point.
    """

    entries: Mapping[str, Entry]
    origins: Mapping[str, str]
    broken: Mapping[str, str]


@cache
def found(own: tuple[str, ...]) -> Found:
    """The tasks of other packages; one that cannot be used is a warning.

    A name of voxgrid's own stays with it. Of several plugins that claim any other name none is
    taken: which one was meant cannot be known.

    Args:
        own: names of voxgrid's own tasks.
    """
    claims: dict[str, dict[str, Entry]] = {}
    broken: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        package = point.dist.name if point.dist else "an unnamed package"
        origin = f"{point.value} ({package})"
        try:
            entry = _load(point)
        # other people's code may raise anything, even exit, and must not take the others away
        except (Exception, SystemExit) as error:  # noqa: BLE001
            _warn(f"{origin}: {type(error).__name__}: {error}", point.name, broken)
        else:
            claims.setdefault(point.name, {})[origin] = entry
    entries: dict[str, Entry] = {}
    origins: dict[str, str] = {}
    for name, by_origin in claims.items():
        if name not in own and len(by_origin) == 1:
            ((origins[name], entries[name]),) = by_origin.items()
            continue
        _warn(_duplicate(name, list(by_origin), owned=name in own), name, broken)
    return Found(entries, origins, broken)


def _duplicate(name: str, plugins: list[str], *, owned: bool) -> str:
    origins = (["voxgrid"] if owned else []) + plugins
    places = f"both {origins[0]} and {origins[1]}" if len(origins) == 2 else ", ".join(origins)
    result = "voxgrid's is the one in use" if owned else "none of them is in use"
    return f"task '{name}' comes from {places}, and {result}; uninstall or rename the others"


def _warn(reason: str, name: str, broken: dict[str, str]) -> None:
    # two entry points may have one name
    broken[name] = f"{broken[name]}; {reason}" if name in broken else reason
    warnings.warn(f"task plugin '{name}' left out: {reason}", PluginWarning, stacklevel=3)


def _load(point: EntryPoint) -> Entry:
    from bench.tasks import Entry

    if not NAME.fullmatch(point.name):
        raise UserError(
            f"its name {point.name!r} cannot be that of a file; rename the entry point with lower "
            "case letters, digits and ._-"
        )
    module = importlib.import_module(point.module)
    entry = getattr(module, "ENTRY", None)
    if not isinstance(entry, Entry):
        raise UserError(f"{module.__name__} needs a module-level `ENTRY = Entry(...)`")
    if not callable(getattr(importlib.import_module(entry.module), "resolve", None)):
        raise UserError(f"{entry.module} has no function `resolve(data_root, cache, …)`")
    return entry
