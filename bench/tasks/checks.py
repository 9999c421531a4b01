"""The conformance suite every task has to pass, shipped for plugins from elsewhere too.

Run it from a shell with `voxgrid check NAME`, or in a plugin's own tests with `check_task`. Each
check takes a `TaskSubject` and raises `CheckFailed`, an AssertionError whose message is a sentence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

from bench import paths, tasks
from bench.audio.index import ScanResult, scan
from bench.clips import Task, shortened
from bench.errors import DataUnavailable, UserError, VoxgridError
from bench.protocols import table as protocols
from bench.tasks.entry import TaskModule
from heads.checks import CheckFailed, CheckResult, require


class TaskSubject:
    """A task under test, and its clips on this machine. Nothing is downloaded."""

    def __init__(self, module: TaskModule) -> None:
        self.module = module
        self.entry = module.ENTRY
        self.name = self.entry.name

    @cached_property
    def task(self) -> Task:
        """The clips on this machine; a `DataUnavailable` where there are none."""
        return self.resolve()

    def resolve(self) -> Task:
        """Look for the clips once more."""
        return self.module.resolve(paths.data_root(), paths.cache_dir(), False)

    @cached_property
    def scanned(self) -> ScanResult:
        """What decoding every clip found."""
        return scan(self.task.clips, paths.cache_dir() / "audio.sqlite3")


TaskCheck = Callable[[TaskSubject], None]


def check_entry_is_complete(subject: TaskSubject) -> None:
    """Name, summary, group and protocols have sensible values."""
    require(
        re.fullmatch(r"[a-z0-9][a-z0-9._-]*", subject.name),
        f"name {subject.name!r} must be lower case and usable as a file name",
    )
    require(subject.entry.summary.strip(), "summary is empty; it is a line of `voxgrid list`")
    require(subject.entry.group.strip(), "group is empty; it is what clips are grouped by")
    require(subject.entry.protocols, "no protocol is named, so that nothing can be run")


def check_protocols_are_known(subject: TaskSubject) -> None:
    """Every protocol named exists, once."""
    for protocol in subject.entry.protocols:
        try:
            protocols.find(protocol)
        except UserError as error:
            raise CheckFailed(str(error)) from error
    twice = _repeated(subject.entry.protocols)
    require(not twice, f"protocol {shortened(twice)} is named twice")


def check_a_sample_task_stands_in(subject: TaskSubject) -> None:
    """A generated twin runs where there are no clips; only generated tasks have none."""
    twin = subject.entry.twin
    if twin is None:
        require(
            subject.entry.sample,
            "the task names no twin; give one of the sample tasks (or one of your own, generated "
            "in seconds), which runs where the clips are missing",
        )
        return
    require(twin in tasks.names(), f"twin '{twin}' is no task")
    require(
        tasks.find(twin).sample,
        f"twin '{twin}' is not generated: its entry does not say `sample=True`",
    )


def check_resolving_is_repeatable(subject: TaskSubject) -> None:
    """Resolving twice gives the same task."""
    first, second = subject.task, subject.resolve()
    clips = {clip.id for clip in set(first.clips) ^ set(second.clips)}
    require(not clips, f"{len(clips)} clips differ between two calls: {shortened(sorted(clips))}")
    require(first == second, "two calls of resolve give tasks that differ in other than clips")


def check_task_agrees_with_its_entry(subject: TaskSubject) -> None:
    """Name and protocols of what is resolved are those announced."""
    task = subject.task
    require(task.name == subject.name, f"it resolves to a task called '{task.name}'")
    require(
        task.protocols == subject.entry.protocols,
        f"it resolves to protocols {task.protocols}, the entry says {subject.entry.protocols}",
    )
    require(
        task.sample == subject.entry.sample,
        f"`Task.sample` is {task.sample}, the entry says {subject.entry.sample}",
    )


def check_ids_are_unique_and_no_paths(subject: TaskSubject) -> None:
    """Ids are distinct, and stay the same wherever the files lie."""
    ids = [clip.id for clip in subject.task.clips]
    twice = _repeated(ids)
    require(not twice, f"{len(twice)} ids name more than one clip: {shortened(twice)}")
    paths_ = [name for name in ids if not name.strip() or "/" in name or "\\" in name]
    require(not paths_, f"{len(paths_)} ids are empty or hold a path: {shortened(paths_)}")


def check_clips_are_sorted(subject: TaskSubject) -> None:
    """Clips come in the order of their ids, as folds and caches expect."""
    ids = [clip.id for clip in subject.task.clips]
    wrong = [name for name, right in zip(ids, sorted(ids), strict=True) if name != right]
    require(not wrong, f"clips are not sorted by id, from {shortened(wrong, 1)} on")


def check_every_clip_has_a_group(subject: TaskSubject) -> None:
    """No clip is without the speaker or channel that keeps it on one side."""
    without = [clip.id for clip in subject.task.clips if not clip.group.strip()]
    require(not without, f"{len(without)} clips have no group: {shortened(without)}")


def check_labels_are_complete(subject: TaskSubject) -> None:
    """The labels are distinct, and are those of the clips."""
    task = subject.task
    require(len(task.labels) >= 2, f"there are {len(task.labels)} labels, at least 2 wanted")
    twice = _repeated(task.labels)
    require(not twice, f"label {shortened(twice)} is named twice")
    counts = Counter(clip.label for clip in task.clips)
    unknown = sorted(set(counts) - set(task.labels))
    require(not unknown, f"clips carry labels that the task does not name: {shortened(unknown)}")
    empty = [label for label in task.labels if not counts[label]]
    require(not empty, f"no clip carries the label {shortened(empty)}")


def check_every_clip_decodes(subject: TaskSubject) -> None:
    """Every file decodes, and no recording carries two labels."""
    excluded = subject.scanned.excluded
    first = f"{excluded[0].clip}: {excluded[0].reason}" if excluded else ""
    require(not excluded, f"{len(excluded)} clips cannot be used; {first}")


def check_every_protocol_folds(subject: TaskSubject) -> None:
    """Each protocol gives folds whose parts share no clip and, where grouped, no group."""
    usable = subject.scanned.usable
    clips = [scanned.clip for scanned in usable]
    for name in subject.task.protocols:
        if name not in protocols.PROTOCOLS:
            continue  # that has its own check
        try:
            split = protocols.make_folds(
                name, clips, [scanned.pcm_sha256 for scanned in usable], subject.task.labels
            )
        except VoxgridError as error:
            raise CheckFailed(f"{name}: {error}") from error
        for fold in split.folds:
            parts = [fold.train, fold.validation, fold.test]
            shared = _shared([part.tolist() for part in parts])
            require(not shared, f"{name}, fold {fold.index}: clips in more than one part: {shared}")
            groups = _shared([[clips[i].group for i in part] for part in parts])
            require(
                not (split.grouped and groups),
                f"{name}, fold {fold.index}: groups in more than one part: {groups}",
            )


CLIP_CHECKS: tuple[TaskCheck, ...] = (
    check_resolving_is_repeatable,
    check_task_agrees_with_its_entry,
    check_ids_are_unique_and_no_paths,
    check_clips_are_sorted,
    check_every_clip_has_a_group,
    check_labels_are_complete,
    check_every_clip_decodes,
    check_every_protocol_folds,
)
TASK_CHECKS: tuple[TaskCheck, ...] = (
    check_entry_is_complete,
    check_protocols_are_known,
    check_a_sample_task_stands_in,
    *CLIP_CHECKS,
)


def check_task(module: TaskModule) -> Iterator[CheckResult]:
    """Run every check on a task, yielding one result each; whatever a plugin raises is a problem.

    Where the clips are not on this machine, the checks of them are skipped and say so: what a
    sample twin passes says nothing about the code that reads the real clips.
    """
    subject = TaskSubject(module)
    twin = subject.entry.twin
    for check in TASK_CHECKS:
        try:
            check(subject)
        except DataUnavailable as error:
            instead = f"; its twin is checked by 'voxgrid check {twin}'" if twin else ""
            yield CheckResult(check.__name__, skipped=f"{error}{instead}")
        except CheckFailed as error:
            yield CheckResult(check.__name__, str(error))
        # a plugin may raise anything, even exit, and the other checks have to go on
        except (Exception, SystemExit) as error:  # noqa: BLE001
            yield CheckResult(check.__name__, f"{type(error).__name__}: {error}")
        else:
            yield CheckResult(check.__name__)


def _repeated(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _shared(parts: Iterable[Iterable[object]]) -> str:
    """The first few of what is in more than one part."""
    return shortened(_repeated(str(member) for part in parts for member in set(part)))
