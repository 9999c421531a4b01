"""The contract of a task: a module with `ENTRY` and `resolve`, voxgrid's own or a plugin's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.clips import Task


@dataclass(frozen=True)
class Entry:
    """What is known of a task without looking for its clips."""

    name: str  # as on the command line, in records and in paths
    protocols: tuple[str, ...]  # names of those that fit it, default first
    summary: str  # one line for `voxgrid list`
    group: str  # what clips are grouped by, in one word
    twin: str | None = None  # the sample task that runs in its place where there is no data
    download: str | None = None  # what `voxgrid run` fetches unasked where there is no data
    sample: bool = False  # True for generated data, which never shares a table with real data


class TaskModule(Protocol):
    """A module that is a task."""

    @property
    def ENTRY(self) -> Entry:  # noqa: N802 a constant of a module
        """What is known without looking for clips."""

    def resolve(self, data_root: Path | None, cache: Path, allow_download: bool) -> Task:
        """Find the task's clips on this machine, or download them.

        Args:
            data_root: folder with one sub-folder per task, or None.
            cache: folder for what is downloaded or generated.
            allow_download: whether the network may be used.

        Raises:
            UserError: a data folder without clips.
            DataUnavailable: no data; says how to get them.
            StorageError: the cache cannot be written.
        """
