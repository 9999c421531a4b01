"""Tasks by name: every module of this room, or of a plugin, that has an `ENTRY`."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from pydantic import TypeAdapter

from bench.clips import Task
from bench.errors import crashes_of
from bench.paths import cache_dir
from bench.paths import data_root as env_data_root
from bench.plugins import STRICT, InvalidPlugin, Registry, require_types
from bench.tasks.entry import Entry, TaskModule


def read_task(target: object) -> tuple[str, TaskModule]:
    """Return name and module of a task.

    Raises:
        InvalidPlugin: the module lacks `ENTRY` or `resolve`.
    """
    where = getattr(target, "__name__", repr(target))
    entry = getattr(target, "ENTRY", None)
    if not isinstance(entry, Entry):
        raise InvalidPlugin(f"{where} needs a module-level `ENTRY = Entry(...)`")
    require_types("ENTRY", entry, TypeAdapter(tuple[Entry], config=STRICT))
    if not callable(getattr(target, "resolve", None)):
        raise InvalidPlugin(f"{where} has no function `resolve(data_root, cache, allow_download)`")
    return entry.name, cast(TaskModule, target)


TASKS = Registry("task", "bench.tasks", "ENTRY", read_task)


def names() -> list[str]:
    """Return the names of all tasks, generated ones last."""
    return sorted(TASKS.names(), key=lambda name: (find(name).sample, name))


def find(name: str) -> Entry:
    """Return what is known of a task without resolving it.

    Raises:
        UserError: unknown name; says which was meant.
    """
    return TASKS.get(name).ENTRY


def resolve(
    name: str,
    data_root: Path | None = None,
    cache: Path | None = None,
    allow_download: bool = False,
) -> Task:
    """Find a task's clips on this machine, or download them: see `TaskModule.resolve`.

    What the task's code raises besides is a `PluginCrashed`.

    Args:
        name: one of `names()`; another is a `UserError`, which says which was meant.
        data_root: `VOXGRID_DATA` by default.
        cache: `VOXGRID_CACHE` by default.
        allow_download: whether the network may be used.
    """
    find_clips = TASKS.get(name).resolve
    with crashes_of(f"resolve of task '{name}' raised ", lambda: [find_clips.__module__]):
        return find_clips(
            data_root if data_root is not None else env_data_root(),
            cache if cache is not None else cache_dir(),
            allow_download,
        )
