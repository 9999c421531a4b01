"""Tasks of other packages: modules like those here, named by entry points of `voxgrid.tasks`.

    [project.entry-points."voxgrid.tasks"]
    my-task = "my_package.my_task"

The name of the entry point is the task's. The module holds `ENTRY = bench.tasks.Entry(...)`, and
the module that `ENTRY.module` names (as a rule `__name__`) holds `resolve`.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from bench.errors import UserError, VoxgridError

if TYPE_CHECKING:
    from bench.tasks import Entry

GROUP = "voxgrid.tasks"

# What a module that does not import, or is no task, may raise.
PLUGIN_ERRORS = (
    ImportError,
    SyntaxError,
    NameError,
    AttributeError,
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    OSError,
    RuntimeError,
    VoxgridError,
)


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

    Args:
        own: names of voxgrid's own tasks.

    Raises:
        UserError: two tasks share a name; the message names both origins.
    """
    entries: dict[str, Entry] = {}
    origins = dict.fromkeys(own, "voxgrid")
    broken: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        package = point.dist.name if point.dist else "an unnamed package"
        origin = f"{point.value} ({package})"
        try:
            entry = _load(point)
        except PLUGIN_ERRORS as error:  # one broken plugin must not take the other tasks away
            broken[point.name] = f"{origin}: {type(error).__name__}: {error}"
            warnings.warn(
                f"task plugin '{point.name}' left out: {broken[point.name]}",
                PluginWarning,
                stacklevel=2,
            )
            continue
        if origins.setdefault(point.name, origin) != origin:
            raise UserError(
                f"task '{point.name}' comes from both {origins[point.name]} and {origin}; "
                "uninstall or rename one of them"
            )
        entries[point.name] = entry
    return Found(entries, {name: origins[name] for name in entries}, broken)


def _load(point: EntryPoint) -> Entry:
    from bench.tasks import Entry

    module = importlib.import_module(point.module)
    entry = getattr(module, "ENTRY", None)
    if not isinstance(entry, Entry):
        raise UserError(f"{module.__name__} needs a module-level `ENTRY = Entry(...)`")
    if not callable(getattr(importlib.import_module(entry.module), "resolve", None)):
        raise UserError(f"{entry.module} has no function `resolve(data_root, cache, …)`")
    return entry
