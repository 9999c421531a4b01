"""Fine-tuning and presets through the whole command, on the generated sample task."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from bench.config import presets
from bench.plugins import BACKBONES
from bench.records import store as records
from bench.tasks.sample import emotion
from tests.backbones._hf import make_hf
from tests.bench.tasks.ravdess.make_ravdess import ravdess_like
from tests.conftest import Voxgrid, one_core

TASK = ("--task", "sample-emotion", "--protocol", "random-80-20")
TRAINING = (*TASK, "--head", "fine_tune", "--pooling", "mean")


@pytest.fixture
def few(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clips of each voice and emotion instead of five, where what is told is the point."""
    emotion.resolve(None, session_cache, False)  # all of them, as other tests want them
    monkeypatch.setattr(emotion, "CLIPS_PER_CELL", 2)


def _records(folder: Path) -> list[records.Record]:
    return list(records.read_all(folder / "results"))


@pytest.mark.usefixtures("few")
def test_every_backbone_is_fine_tuned_or_a_row_that_says_why_not(
    voxgrid: Voxgrid, tmp_path: Path
) -> None:
    done = voxgrid("run", *TRAINING, "--trials", "1")
    assert done.returncode == 0, done.stderr
    found = {record.backbone: record for record in _records(tmp_path)}
    infos = {name: BACKBONES.get(name).info for name in BACKBONES.names()}
    assert set(found) == set(infos)
    assert {name for name, info in infos.items() if info.trainable} == {
        "wav2vec2", "xlsr", "speech2text", "quartznet", "whisper-base",
    }  # fmt: skip
    for name, record in found.items():
        if not infos[name].trainable:
            assert record.status == "skipped"
            assert f"{name} has no part to train" in str(record.reason)
            continue
        assert record.status == "ok", record.reason
        assert record.training is not None
        assert record.training.frozen_part == "cached"
        assert record.training.augmentation is None
        (fold,) = record.folds
        assert fold.best_params["scope"] in {"top-1", "classifier"}
        assert len(fold.curve) > (fold.best_epoch or 0)
        best = fold.curve[fold.best_epoch or 0]
        assert best.validation_macro_f1 == fold.val_macro_f1 > 0
        assert best.validation_macro_f1 == max(e.validation_macro_f1 or 0 for e in fold.curve)


@pytest.mark.usefixtures("few")
def test_learnt_pooling_trains_with_the_mlp_and_is_skipped_with_other_heads(
    voxgrid: Voxgrid, tmp_path: Path
) -> None:
    poolings = ("--pooling", "attention", "--pooling", "attentive_stats")
    # heads that no option names: those that do not fit are rows
    heads = ["mlp", "logistic_regression", "gradient_boosting"]
    (tmp_path / "grid.toml").write_text(f"heads = {heads}\n")
    done = voxgrid("run", *TASK, "--backbone", "whisper-base", *poolings)
    assert done.returncode == 0, done.stderr
    for record in _records(tmp_path):
        if record.head == "mlp":
            assert record.status == "ok", record.reason
            assert {type(fold.layer) for fold in record.folds} <= {int, str}
            assert all(fold.curve for fold in record.folds)
        else:
            assert record.status == "skipped"
            assert f"{record.pooling} pooling is learnt" in str(record.reason)
            assert "use fine_tune or mlp" in str(record.reason)


def _checkpoint(folder: Path) -> tuple[Path, list[dict[str, Any]]] | None:
    for path in folder.rglob("last.ckpt"):
        try:
            with safe_open(path, "pt") as file:
                return path, json.loads(file.metadata()["state"])["curve"]
        except OSError:
            return None  # just being replaced
    return None


