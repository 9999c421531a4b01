"""What a task can be wrong about is said before the first second of extraction, or does no harm."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench.clips import Clip, Exclusion, Task
from bench.config.spec import RunSpec
from bench.errors import UserError
from bench.planning.make import make_plan
from bench.planning.plan import Plan
from bench.printable import printable
from bench.progress import Reporter
from bench.records import store as records
from bench.tasks import TASKS
from bench.tasks.entry import Entry
from tests.conftest import Voxgrid

LABELS = ("hum", "hiss")
PROTOCOLS = ("speaker-3fold", "random-80-20")
ASKED = ("--task", "tiny", "--backbone", "logmel", "--pooling", "mean")
ASKED += ("--head", "logistic_regression", "--trials", "1")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    """Two labels × five groups × four takes of 0.15 s; groups differ in size after the first."""
    folder = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    made = []
    for label in LABELS:
        for group in range(5):
            for take in range(3 + group % 2):
                path = folder / f"{label}-{group}-{take}.wav"
                soundfile.write(path, 0.1 * rng.standard_normal(2400), 16_000)
                made.append(Clip(path.stem, path, label, f"g{group}"))
    return tuple(sorted(made, key=lambda clip: clip.id))


@pytest.fixture
def right(clips: tuple[Clip, ...]) -> Task:
    return Task("tiny", LABELS, clips, PROTOCOLS)


Given = Callable[[Any], None]


@pytest.fixture
def given_task(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Given]:
    """A task plugin `tiny`; call it with what its `resolve` returns, or calls."""
    module, returned = ModuleType("tiny_task"), [None]
    module.ENTRY = Entry("tiny", PROTOCOLS, "hum or hiss", "voice")  # type: ignore[attr-defined]

    def resolve(*_: object) -> Any:
        return returned[0]() if callable(returned[0]) else returned[0]

    module.resolve = resolve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tiny_task", module)
    monkeypatch.setenv("VOXGRID_CACHE", str(session_cache))
    with TASKS.including(EntryPoint("tiny", "tiny_task", TASKS.group)):
        yield lambda task: returned.__setitem__(0, task)


def plan(results: Path, **more: object) -> Plan:
    spec = RunSpec(
        tasks=("tiny",),
        backbones=("logmel",),
        poolings=("mean",),
        heads=("logistic_regression",),
        results=results,
        download=False,
    )
    reporter = Reporter(Console(file=io.StringIO()))
    return make_plan(spec.altered(**more), reporter, download=False)


def folds(made: Plan) -> dict[str, list[list[list[str]]]]:
    """Ids of the clips of every part of every fold, by protocol."""
    (task,) = made.tasks
    ids = [clip.clip.id for clip in task.folded.clips]
    return {
        name: [
            [sorted(ids[i] for i in part) for part in (fold.train, fold.validation, fold.test)]
            for fold in split.folds
        ]
        for name, split in task.folded.splits.items()
    }


def first(task: Task, **fields: object) -> Task:
    """The task with another first clip."""
    return replace(task, clips=(replace(task.clips[0], **fields), *task.clips[1:]))


WRONG: dict[str, tuple[Callable[[Task], Any], str]] = {
    "no task": (lambda task: [1], "resolve gives a list and no Task"),
    "no clips": (lambda task: replace(task, clips=()), "it names none at all"),
    "a clip that is a pair": (
        lambda task: replace(task, clips=(*task.clips, ("a", "b"))),
        "among the clips is ('a', 'b')",
    ),
    "a path that is text": (
        lambda task: first(task, path=str(task.clips[0].path)),
        "the path of clip 'hiss-0-0' is a str",
    ),
    "one label": (lambda task: replace(task, labels=("hum",)), "there are 1 labels"),
    "an integer id": (lambda task: first(task, id=7), "hiss-0-0.wav is 7, of type int"),
    "an integer label": (lambda task: first(task, label=7), "clip 'hiss-0-0' is 7, of type int"),
    "integer labels": (
        lambda task: replace(
            task,
            labels=(0, 1),
            clips=tuple(replace(c, label=LABELS.index(c.label)) for c in task.clips),
        ),
        "of the task's labels one is 0, of type int",
    ),
    "an integer group": (lambda task: first(task, group=7), "clip 'hiss-0-0' is 7, of type int"),
    "no group": (lambda task: first(task, group=" "), "the group of clip 'hiss-0-0' is empty"),
    "no label": (lambda task: first(task, label=""), "the label of clip 'hiss-0-0' is empty"),
    "another label": (
        lambda task: first(task, label="hims"),
        "clip 'hiss-0-0' carries the label 'hims', which the task does not list: did you mean",
    ),
    "a trailing space": (
        lambda task: first(task, label="hiss "),
        "the labels of the task and of clip 'hiss-0-0', 'hiss' and 'hiss ' differ in nothing but",
    ),
    "another unicode form": (
        lambda task: replace(
            first(task, label="e\u0301te\u0301"), labels=("hum", "hiss", "\u00e9t\u00e9")
        ),
        "of clip 'hiss-0-0', '\u00e9t\u00e9' and 'e\u0301te\u0301' differ in nothing but",
    ),
    "a label listed twice": (lambda task: replace(task, labels=(*LABELS, "hum")), "hum is named"),
    "labels that look alike": (
        lambda task: replace(task, labels=(*LABELS, "hum ")),
        "'hum' and 'hum ' differ in nothing but",
    ),
    "groups that look alike": (
        lambda task: first(task, group="g1 "),
        "the groups 'g1 ' and 'g1' differ in nothing but",
    ),
    "an id that is no UTF-8": (
        lambda task: first(task, id=os.fsdecode(b"caf\xe9")),
        r"is 'caf\udce9', which is no UTF-8",
    ),
    "another name": (lambda task: replace(task, name="teeny"), "a task called 'teeny'"),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_wrong_task_is_refused_in_one_sentence_before_anything_runs(
    what: str, command: str, right: Task, given_task: Given, voxgrid: Voxgrid, tmp_path: Path
) -> None:
    change, said = WRONG[what]
    given_task(change(right))
    done = voxgrid(command, *ASKED)
    assert done.returncode == 2, done
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list((tmp_path / "results").rglob("*.json")) == []


@pytest.mark.parametrize("error", [KeyError("speaker"), SystemExit("no"), OSError(5, "a disk")])
@pytest.mark.parametrize("command", ["plan", "run"])
def test_what_a_task_raises_is_one_sentence_with_its_file_and_line(
    command: str, error: BaseException, right: Task, given_task: Given, voxgrid: Voxgrid
) -> None:
    def crash() -> Task:
        raise error

    given_task(crash)
    done = voxgrid(command, *ASKED)
    assert done.returncode == 2
    line = crash.__code__.co_firstlineno + 1
    assert done.stderr.startswith(f"voxgrid: resolve of task 'tiny' raised {type(error).__name__}")
    assert done.stderr.endswith(f"{error} ({__file__}, line {line})\n")


def test_two_clips_of_one_id_are_refused_and_both_files_named(
    right: Task, given_task: Given, voxgrid: Voxgrid
) -> None:
    one, other = right.clips[0], right.clips[9]
    given_task(first(right, id=other.id))
    done = voxgrid("run", *ASKED)
    assert done.returncode == 2
    assert f"'{other.id}' is {one.path} and {other.path}" in done.stderr


def test_the_order_of_clips_changes_nothing(
    right: Task, given_task: Given, voxgrid: Voxgrid, tmp_path: Path
) -> None:
    given_task(right)
    before = folds(plan(tmp_path))
    assert voxgrid("run", *ASKED).returncode == 0
    given_task(replace(right, clips=right.clips[::-1]))
    assert folds(plan(tmp_path)) == before
    again = voxgrid("run", *ASKED)
    assert "0 cells ran, 2 were done" in again.stderr, again.stderr


TEXT = st.text(st.characters(exclude_categories=()), max_size=6)  # lone surrogates, too
VALUES = st.one_of(TEXT, st.sampled_from(["hum ", "HISS", "g1", " g1", "hum-0-1"]), st.integers())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_task_is_folded_whatever_its_order_or_refused_with_its_clip_named(
    data: st.DataObject, right: Task, given_task: Given, tmp_path: Path
) -> None:
    number = data.draw(st.integers(0, len(right.clips) - 1), "which clip")
    old = right.clips[number]
    field = data.draw(st.sampled_from(["id", "label", "group"]), "what of it")
    new = replace(old, **{field: data.draw(VALUES, "is what")})
    clips = [*right.clips[:number], new, *right.clips[number + 1 :]]
    given_task(replace(right, clips=tuple(clips)))
    refused = ""
    try:
        made = folds(plan(tmp_path))
    except UserError as error:
        refused = str(error)
    if refused:
        # by its id or its file, or by what of it is wrong
        shared = printable(f"'{getattr(new, field)}'")
        assert any(each in refused for each in (old.id, str(old.path), shared))
        return
    given_task(replace(right, clips=tuple(data.draw(st.permutations(clips), "order"))))
    assert folds(plan(tmp_path)) == made
    for name, every in made.items():
        group = {clip.id: clip.group for clip in clips}
        for parts in every:
            assert sum(map(len, parts)) == len(clips)
            if name == "speaker-3fold":
                assert sum(len({group[i] for i in part}) for part in parts) == len(
                    {clip.group for clip in clips}
                )


def silent(task: Task, folder: Path, *numbers: int) -> Task:
    """The task with some clips that cannot be used."""
    path = folder / "silent.wav"
    soundfile.write(path, np.zeros(4800), 16_000)
    return replace(
        task,
        clips=tuple(replace(c, path=path) if i in numbers else c for i, c in enumerate(task.clips)),
    )


@pytest.mark.parametrize("command", ["plan", "run"])
def test_clips_left_out_are_counted_and_the_first_named_with_where_the_rest_is(
    command: str, right: Task, given_task: Given, voxgrid: Voxgrid, tmp_path: Path
) -> None:
    files = (Exclusion("z.txt", "is no sound"), Exclusion(os.fsdecode(b"caf\xe9.wav"), "is odd"))
    given_task(replace(silent(right, tmp_path, 0, 5), excluded=files))
    done = voxgrid(command, *ASKED)
    assert done.returncode == 0, done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert r"note: 4 clips of tiny left out: caf\udce9.wav: is odd; hiss-0-0: is silent" in said
    assert "and 1 more, all under 'excluded' in each record below results/tiny" in said
    for record in records.read_all(tmp_path / "results"):
        assert [e.clip for e in record.excluded] == [
            r"caf\udce9.wav", "hiss-0-0", "hiss-1-2", "z.txt"
        ]  # fmt: skip


@pytest.mark.parametrize("command", ["plan", "run"])
def test_strict_allows_no_clip_to_be_left_out_and_tells_all(
    command: str, right: Task, given_task: Given, voxgrid: Voxgrid, tmp_path: Path
) -> None:
    given_task(right)
    assert voxgrid("plan", *ASKED, "--strict").returncode == 0
    given_task(silent(right, tmp_path, 0, 5, 6, 7, 12))
    done = voxgrid(command, *ASKED, "--strict")
    assert done.returncode == 2
    assert "5 clips of tiny left out, and --strict allows none: hiss-0-0: is" in done.stderr
    assert all(right.clips[i].id in done.stderr for i in (5, 6, 7, 12))
    assert list((tmp_path / "results").rglob("*.json")) == []


def test_a_class_that_vanishes_with_its_last_clip_says_why_that_went(
    right: Task, given_task: Given, tmp_path: Path
) -> None:
    hums = [i for i, clip in enumerate(right.clips) if clip.label == "hum"]
    given_task(silent(right, tmp_path, *hums))
    said = r"class 'hum' has 0 usable clips \(17 left out, the last hum-4-2: is silent"
    with pytest.raises(UserError, match=said):
        plan(tmp_path)


def test_a_class_that_the_task_itself_left_out_says_what_of_it_is_known(
    right: Task, given_task: Given, tmp_path: Path
) -> None:
    hisses = tuple(clip for clip in right.clips if clip.label == "hiss")
    odd = Exclusion("hum.mp3", "is no WAV")
    given_task(replace(right, clips=hisses, excluded=(odd,)))
    said = r"class 'hum' has 0 usable clips \(1 left out, the last hum.mp3: is no WAV\)"
    with pytest.raises(UserError, match=said):
        plan(tmp_path)


def test_a_file_whose_name_is_no_utf_8_is_used_where_its_id_is_text(
    right: Task, given_task: Given, voxgrid: Voxgrid, tmp_path: Path
) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    sound = io.BytesIO()
    soundfile.write(
        sound, np.random.default_rng(99).standard_normal(2400) * 0.1, 16_000, format="WAV"
    )
    path.write_bytes(sound.getvalue())
    given_task(first(right, path=path))
    done = voxgrid("run", *ASKED)
    assert done.returncode == 0, done.stderr
    assert {r.status for r in records.read_all(tmp_path / "results")} == {"ok"}
    assert all(record.excluded == [] for record in records.read_all(tmp_path / "results"))
