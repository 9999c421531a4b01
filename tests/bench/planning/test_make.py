"""Which tasks and protocols a plan holds, and what it says of those that it leaves out."""

from __future__ import annotations

import io
import json
import pickle
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from rich.console import Console

from bench.audio import recordings
from bench.config.spec import RunSpec
from bench.errors import UserError
from bench.planning.make import make_plan
from bench.planning.plan import Plan, Ready, ReadyBackbone
from bench.progress import Reporter
from bench.tasks.youtube import manifest
from bench.tasks.youtube.links import CATEGORIES
from bench.tasks.youtube.manifest import Item
from heads.logistic_regression import GRID
from tests.loopback.media import encoded, tone


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VOXGRID_CACHE", str(cache))
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("VOXGRID_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("VOXGRID_OFFLINE", "1")
    return tmp_path / "data"


def plan(tmp_path: Path, *tasks: str, protocols: tuple[str, ...] = ()) -> Plan:
    spec = RunSpec(
        tasks=tasks,
        protocols=protocols,
        backbones=("logmel",),
        poolings=("mean",),
        heads=("logistic_regression",),
        results=tmp_path / "results",
        download=False,
    )
    reporter = Reporter(Console(file=io.StringIO()))
    return make_plan(spec, reporter, download=False)


def fetch(folder: Path, id: str, category: str, content: bytes, channel: str) -> Item:
    told = {"left": id, "row": 2, "id": id, "title": f"about {id}", "asked_seconds": 60.0}
    item = Item(**told, category=category, channel=channel, status="ok")
    target = item.target(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return Item(**{**item.__dict__, "file": target.name, "sha256": "0" * 64})


def wav(seed: int, seconds: float = 0.5) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(seconds, seed), 16_000, format="WAV")
    return buffer.getvalue()


def youtube(folder: Path, per_category: int) -> list[Item]:
    return [
        fetch(
            folder, f"{category[:4]}{number:07d}", category, wav(7 * index + number), f"c{number}"
        )
        for index, category in enumerate(CATEGORIES)
        for number in range(per_category)
    ]


def test_every_cell_of_a_plan_is_a_type_that_says_what_to_do(tmp_path: Path) -> None:
    (task,) = plan(tmp_path, "ravdess").tasks
    (row,) = task.backbones
    assert isinstance(row.backbone, ReadyBackbone)
    # of logistic regression, every C on the one layer
    wanted = {"logistic_regression": len(GRID)}
    assert [c.job.trials for c in row.ready] == [wanted.get(c.cell.head, 3) for c in row.cells]
    assert all(cell.job.inner for cell in row.ready)
    job = row.ready[0].job
    assert pickle.loads(pickle.dumps(job)).name == job.name
    assert str(tmp_path) not in json.dumps([job.name, str(job.cell)])


@pytest.mark.parametrize(
    ("field", "typo", "meant"),
    [
        ("backbones", "quarznet", "quartznet"),
        ("heads", "logistic_regresion", "logistic_regression"),
        ("poolings", "mean_sdt", "mean_std"),
        ("protocols", "speaker6fold", "speaker-6fold"),
        ("tasks", "ravdes", "ravdess"),
    ],
)
def test_a_typo_is_answered_with_what_was_meant(field: str, typo: str, meant: str) -> None:
    reporter = Reporter(Console(file=io.StringIO()))
    with pytest.raises(UserError, match=f"did you mean '{meant}'"):
        make_plan(RunSpec.model_validate({field: (typo,)}), reporter, download=False)


def names(made: Plan) -> list[str]:
    return [task.folded.task.name for task in made.tasks]


def test_without_data_each_task_is_its_twin(tmp_path: Path) -> None:
    assert names(plan(tmp_path, "ravdess", "youtube")) == ["sample-emotion", "sample-topic"]


def test_repeated_splits_run_where_they_are_named_and_not_by_default(tmp_path: Path) -> None:
    (task,) = plan(tmp_path, "sample-emotion").tasks
    assert task.folded.protocols == ("speaker-3fold", "random-80-20")
    (task,) = plan(tmp_path, "sample-emotion", protocols=("random-10x80-20",)).tasks
    assert task.folded.protocols == ("random-10x80-20",)
    (row,) = task.backbones
    assert [len(cell.job.folds) for cell in row.cells if isinstance(cell, Ready)] == [10]


def test_a_protocol_that_only_one_task_has_runs_that_task_and_names_the_other(
    tmp_path: Path,
) -> None:
    made = plan(tmp_path, "ravdess", "youtube", protocols=("channel-5fold",))
    assert names(made) == ["sample-topic"]
    assert any(
        note.startswith("left out: task 'ravdess' has no protocol channel-5fold")
        for note in made.notes
    )


def test_a_protocol_that_no_task_has_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="task 'ravdess' has no protocol channel-5fold; it has"):
        plan(tmp_path, "ravdess", protocols=("channel-5fold",))