@pytest.mark.skipif(sys.platform != "linux", reason="binds a process to one core")
def test_a_run_killed_in_an_epoch_goes_on_from_the_last_checkpoint(
    voxgrid: Voxgrid, environment: dict[str, str], tmp_path: Path
) -> None:
    cell = (*TRAINING, "--backbone", "whisper-base", "--trials", "1", "--jobs", "1")
    whole = voxgrid("run", *cell, "--results", "whole")
    assert whole.returncode == 0, whole.stderr
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.cli", "run", *cell, "--results", "killed"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=one_core,
    )
    deadline = time.monotonic() + 120
    saved = None
    while time.monotonic() < deadline and process.poll() is None:
        saved = _checkpoint(tmp_path / "killed")
        if saved and len(saved[1]) >= 2:
            break
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert saved is not None
    before = _checkpoint(tmp_path / "killed")
    assert before is not None, "it was killed after the training, not in it"

    again = voxgrid("run", *cell, "--results", "killed")
    assert again.returncode == 0, again.stderr
    (expected,) = records.read_all(tmp_path / "whole")
    (found,) = records.read_all(tmp_path / "killed")
    assert found.scores == expected.scores
    assert found.folds == expected.folds
    # the epochs of the checkpoint were not trained again: even their wall time is the first run's
    (journal,) = (tmp_path / "killed" / ".studies").rglob("*.journal")
    curves = [
        entry["user_attr"]["validated"]["curve"]
        for entry in map(json.loads, journal.read_text().splitlines())
        if "validated" in entry.get("user_attr", {})
    ]
    (curve,) = curves
    assert [e["seconds"] for e in curve[: len(before[1])]] == [e["seconds"] for e in before[1]]
    # a finished cell leaves no checkpoint behind
    assert not list((tmp_path / "killed").rglob("*.ckpt"))


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("settings", "frozen_part"),
    [("augment = true", "both"), ("cache = false", "live")],
)
def test_the_record_says_what_was_augmented_and_what_ran_live(
    settings: str, frozen_part: str, voxgrid: Voxgrid, tmp_path: Path
) -> None:
    (tmp_path / "grid.toml").write_text(f"[fine_tune]\n{settings}\n")
    done = voxgrid("run", *TRAINING, "--backbone", "quartznet", "--trials", "1")
    assert done.returncode == 0, done.stderr
    (record,) = _records(tmp_path)
    assert record.status == "ok", record.reason
    assert record.training is not None
    assert (record.training.reads, record.training.frozen_part) == ("backbone", frozen_part)
    assert {fold.trained for fold in record.folds} == {"the last block"}
    assert (record.training.augmentation is not None) == (frozen_part == "both")


ENGLISH = "xlsr-finetune-ravdess"


@pytest.fixture
def english(session_cache: Path) -> Iterator[None]:
    """The hub's local cache with a small checkpoint in the place of the one that preset names."""
    repository = presets.find(ENGLISH).backbone.removeprefix("hf:").replace("/", "--")
    folder = session_cache / "hf" / "hub" / f"models--{repository}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("a" * 40)
    make_hf.save("wav2vec2-layer", folder / "snapshots" / ("a" * 40))
    yield
    shutil.rmtree(folder)


@pytest.mark.usefixtures("few")
def test_a_preset_whose_checkpoint_is_not_here_says_how_to_get_it_or_run_another(
    voxgrid: Voxgrid, tmp_path: Path
) -> None:
    done = voxgrid("run", "--preset", ENGLISH, *TASK)
    assert done.returncode == 2
    assert "hf download jonatasgrosman/wav2vec2-large-xlsr-53-english" in done.stderr
    assert done.stderr.endswith("or run the preset on another one with --backbone\n")
    assert done.stderr.count("\n") == 1
    other = ("--backbone", "xlsr", "--pooling", "sum")
    assert voxgrid("run", "--preset", ENGLISH, *other, *TASK).returncode == 0
    (record,) = _records(tmp_path)
    assert (record.status, record.backbone, record.pooling) == ("ok", "xlsr", "sum")
    assert record.published is not None
    assert record.published.backbone != record.backbone


@pytest.mark.usefixtures("english", "few")
@pytest.mark.parametrize("name", [ENGLISH, "w2v2-gb-ravdess"])
def test_a_preset_runs_untuned_under_its_own_name(
    name: str, voxgrid: Voxgrid, tmp_path: Path
) -> None:
    preset = presets.find(name)
    done = voxgrid("run", "--preset", name, *TASK)
    assert done.returncode == 0, done.stderr
    found = _records(tmp_path)
    assert {(r.protocol, r.pooling) for r in found} == {
        ("random-80-20", pooling) for pooling in preset.poolings
    }
    for record in found:
        assert record.status == "ok", record.reason
        assert (record.preset, record.backbone, record.trials) == (name, preset.backbone, 1)
        assert record.published is not None
        assert record.published.figures["accuracy"] == preset.published.figures["accuracy"]
        for fold in record.folds:
            assert {key: fold.best_params[key] for key in preset.params} == preset.params
            assert fold.trials.complete == 1
    if preset.head == "fine_tune":
        assert {len(fold.curve) for r in found for fold in r.folds} == {preset.params["epochs"]}


def test_a_preset_whose_weights_are_missing_is_a_mistake_that_says_how_to_get_them(
    voxgrid: Voxgrid, session_cache: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    ravdess_like(data / "ravdess", session_cache)
    done = voxgrid("run", "--preset", "w2v2-gb-ravdess", VOXGRID_DATA=str(data))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "backbone 'wav2vec2' cannot run" in line
    assert "hf download facebook/wav2vec2-base" in line
    assert not _records(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--preset", "w2v2-gb-ravdes"), "did you mean 'w2v2-gb-ravdess'?"),
        (("--preset", "w2v2-gb-ravdess", "--head", "mlp"), "leave out --head"),
    ],
)
def test_a_mistaken_preset_is_one_sentence_and_code_2(
    arguments: tuple[str, ...], words: str, voxgrid: Voxgrid
) -> None:
    done = voxgrid("run", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
