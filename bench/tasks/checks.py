"""The conformance suite every task has to pass, shipped for plugins from elsewhere too.

Run it from a shell with `voxgrid check NAME`, or in a plugin's own tests with `check_task`. Each
check takes a `TaskSubject` and raises `CheckFailed`, an AssertionError whose message is a sentence.
Those that need no sound also stand before every run: `resolve` refuses what they fail.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path

from bench import paths, tasks
from bench.audio.index import ScanResult, scan
from bench.clips import Clip, Task, shortened
from bench.errors import (
    DataUnavailable,
    PluginCrashed,
    UserError,
    VoxgridError,
    crashes_of,
    nearest,
    said,
)
from bench.printable import printable
from bench.protocols import table as protocols
from bench.tasks.entry import TaskModule
from heads.checks import CheckFailed, CheckResult, require


class TaskSubject:
    """A task under test, and its clips on this machine, where known. Nothing is downloaded."""

    def __init__(self, module: TaskModule, task: Task | None = None) -> None:
        self.module = module
        self.entry = module.ENTRY
        self.name = self.entry.name
        if task is not None:
            self.task = task

    @cached_property
    def task(self) -> Task:
        """The clips on this machine; a `DataUnavailable` where there are none."""
        return self.resolve()

    def resolve(self) -> Task:
        """Look for the clips once more."""
        resolve = self.module.resolve
        with crashes_of("resolve raised ", lambda: [resolve.__module__]):
            return resolve(paths.data_root(), paths.cache_dir(), False)

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


def check_protocols_are_known(subject: TaskSubject) -> None:
    """There are protocols, and every one named exists, once."""
    require(subject.entry.protocols, "no protocol is named, so that nothing can be run")
    for protocol in subject.entry.protocols:
        try:
            protocols.find(protocol)
        except UserError as error:
            raise CheckFailed(str(error)) from error
    twice = _repeated(subject.entry.protocols)
    require(not twice, f"protocol {shortened(twice)} is named twice")


def check_a_sample_task_stands_in(subject: TaskSubject) -> None:
    """The twin that runs where there are no clips is a generated task; one's own data has none."""
    twin = subject.entry.twin
    if twin is None:
        return
    require(twin in tasks.names(), f"twin '{twin}' is no task")
    require(
        tasks.find(twin).sample,
        f"twin '{twin}' is not generated: its entry does not say `sample=True`",
    )


def check_resolving_is_repeatable(subject: TaskSubject) -> None:
    """Resolving twice gives the same task, whatever the order of its clips."""
    first, second = subject.task, subject.resolve()
    clips = {clip.id for clip in set(first.clips) ^ set(second.clips)}
    require(not clips, f"{len(clips)} clips differ between two calls: {shortened(sorted(clips))}")
    require(
        replace(first, clips=()) == replace(second, clips=()),
        "two calls of resolve give tasks that differ in other than clips",
    )


def check_task_agrees_with_its_entry(subject: TaskSubject) -> None:
    """What is resolved is a task, whose name and protocols are those announced."""
    task = subject.task
    require(isinstance(task, Task), f"resolve gives a {type(task).__name__} and no Task")
    for clip in task.clips:
        require(isinstance(clip, Clip), f"among the clips is {clip!r}, which is no Clip")
        kind = type(clip.path).__name__
        require(isinstance(clip.path, Path), f"the path of clip '{clip.id}' is a {kind}, no Path")
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
    files = defaultdict(list)
    for clip in subject.task.clips:
        _require_name(f"the id of {clip.path}", clip.id)
        files[clip.id].append(printable(str(clip.path)))
    twice = [name for name, own in files.items() if len(own) > 1]
    first = f"'{twice[0]}' is {' and '.join(files[twice[0]][:3])}" if twice else ""
    require(
        not twice,
        f"{len(twice)} ids name more than one clip: {first}; give each an id of its own, such as "
        "its folder's name and its file's",
    )
    inside = [f"'{name}'" for name in files if "/" in name or "\\" in name]
    require(not inside, f"{len(inside)} ids hold a path, such as {shortened(inside)}")


def check_every_clip_has_a_group(subject: TaskSubject) -> None:
    """No clip is without the speaker or channel that keeps it on one side."""
    for clip in subject.task.clips:
        _require_name(f"the group of clip '{clip.id}'", clip.group)
    _require_unlike("groups", (clip.group for clip in subject.task.clips))


