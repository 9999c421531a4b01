"""The conformance suite for tasks passes what is right and catches what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from bench import tasks
from bench.clips import Clip, Task
from bench.errors import DataUnavailable
from bench.protocols import table as protocols
from bench.tasks.checks import CLIP_CHECKS, TASK_CHECKS, check_task
from bench.tasks.entry import Entry

LABELS = ("hum", "hiss")
NAME = "tiny"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    """Two labels × six groups × four takes of a tenth of a second."""
    folder = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    made = []
    for label in LABELS:
        for group in range(6):
            for take in range(4):
                path = folder / f"{label}-{group}-{take}.wav"
                soundfile.write(path, 0.1 * rng.standard_normal(1600), 16_000)
                made.append(Clip(path.stem, path, label, f"g{group}"))
    return tuple(sorted(made, key=lambda clip: clip.id))


@pytest.fixture(autouse=True)
def _own_cache(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGRID_CACHE", str(session_cache))


class Boom(Exception):
    """An error of a plugin's own."""


Change = Callable[[Task], Task]


@dataclass
class Broken:
    """What is wrong with a task, and which check says so."""

    check: str
    task: Change = lambda task: task
    entry: dict[str, Any] = field(default_factory=dict)
    name: str = NAME
    later: Change | None = None


def clips_changed(change: Callable[[int, Clip], Clip]) -> Change:
    def changed(task: Task) -> Task:
        return replace(task, clips=tuple(change(i, clip) for i, clip in enumerate(task.clips)))

    return changed


def first_eight(**fields: str) -> Change:
    return clips_changed(lambda i, clip: replace(clip, **fields) if i < 8 else clip)


def with_garbage(task: Task) -> Task:
    path = task.clips[0].path.with_name("garbage.wav")
    path.write_bytes(b"RIFF no sound in here")
    return replace(task, clips=(replace(task.clips[0], path=path), *task.clips[1:]))


def shuffled(task: Task) -> Task:
    return replace(task, clips=(*task.clips[7:], *task.clips[:7]))


def two_groups(task: Task) -> Task:
    return clips_changed(lambda i, clip: replace(clip, group=f"g{int(clip.group[1]) % 2}"))(task)


# each breaks the check of this name, and no other
BROKEN = {
    "no summary": Broken("check_entry_is_complete", entry={"summary": " "}),
    "a name with a capital": Broken("check_entry_is_complete", name="Tiny"),
    "unknown protocol": Broken(
        "check_protocols_are_known",
        lambda task: replace(task, protocols=("speaker-3fold", "speaker-99fold")),
        {"protocols": ("speaker-3fold", "speaker-99fold")},
    ),
    "a twin that is not there": Broken("check_a_sample_task_stands_in", entry={"twin": "zzz"}),
    "a twin of real clips": Broken("check_a_sample_task_stands_in", entry={"twin": "ravdess"}),
    "another answer each time": Broken(
        "check_resolving_is_repeatable", later=lambda task: replace(task, clips=task.clips[1:])
    ),
    "another name": Broken(
        "check_task_agrees_with_its_entry", lambda task: replace(task, name="other")
    ),
    "generated but named as if real": Broken(
        "check_task_agrees_with_its_entry", lambda task: replace(task, sample=True)
    ),
    "one id twice": Broken(
        "check_ids_are_unique_and_no_paths",
        clips_changed(lambda i, clip: replace(clip, id="hiss-0-0") if i == 1 else clip),
    ),
    "ids that are paths": Broken(
        "check_ids_are_unique_and_no_paths",
        clips_changed(lambda i, clip: replace(clip, id=f"data/{clip.id}")),
    ),
    "clips without a group": Broken("check_every_clip_has_a_group", first_eight(group="")),
    "groups that are numbers": Broken(
        "check_every_clip_has_a_group",
        clips_changed(lambda i, clip: replace(clip, group=int(clip.group[1:]))),
    ),
    "a label that is not listed": Broken("check_labels_are_the_tasks", first_eight(label="hum2")),
    "labels that are numbers": Broken(
        "check_labels_are_the_tasks",
        lambda task: clips_changed(lambda i, clip: replace(clip, label=len(clip.label)))(
            replace(task, labels=(3, 4))
        ),
    ),
    "a label listed twice": Broken(
        "check_labels_are_the_tasks", lambda task: replace(task, labels=(*LABELS, "hum"))
    ),
    "a label of no clip": Broken(
        "check_labels_are_complete", lambda task: replace(task, labels=(*LABELS, "buzz"))
    ),
    "a file that is no sound": Broken("check_every_clip_decodes", with_garbage),
    "too few groups to fold": Broken("check_every_protocol_folds", two_groups),
}


