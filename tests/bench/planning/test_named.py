"""What an option names runs, or the command ends with code 2 before anything has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.tasks.ravdess.make_ravdess import ravdess_like
from tests.conftest import Voxgrid

SAMPLE = ("--task", "sample-emotion")
LOGMEL = ("--backbone", "logmel")
CELL = (*LOGMEL, "--pooling", "mean", "--head", "logistic_regression")


def refused(voxgrid: Voxgrid, folder: Path, *arguments: str, **more: str) -> str:
    """The one sentence that ends `run`, with nothing run or replaced; `plan` ends like it."""
    for command in ("plan", "run"):
        done = voxgrid(command, *arguments, **more)
        assert done.returncode == 2, done.stdout + done.stderr
        assert not done.stdout
    assert not list(folder.glob("results/*/*/*.json"))
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            (*SAMPLE, *CELL, "--protocol", "speaker-6fold"),
            "task 'sample-emotion' has no protocol speaker-6fold; it has: speaker-3fold",
        ),
        (
            (*SAMPLE, *CELL, "--protocol", "speaker-3fold", "--protocol", "channel-5fold"),
            "protocol 'channel-5fold' cannot run: no task of this run has it; sample-emotion has "
            "speaker-3fold",
        ),
        # the twin, which nobody named, lacks the protocol that was
        ((*CELL, "--protocol", "speaker-6fold"), "'sample-emotion' has no protocol speaker-6fold"),
        (
            ("--task", "ravdess", *CELL),
            "the folder ravdess of VOXGRID_DATA; to see on generated clips that everything works, "
            "ask for --task sample-emotion",
        ),
        (("--task", "youtube", *SAMPLE, *CELL), "no sound of the YouTube videos is on this"),
        (("--preset", "w2v2-gb-ravdess"), "to see on generated clips that"),
        (
            (*SAMPLE, *LOGMEL, "--backbone", "whisper-base", "--dtype", "bfloat16"),
            "backbone 'whisper-base' cannot run: its vectors in bfloat16 are too far from those",
        ),
        (
            (*SAMPLE, *LOGMEL, "--backbone", "quartznet", "--control", "random-init"),
            "backbone 'logmel' cannot run: a control has random weights in place of its own",
        ),
        (
            (*SAMPLE, *LOGMEL, "--head", "mlp", "--head", "fine_tune"),
            "head 'fine_tune' cannot run: fine_tune trains the backbone, and logmel has no part",
        ),
        (
            (*SAMPLE, *LOGMEL, "--head", "gradient_boosting", "--pooling", "attention"),
            "pooling 'attention' cannot run: attention pooling is learnt together with the head",
        ),
        ((*SAMPLE, *CELL, "--frames-gb", "inf"), "--frames-gb is inf, and must be a finite number"),
        (
            (*SAMPLE, *CELL, "--device", "cuda:99"),
            "device 'cuda:99' is not on this machine, where torch finds ",
        ),
        ((*SAMPLE, *CELL, "--device", "gpu"), "--device: there is no device 'gpu'; write cpu"),
        (("--task", "RAVDESS"), "unknown task 'RAVDESS': did you mean 'ravdess'?"),
    ],
)
def test_what_is_named_and_cannot_run_is_refused(
    arguments: tuple[str, ...], words: str, voxgrid: Voxgrid, tmp_path: Path
) -> None:
    assert words in refused(voxgrid, tmp_path, *arguments)


@pytest.mark.parametrize("kind", ["DATA", "WEIGHTS"])
@pytest.mark.parametrize("task", [(), ("--task", "ravdess")])
def test_a_folder_that_does_not_exist_is_called_so(
    kind: str, task: tuple[str, ...], voxgrid: Voxgrid, session_cache: Path, tmp_path: Path
) -> None:
    ravdess_like(tmp_path / "data" / "ravdess", session_cache)
    there = {"VOXGRID_DATA": str(tmp_path / "data"), f"VOXGRID_{kind}": "/typo"}
    said = refused(voxgrid, tmp_path, *task, *CELL, **there)
    assert f"VOXGRID_{kind} names the folder /typo, which does not exist" in said


def test_a_named_protocol_that_cannot_fold_the_clips_is_refused(
    voxgrid: Voxgrid, session_cache: Path, tmp_path: Path
) -> None:
    for clip, path in ravdess_like(tmp_path / "data" / "ravdess", session_cache).items():
        if clip.split("-")[2] == "05" and int(clip[-2:]) > 6:
            path.unlink()
    both = ("--task", "ravdess", "--protocol", "speaker-6fold", "--protocol", "random-80-20")
    said = refused(voxgrid, tmp_path, *both, *CELL, VOXGRID_DATA=str(tmp_path / "data"))
    assert "protocol 'random-80-20' cannot run: class 'angry' has 6 usable clips" in said


def test_a_plan_leaves_open_what_a_run_may_download(
    voxgrid: Voxgrid, session_cache: Path, tmp_path: Path
) -> None:
    ravdess_like(tmp_path / "data" / "ravdess", session_cache)
    one = ("plan", "--task", "ravdess", "--backbone", "wav2vec2")
    online = {"VOXGRID_DATA": str(tmp_path / "data"), "VOXGRID_OFFLINE": ""}
    done = voxgrid(*one, **online)
    assert done.returncode == 0, done.stderr
    assert "first tries to download the weights of wav2vec2" in done.stdout
    assert voxgrid(*one, "--offline", **online).returncode == 2
    missing = voxgrid(*one, VOXGRID_OFFLINE="")
    assert missing.returncode == 2
    assert "`voxgrid run` first tries to get RAVDESS speech from Zenodo" in missing.stderr


def test_what_is_not_named_has_its_twin_and_offline_nothing_is_tried(
    voxgrid: Voxgrid, tmp_path: Path
) -> None:
    (tmp_path / "grid.toml").write_text("tasks = ['ravdess']\nprotocols = ['speaker-6fold']\n")
    done = voxgrid("run", *CELL, "--trials", "1")
    assert done.returncode == 0, done.stderr
    assert "the generated sample task 'sample-emotion' runs in its place" in done.stderr
    assert "tries" not in done.stderr
    assert "trying" not in done.stderr


def test_what_is_named_twice_runs_once(voxgrid: Voxgrid) -> None:
    twice = ("--protocol", "speaker-3fold", *CELL) * 2
    done = voxgrid("plan", *SAMPLE, *SAMPLE, *twice)
    assert "speaker-3fold (3 folds); 3 trials" in done.stdout
    assert done.stdout.count("logmel  ") == 1
    assert "1 cell to tune" in done.stdout
    joined = voxgrid("plan", *SAMPLE, *twice, "--backbone", "logmel,quartznet")
    assert "2 cells to tune" in joined.stdout


def test_the_head_that_trains_the_backbone_has_poolings_of_its_own(voxgrid: Voxgrid) -> None:
    one = (*SAMPLE, "--protocol", "speaker-3fold", "--backbone", "quartznet")
    done = voxgrid("plan", *one, "--head", "fine_tune", "--augment")
    assert done.returncode == 0, done.stderr
    assert "1 cell to tune" in done.stdout
    assert "no effect" not in done.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--augment", "no head of this run trains the backbone"),
        ("--no-cache", "no head of this run trains the backbone"),
        ("--fine-tune-pooling mean", "no head of this run trains the backbone"),
        ("--fine-tune-trials 2", "no head of this run trains the backbone on a real task"),
        ("--crop-seconds 3", "no head of this run reads frames"),
        ("--frames-gb 3", "no head of this run reads frames"),
        ("--sample-trainings 2", "no head of this run reads frames on a sample task"),
        ("--trainings 2", "no head of this run reads frames on a real task"),
        ("--seeds 2", "this run fits no head on vectors of a real task"),
        ("--fine-tune-seeds 2", "no head of this run reads frames on a real task"),
        ("--inner one", None),
        ("--download", "VOXGRID_OFFLINE is set"),
        ("--sample-trials 2", None),
        ("--batch 2", None),
    ],
)
def test_an_option_without_effect_is_said(
    options: str, words: str | None, voxgrid: Voxgrid
) -> None:
    done = voxgrid("plan", *SAMPLE, *CELL, *options.split())
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if "no effect" in line]
    expected = [f"note: {options.split()[0]} has no effect: {words}"] if words else []
    assert said == expected


def test_trials_of_sample_tasks_have_no_effect_on_real_ones(
    voxgrid: Voxgrid, session_cache: Path, tmp_path: Path
) -> None:
    ravdess_like(tmp_path / "data" / "ravdess", session_cache)
    asked = ("plan", "--task", "ravdess", *CELL, "--sample-trials", "2", "--fine-tune-trials", "2")
    done = voxgrid(*asked, VOXGRID_DATA=str(tmp_path / "data"))
    assert "--sample-trials has no effect: this run fits no head on vectors on a sample task" in (
        done.stdout
    )
    assert "--fine-tune-trials has no effect: no head of this run trains" in done.stdout
