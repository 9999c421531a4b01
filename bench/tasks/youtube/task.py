"""Task `youtube`: the category of a video from its sound, of the videos that were fetched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.clips import Clip, Exclusion, Task
from bench.errors import DataUnavailable
from bench.protocols.grouping import components
from bench.tasks.entry import Entry
from bench.tasks.youtube import manifest
from bench.tasks.youtube.links import CATEGORIES, plain_title
from bench.tasks.youtube.manifest import MANIFEST, Item
from bench.tasks.youtube.statuses import STATUSES

ENTRY = Entry(
    "youtube",
    protocols=("channel-5fold", "random-75-25", "balanced-109"),
    summary="YouTube category from the sound track: travel, food, art_music, history",
    group="channel",
    twin="sample-topic",
)
NAME = ENTRY.name


def folder(data_root: Path | None, cache: Path) -> Path:
    """Where the task's sound is, or is to be fetched to."""
    return data_root / NAME if data_root is not None else cache / "data" / NAME


def resolve(data_root: Path | None, cache: Path, allow_download: bool) -> Task:
    """Find what was fetched of the task on this machine; nothing is ever downloaded here.

    Looks into `data_root`/youtube, then `cache`/data/youtube.

    Raises:
        UserError: the manifest cannot be read.
        DataUnavailable: nothing is fetched; says how to.
    """
    for place in (folder(data_root, cache), folder(None, cache)):
        if (place / MANIFEST).is_file():
            return read(place)
    raise DataUnavailable(
        "no sound of the YouTube videos is on this machine: get the table of links (CSV with "
        "link, title, description, category; on Kaggle: Youtube Videos Dataset) and run "
        "'voxgrid fetch youtube TABLE.csv'"
    )


def read(place: Path) -> Task:
    """Return the task made of the clips in a folder that `voxgrid fetch youtube` filled.

    Raises:
        UserError: the manifest cannot be read.
        DataUnavailable: it names no clip.
    """
    items = [item for item in manifest.read(place) if item.in_table]
    fetched = [item for item in items if item.status == "ok" and item.id]
    groups = channels(fetched)
    clips: list[Clip] = []
    excluded: list[Exclusion] = []
    for item, group in zip(fetched, groups, strict=True):
        # a manifest from elsewhere must not lead out of the folder: its file names are not used
        path = item.target(place)
        if path.is_file():
            clips.append(Clip(str(item.id), path, item.category, group))
        else:
            reason = f"{path.name} is gone: run 'voxgrid fetch youtube' again"
            excluded.append(Exclusion(str(item.id), reason))
    if not clips:
        raise DataUnavailable(
            f"{place} holds the sound of none of its {len(items)} videos: run 'voxgrid fetch "
            "youtube', and 'voxgrid fetch youtube --status' to see why"
        )
    return Task(
        name=NAME,
        labels=CATEGORIES,
        clips=tuple(sorted(clips, key=lambda clip: clip.id)),
        protocols=ENTRY.protocols,
        excluded=tuple(excluded),
        notes=_notes(items, fetched),
        file_sha256={str(item.id): str(item.sha256) for item in fetched},
        near_duplicates=True,
    )


def channels(items: Sequence[Item]) -> list[str]:
    """Each video's group: its channel, as the table or the site names it.

    Either may be wrong, missing or renamed since. Videos that share one are in one group:
    merging two channels costs a little data, splitting one leaks.
    """
    names = [
        f"channel:{plain_title(item.channel)}" if item.channel else f"video:{item.id}"
        for item in items
    ]
    ids = [item.channel_id or f"video:{item.id}" for item in items]
    groups = list(names)
    for members in components(names, ids):
        for index in members:
            groups[index] = min(names[other] for other in members)
    return groups


def _notes(items: Sequence[Item], fetched: Sequence[Item]) -> tuple[str, ...]:
    counts = Counter(item.status for item in items)
    absent = ", ".join(
        f"{counts[status]} {status}"
        for status in STATUSES
        if counts[status] and status not in ("ok", "not tried")
    )
    notes = [
        f"{len(fetched)} of the {len(items)} videos of the table have sound here"
        + (f"; not to be had: {absent}" if absent else "")
    ]
    if open := counts["not tried"]:
        notes.append(f"{open} videos are not fetched yet: 'voxgrid fetch youtube' goes on")
    if seconds := fetched[0].asked_seconds:
        notes.append(f"of each video the first {seconds:g} s, or all of a shorter one")
    return tuple(notes)