def test_a_protocol_that_the_twin_lacks_is_said_to_be_left_out(tmp_path: Path) -> None:
    made = plan(tmp_path, "youtube", protocols=("balanced-109", "channel-5fold"))
    assert list(made.tasks[0].folded.splits) == ["channel-5fold"]
    assert "left out: no task of this run has the protocol 'balanced-109'" in made.notes


def test_a_task_that_cannot_be_folded_does_not_stop_the_others(tmp_path: Path, alone: Path) -> None:
    manifest.write(alone / "youtube", youtube(alone / "youtube", 1))
    made = plan(tmp_path, "youtube", "ravdess")
    assert names(made) == ["sample-emotion"]
    (note,) = (note for note in made.notes if note.startswith("left out: task 'youtube'"))
    assert "class 'travel' has 1 usable clips" in note
    assert "4 of the 4 videos of the table have sound here" in note


def test_one_task_alone_that_cannot_be_folded_is_a_mistake(tmp_path: Path, alone: Path) -> None:
    manifest.write(alone / "youtube", youtube(alone / "youtube", 1))
    with pytest.raises(UserError, match=r"task 'youtube' .* class 'travel' has 1 usable clips"):
        plan(tmp_path, "youtube")


def test_what_there_is_to_know_of_files_that_are_used_is_counted(
    tmp_path: Path, alone: Path
) -> None:
    folder = alone / "youtube"
    items = youtube(folder, 9)
    for item in items[:3]:
        path = item.target(folder)
        data = path.read_bytes()
        at = data.index(b"data") + 4
        path.write_bytes(data[:at] + bytes(4) + data[at + 4 :])
    manifest.write(folder, items)
    made = plan(tmp_path, "youtube", protocols=("channel-5fold",))
    named = ", ".join(item.id for item in items[:3])
    said = f"3 clips: the header gives a length of 0; all that follows it is read ({named})"
    assert said in made.notes
    assert said in made.tasks[0].folded.notes


def test_the_same_sound_in_another_codec_is_one_recording_on_one_side(
    tmp_path: Path, alone: Path
) -> None:
    folder = alone / "youtube"
    sound = np.concatenate([0.5 * tone(0.4, seed) for seed in range(15)])  # 6 s of change
    items = youtube(folder, 9)
    items += [
        fetch(folder, "copy0000wav", "food", encoded("wav", samples=sound), "one channel"),
        fetch(folder, "copy000opus", "food", encoded("webm", samples=0.6 * sound), "another"),
    ]
    manifest.write(folder, items)
    made = plan(tmp_path, "youtube", protocols=("channel-5fold", "random-75-25", "balanced-109"))
    (task,) = made.tasks
    said = (
        "2 clips share sound with others; of these 1 recording each copy is on the same side of "
        "every fold: copy0000wav = copy000opus"
    )
    assert said in made.notes
    ids = [clip.clip.id for clip in task.folded.clips]
    copies = {ids.index("copy0000wav"), ids.index("copy000opus")}
    for split in task.folded.splits.values():
        for fold in split.folds:
            assert len(copies & set(fold.test.tolist())) in (0, 2)
            assert len(copies & set(fold.validation.tolist())) in (0, 2)
    assert "balanced-109" in task.folded.unfit
    # a second plan remembers the fingerprints and says the same
    assert said in plan(tmp_path, "youtube", protocols=("channel-5fold",)).notes


def test_a_file_that_changes_between_scan_and_comparison_is_noticed(
    tmp_path: Path, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = alone / "youtube"
    items = youtube(folder, 5)
    items[0].target(folder).write_bytes(wav(4242))  # no earlier test has had its fingerprint taken
    manifest.write(folder, items)
    by_ear = recordings.by_ear

    def while_something_writes(*arguments: Any) -> Any:
        items[0].target(folder).write_bytes(wav(1000, seconds=0.7))
        return by_ear(*arguments)

    monkeypatch.setattr(recordings, "by_ear", while_something_writes)
    with pytest.raises(UserError, match=r"\.mka changed since it was scanned"):
        plan(tmp_path, "youtube")


@pytest.mark.parametrize("backbone", ["hf:someone/something", "wav2vec2"])
def test_a_plan_opens_no_connection_though_downloads_are_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: str
) -> None:
    monkeypatch.delenv("VOXGRID_OFFLINE")
    monkeypatch.setenv("VOXGRID_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    asked: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: asked.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: asked.append(address) or [])
    spec = RunSpec(tasks=("ravdess",), backbones=(backbone,), results=tmp_path / "results")
    reporter = Reporter(Console(file=io.StringIO()))
    if backbone == "wav2vec2":
        make_plan(spec, reporter, download=False)
    else:
        with pytest.raises(UserError, match="hf:someone/something"):
            make_plan(spec, reporter, download=False)
    assert asked == []
