"""The contract of a task: a module with `ENTRY` and `resolve`, voxgrid's own or a plugin's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.clips import Task


@dataclass(frozen=True)
class Entry:
    """What is known of a task without looking for its clips.

    Attributes:
        name: as on the command line, in records and in paths.
        protocols: names of the protocols that fit it, default first.
        summary: one line for `voxgrid list`.
        group: what clips are grouped by, in one word.
        twin: the sample task that runs in its place where there is no data.
        download: what `voxgrid run` tries to fetch where there is no data; None where nothing is
            fetched unasked.
        sample: True for generated data, which never shares a table with real data.
    """

    name: str
    protocols: tuple[str, ...]
    summary: str
    group: str
    twin: str | None = None
    download: str | None = None
    sample: bool = False


class TaskModule(Protocol):
    """A module that is a task."""

    ENTRY: Entry

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
