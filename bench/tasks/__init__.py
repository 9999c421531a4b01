"""Tasks by name: where each one's clips come from, looked up without importing what is unused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from bench.clips import Clip, Exclusion, Task
from bench.errors import UserError, nearest
from bench.paths import cache_dir
from bench.paths import data_root as env_data_root
from bench.tasks import plugins

__all__ = [
    "TASKS",
    "Clip",
    "Entry",
    "Exclusion",
    "Task",
    "broken",
    "find",
    "names",
    "origin",
    "resolve",
]


@dataclass(frozen=True)
class Entry:
    """One task; other packages offer theirs as `bench.tasks.plugins` says.

    Attributes:
        module: has `resolve(data_root, cache, allow_download) -> Task`.
        protocols: names of the protocols that fit it, default first.
        summary: one line for `voxgrid list`.
        group: what clips are grouped by, in one word.
        twin: the sample task that runs in its place where there is no data.
        download: what `voxgrid run` tries to fetch where there is no data; None where nothing is
            fetched unasked.
    """

    module: str
    protocols: tuple[str, ...]
    summary: str
    group: str
    twin: str | None = None
    download: str | None = None


TASKS: dict[str, Entry] = {
    "ravdess": Entry(
        "bench.tasks.ravdess.task",
        ("speaker-6fold", "random-80-20"),
        "RAVDESS speech: 8 emotions, 24 actors, 1440 clips",
        group="speaker",
        twin="sample-emotion",
        download="RAVDESS speech from Zenodo, 208 MB",
    ),
    "youtube": Entry(
        "bench.tasks.youtube.task",
        ("channel-5fold", "random-75-25", "balanced-109"),
        "YouTube category from the sound track: travel, food, art_music, history",
        group="channel",
        twin="sample-topic",
    ),
    "sample-emotion": Entry(
        "bench.tasks.sample.emotion",
        ("speaker-3fold", "random-80-20"),
        "generated stand-in for ravdess: 4 emotions, 6 voices, 120 clips",
        group="speaker",
    ),
    "sample-topic": Entry(
        "bench.tasks.sample.topic",
        ("channel-5fold", "random-75-25"),
        "generated stand-in for youtube: 4 kinds of sound, 12 channels, 120 clips",
        group="channel",
    ),
}


def names() -> list[str]:
    """Return the names of all tasks, those of other packages last."""
    return [*TASKS, *plugins.found(tuple(TASKS)).entries]


def broken() -> Mapping[str, str]:
    """Why a plugin was left out, by the name of its entry point."""
    return plugins.found(tuple(TASKS)).broken


def origin(name: str) -> str:
    """Module of a task, and the package it comes with where that is another.

    Raises:
        UserError: unknown name; says which was meant.
    """
    entry = find(name)
    return plugins.found(tuple(TASKS)).origins.get(name, entry.module)


def resolve(
    name: str,
    data_root: Path | None = None,
    cache: Path | None = None,
    allow_download: bool = False,
) -> Task:
    """Find a task's clips on this machine, or download them.

    Args:
        name: one of `names()`.
        data_root: folder with one sub-folder per task; `VOXGRID_DATA` by default.
        cache: folder for what is downloaded or generated; `VOXGRID_CACHE` by default.
        allow_download: whether the network may be used.

    Raises:
        UserError: unknown name (says which was meant), or a data folder without clips.
        DataUnavailable: no data; says how to get them.
        StorageError: the cache cannot be written.
    """
    entry = find(name)
    task: Task = import_module(entry.module).resolve(
        data_root if data_root is not None else env_data_root(),
        cache if cache is not None else cache_dir(),
        allow_download,
    )
    return task


def find(name: str) -> Entry:
    """Return what is known of a task without resolving it.

    Raises:
        UserError: unknown name; says which was meant.
    """
    if name in TASKS:
        return TASKS[name]
    others = plugins.found(tuple(TASKS))
    if name in others.entries:
        return others.entries[name]
    if name in others.broken:
        raise UserError(f"task '{name}' was left out: {others.broken[name]}")
    raise UserError(f"unknown task '{name}': {nearest(name, names())}")