def check_labels_are_the_tasks(subject: TaskSubject) -> None:
    """The labels are distinct, and clips carry no other."""
    task = subject.task
    for label in task.labels:
        _require_name("of the task's labels one", label)
    require(len(task.labels) >= 2, f"there are {len(task.labels)} labels, at least 2 wanted")
    twice = _repeated(task.labels)
    require(not twice, f"label {shortened(twice)} is named twice")
    _require_unlike("labels", task.labels)
    listed = set(task.labels)
    for clip in task.clips:
        if clip.label in listed:
            continue
        _require_name(f"the label of clip '{clip.id}'", clip.label)
        _require_unlike(f"labels of the task and of clip '{clip.id}',", (*task.labels, clip.label))
        raise CheckFailed(
            f"clip '{clip.id}' carries the label '{clip.label}', which the task does not list: "
            f"{nearest(clip.label, task.labels)}"
        )


def check_labels_are_complete(subject: TaskSubject) -> None:
    """Some clip carries each label."""
    counts = Counter(clip.label for clip in subject.task.clips)
    empty = [label for label in subject.task.labels if not counts[label]]
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
    carried = {clip.label for clip in subject.task.clips}
    labels = [label for label in subject.task.labels if label in carried]  # the rest: see above
    for name in subject.task.protocols:
        if name not in protocols.PROTOCOLS:
            continue  # that has its own check
        try:
            split = protocols.make_folds(
                name, clips, [scanned.pcm_sha256 for scanned in usable], labels
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


# What is wrong here is wrong with the task as it is written, and no clip has to be heard for it.
_UNHEARD: tuple[TaskCheck, ...] = (
    check_task_agrees_with_its_entry,
    check_ids_are_unique_and_no_paths,
    check_every_clip_has_a_group,
    check_labels_are_the_tasks,
)
CLIP_CHECKS: tuple[TaskCheck, ...] = (
    check_resolving_is_repeatable,
    *_UNHEARD,
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


def resolve(name: str, *, allow_download: bool) -> Task:
    """Find a task's clips for a run: see `bench.tasks.resolve`.

    Returns:
        The task, its clips sorted by id.

    Raises:
        UserError: besides, where a check fails that needs no sound; names the first clip of those.
    """
    task = tasks.resolve(name, allow_download=allow_download)
    module = tasks.TASKS.get(name)
    subject = TaskSubject(module, task)
    for check in (check_protocols_are_known, *_UNHEARD):
        try:
            with crashes_of(f"what task '{name}' gives ", lambda: [module.resolve.__module__]):
                check(subject)
        except CheckFailed as error:
            raise UserError(f"task '{name}' cannot be run: {said(error)}") from error
    return replace(task, clips=tuple(sorted(task.clips, key=attrgetter("id"))))


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
        except (CheckFailed, PluginCrashed) as error:
            yield CheckResult(check.__name__, printable(str(error)))
        except KeyboardInterrupt:
            raise  # a person's
        # a plugin may raise anything, even exit, and the other checks have to go on
        except BaseException as error:  # noqa: BLE001
            yield CheckResult(check.__name__, f"{type(error).__name__}: {said(error)}")
        else:
            yield CheckResult(check.__name__)


def _require_name(what: str, name: object) -> None:
    kind = type(name).__name__
    require(isinstance(name, str), f"{what} is {name!r}, of type {kind} and no text: make it a str")
    text = str(name)
    require(text.strip(), f"{what} is empty")
    require(
        not re.search("[\ud800-\udfff]", text),
        f"{what} is '{text}', which is no UTF-8, as the name of a file may be: rename it",
    )


def _require_unlike(what: str, names: Iterable[str]) -> None:
    spelt: dict[str, str] = {}
    for name in names:
        other = spelt.setdefault(" ".join(unicodedata.normalize("NFC", name).split()), name)
        require(
            other == name,
            f"the {what} '{other}' and '{name}' differ in nothing but spaces or the code of their "
            "characters: write them alike",
        )


def _repeated(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _shared(parts: Iterable[Iterable[object]]) -> str:
    """The first few of what is in more than one part."""
    return shortened(_repeated(str(member) for part in parts for member in set(part)))