@pytest.fixture
def make(clips: tuple[Clip, ...]) -> Callable[[Broken], ModuleType]:
    """Make a task of this session out of what is wrong with it."""

    def made(broken: Broken) -> ModuleType:
        calls: list[None] = []
        right = Task(NAME, LABELS, clips, ("speaker-3fold", "random-80-20"))

        def resolve(data_root: Path | None, cache: Path, allow_download: bool) -> Task:
            calls.append(None)
            task = broken.task(replace(right, name=broken.name))
            return broken.later(task) if broken.later and len(calls) > 1 else task

        entry = Entry(broken.name, right.protocols, "hum or hiss", "voice", "sample-emotion")
        module = ModuleType("task_of_this_test")
        module.ENTRY = replace(entry, **broken.entry)
        module.resolve = resolve
        return module

    return made


def problems(task: ModuleType) -> dict[str, str]:
    return {result.name: result.problem for result in check_task(task) if result.problem}


def test_a_correct_task_passes_every_check(make: Callable[[Broken], ModuleType]) -> None:
    results = list(check_task(make(Broken("none"))))
    assert [result.name for result in results] == [check.__name__ for check in TASK_CHECKS]
    assert [result for result in results if result.problem or result.skipped] == []


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_task_fails_its_check_and_no_other(
    what: str, make: Callable[[Broken], ModuleType]
) -> None:
    found = problems(make(BROKEN[what]))
    assert list(found) == [BROKEN[what].check], found


def test_the_twin_is_a_choice_and_so_is_the_order_of_the_clips(
    make: Callable[[Broken], ModuleType],
) -> None:
    own = Broken(
        "none", lambda task: replace(task, clips=task.clips[::-1]), {"twin": None}, later=shuffled
    )
    assert problems(make(own)) == {}


def test_both_files_of_an_id_are_named(make: Callable[[Broken], ModuleType]) -> None:
    said = problems(make(BROKEN["one id twice"]))["check_ids_are_unique_and_no_paths"]
    assert "'hiss-0-0' is " in said
    assert "hiss-0-0.wav and " in said
    assert "hiss-0-1.wav" in said


def test_every_check_can_fail() -> None:
    assert {broken.check for broken in BROKEN.values()} == {c.__name__ for c in TASK_CHECKS}


def test_a_grouped_protocol_that_leaks_is_caught(
    make: Callable[[Broken], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    leaky = replace(protocols.PROTOCOLS["random-80-20"], name="leaky", grouped=True)
    monkeypatch.setitem(protocols.PROTOCOLS, "leaky", leaky)
    broken = Broken(
        "check_every_protocol_folds",
        lambda task: replace(task, protocols=("leaky",)),
        {"protocols": ("leaky",)},
    )
    found = problems(make(broken))
    assert list(found) == ["check_every_protocol_folds"]
    assert "leaky: group g" in found["check_every_protocol_folds"]


def test_a_leak_is_caught_even_where_the_harness_does_not_look(
    make: Callable[[Broken], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocols, "verify", lambda *arguments: None)
    leaky = replace(protocols.PROTOCOLS["random-80-20"], name="leaky", grouped=True)
    monkeypatch.setitem(protocols.PROTOCOLS, "leaky", leaky)
    name = make(Broken("", lambda t: replace(t, protocols=("leaky",)), {"protocols": ("leaky",)}))
    assert "groups in more than one part: g0" in problems(name)["check_every_protocol_folds"]


def test_without_clips_what_needs_them_is_skipped_with_the_way_to_get_them(
    make: Callable[[Broken], ModuleType],
) -> None:
    def missing(task: Task) -> Task:
        raise DataUnavailable("tiny is not on this machine: make it")

    results = {r.name: r for r in check_task(make(Broken("", missing)))}
    assert all(results[check.__name__].passed for check in TASK_CHECKS[:3])
    for check in CLIP_CHECKS:
        assert results[check.__name__].skipped == (
            "tiny is not on this machine: make it; its twin is checked by "
            "'voxgrid check sample-emotion'"
        )


def test_a_crash_is_a_problem_and_the_other_checks_go_on(
    make: Callable[[Broken], ModuleType],
) -> None:
    def crash(task: Task) -> Task:
        raise KeyError("clips")

    found = problems(make(Broken("", crash)))
    assert re.fullmatch(
        rf"resolve raised KeyError: 'clips' \({re.escape(__file__)}, line \d+\)",
        found["check_labels_are_complete"],
    )
    assert "check_entry_is_complete" not in found


@pytest.mark.parametrize("error", [Boom("no driver"), SystemExit("no driver"), AssertionError("x")])
def test_an_error_of_any_type_is_a_problem_named_by_its_type(
    error: BaseException, make: Callable[[Broken], ModuleType]
) -> None:
    def crash(task: Task) -> Task:
        raise error

    found = problems(make(Broken("", crash)))
    said = f"resolve raised {type(error).__name__}: {error} ({__file__}, line "
    assert found["check_labels_are_complete"].startswith(said)


@pytest.mark.parametrize("name", tasks.names())
def test_every_task_passes_or_says_what_it_lacks(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VOXGRID_DATA", str(tmp_path))
    results = list(check_task(tasks.TASKS.get(name)))
    assert [result for result in results if result.problem] == []
    skipped = {result.name for result in results if result.skipped}
    generated = tasks.find(name).sample
    assert skipped == (set() if generated else {check.__name__ for check in CLIP_CHECKS})
