"""A task's part of a plan: clips scanned, compared and folded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from bench import paths
from bench.audio import recordings
from bench.audio.index import ScannedClip, scan
from bench.clips import Exclusion, Task, shortened
from bench.config.spec import RunSpec
from bench.errors import UserError
from bench.features.key import digest
from bench.planning.plan import FoldedTask
from bench.printable import printable
from bench.progress import Reporter
from bench.protocols import table as protocols
from bench.protocols.fold import Fold, Split


def fold_task(task: Task, spec: RunSpec, reporter: Reporter) -> FoldedTask:
    """Scan and fold a task's clips by the protocols of a run.

    A task with none of them, which stands in for one that has, runs all of its own, or those that
    are its default. Those that repeat a split run where they are named, or where there is no other.

    Raises:
        UserError: no clip is usable, or no protocol can fold them.
        StorageError: the cache cannot be written.
    """
    wanted = [p for p in spec.protocols if p in task.protocols]
    wanted = wanted or list(task.default)
    wanted = wanted or [p for p in task.protocols if not protocols.find(p).repeats]
    wanted = wanted or list(task.protocols)
    with reporter.phase(f"scan {task.name} (clips)", len(task.clips)) as phase:
        found = scan(task.clips, paths.cache_dir() / "audio.sqlite3", phase.at)
    clips = found.usable
    lost = (*task.excluded, *found.excluded)
    if not clips:
        last = f"the last, {lost[-1].clip}: {lost[-1].reason}" if lost else "it names none at all"
        raise UserError(f"task '{task.name}' has no usable clip ({len(lost)} left out); {last}")
    recording = recordings.by_samples(clips)
    if task.near_duplicates:
        with reporter.phase(f"compare sounds of {task.name} (clips)", len(clips)) as phase:
            recording = recordings.by_ear(clips, paths.cache_dir() / "prints.sqlite3", phase.at)
    why = _lost(task, found.excluded)
    splits: dict[str, Split] = {}
    unfit: dict[str, str] = {}
    for protocol in wanted:
        try:
            splits[protocol] = protocols.make_folds(
                protocol, [c.clip for c in clips], recording, task.labels, why
            )
        except UserError as error:
            unfit[protocol] = str(error)
    if not splits:
        known = "; ".join((next(iter(unfit.values())), *task.notes))
        raise UserError(f"task '{task.name}' cannot be folded: {known}")
    altered = task.altered(
        {c.clip.id: c.pcm_sha256 for c in clips}, {c.clip.id: c.file_sha256 for c in clips}
    )
    notes = (*task.notes, *altered, *_about_files(clips), *_shared_sound(task, clips, recording))
    told = [[c.clip.id, c.clip.label, c.clip.group, c.pcm_sha256] for c in clips]
    data = digest({"clips": sorted(told)})
    return FoldedTask(task, clips, lost, splits, unfit, tuple(map(printable, notes)), data)


def _lost(task: Task, unusable: Sequence[Exclusion]) -> dict[str, str]:
    """What is to be said of classes that lost clips: how many, and why the last of them went."""
    label_of = {clip.id: clip.label for clip in task.clips}
    of: defaultdict[str, list[Exclusion]] = defaultdict(list)
    for each in unusable:
        of[label_of[each.clip]].append(each)
    # what the task itself left out may have been of a class that no clip is of
    for label in set(task.labels) - set(label_of.values()):
        of[label] += task.excluded
    return {
        label: f"{len(lost)} left out, the last {lost[-1].clip}: {lost[-1].reason}"
        for label, lost in of.items()
        if lost
    }


def _about_files(clips: Sequence[ScannedClip]) -> Iterator[str]:
    """Say what there is to know of files that are used all the same."""
    about: defaultdict[str, list[str]] = defaultdict(list)
    for clip in clips:
        for note in clip.notes:
            about[note].append(clip.clip.id)
    for note, ids in sorted(about.items()):
        yield f"{len(ids)} clip{'s' if len(ids) > 1 else ''}: {note} ({shortened(ids)})"


def without(folded: FoldedTask, reasons: Mapping[str, str], backbone: str) -> FoldedTask:
    """The same folds without the clips that a backbone cannot use.

    `reasons` are why, by the sha256 of the clips' samples.
    """
    kept = np.array([clip.pcm_sha256 not in reasons for clip in folded.clips])
    clips = tuple(clip for clip in folded.clips if clip.pcm_sha256 not in reasons)
    left_out = tuple(
        Exclusion(clip.clip.id, reasons[clip.pcm_sha256])
        for clip in folded.clips
        if clip.pcm_sha256 in reasons
    )
    named = shortened([f"{one.clip}: {one.reason}" for one in left_out])
    few = f"too few clips are left of those that {backbone} can use ({named})"
    places = np.cumsum(kept) - 1
    splits, unfit = {}, dict(folded.unfit)
    for protocol, split in folded.splits.items():
        folds = []
        for fold in split.folds:
            train, validation, test, *inner = (
                places[part[kept[part]]]
                for part in (fold.train, fold.validation, fold.test, *fold.inner)
            )
            if not all(map(len, (train, validation, test))):
                unfit[protocol] = few
                break
            groups = tuple(sorted({clips[i].clip.group for i in test.tolist()}))
            scored = tuple(filter(len, inner))
            # of a single part there may be no rest to fit on
            scored = scored if len(scored) > 1 else ()
            folds.append(Fold(fold.index, train, validation, test, groups, scored))
        else:
            splits[protocol] = replace(split, folds=tuple(folds))
    count = f"{len(left_out)} clip{'s' if len(left_out) > 1 else ''}"
    note = f"{count} left out of the rows of {backbone}: {named}"
    excluded, notes = (*folded.excluded, *left_out), (*folded.notes, printable(note))
    return replace(folded, clips=clips, excluded=excluded, splits=splits, unfit=unfit, notes=notes)


def _shared_sound(
    task: Task, clips: Sequence[ScannedClip], recording: Sequence[str]
) -> Iterator[str]:
    """Say which clips are one recording although their samples differ."""
    copies: defaultdict[str, list[str]] = defaultdict(list)
    for clip, own in zip(clips, recording, strict=True):
        copies[own].append(clip.clip.id)
    alike = [ids for ids in copies.values() if len(ids) > 1]
    if task.near_duplicates and alike:
        yield (
            f"{sum(map(len, alike))} clips share sound with others; of these {len(alike)} "
            f"recording{'s' if len(alike) > 1 else ''} each copy is on the same side of every "
            f"fold: {shortened([' = '.join(ids[:3]) for ids in alike])}"
        )
