"""How networks are trained: resumed, interrupted, stopped early, silent."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.metrics import f1_score

from heads import FitDiverged, Training
from heads._conformance.in_memory import MemoryClips, backbone
from heads._training import checkpoints
from heads.fine_tune import FineTuneHead
from heads.sequences import Epoch
from tests.heads.marked import marked

FRAMES, LABELS = marked(96, strength=3.0)
TRAIN, VALIDATION, TEST = np.arange(0, 60), np.arange(60, 78), np.arange(78, 96)


def clips(blocks: int = 2) -> MemoryClips:
    return MemoryClips(FRAMES, backbone(blocks))


def head(**params) -> FineTuneHead:
    quick = {"epochs": 4, "batch_size": 8, "blocks": 1, "random_state": 3}
    return FineTuneHead(**(quick | params))


def validated(X: MemoryClips, **more) -> Training:
    return Training(validation=(X.take(VALIDATION), LABELS[VALIDATION]), **more)


def fitted(folder: Path | None = None, on_epoch=None, **params) -> tuple[FineTuneHead, Training]:
    X = clips()
    training = validated(X, folder=folder, on_epoch=on_epoch)
    return head(**params).fit(X.take(TRAIN), LABELS[TRAIN], training), training


def probabilities(fitted_head: FineTuneHead) -> np.ndarray:
    return fitted_head.predict_proba(clips().take(TEST))


def losses(fitted_head: FineTuneHead) -> list[tuple[float, float]]:
    return [(epoch.train_loss, epoch.validation_loss) for epoch in fitted_head.curve_]


def saved_in(folder: Path) -> dict:
    path = folder / "last.ckpt"
    with safe_open(path, "pt") as file:
        expected = json.loads(file.metadata()["state"])["digest"]
    state, _ = checkpoints.read(path, expected)
    assert state is not None
    return state


class Stop(Exception):
    pass


def stop_after(index: int):
    def follow(epoch: Epoch) -> None:
        if epoch.index == index:
            raise Stop

    return follow


def test_every_epoch_is_reported_with_its_scores():
    seen: list[Epoch] = []
    fit, _ = fitted(on_epoch=seen.append)
    assert seen == fit.curve_
    assert [epoch.index for epoch in seen] == [0, 1, 2, 3]
    for epoch in seen:
        assert 0 <= epoch.validation_accuracy <= 1
        assert 0 <= epoch.validation_macro_f1 <= 1
        assert epoch.validation_loss > 0
        assert epoch.seconds > 0


def test_a_class_without_validation_clips_does_not_lower_their_macro_f1():
    X = clips()
    some = VALIDATION[LABELS[VALIDATION] != LABELS[0]]
    training = Training(validation=(X.take(some), LABELS[some]))
    fit = head().fit(X.take(TRAIN), LABELS[TRAIN], training)
    predicted = fit.predict(X.take(some))
    expected = f1_score(
        LABELS[some], predicted, labels=np.unique(LABELS[some]), average="macro", zero_division=0
    )
    assert max(epoch.validation_macro_f1 for epoch in fit.curve_) == pytest.approx(expected)


def test_without_validation_all_epochs_are_trained_and_the_last_is_kept():
    fit = head().fit(clips().take(TRAIN), LABELS[TRAIN])
    assert (len(fit.curve_), fit.best_epoch_) == (4, 3)
    assert fit.curve_[0].validation_loss is None


def test_training_stops_early_and_keeps_the_best_epoch(tmp_path):
    # a step size that ruins the network in a few steps, so that early epochs are the best
    params = {"epochs": 30, "patience": 2, "learning_rate": 0.3, "warmup": 0.5}
    fit, _ = fitted(tmp_path, **params)
    assert len(fit.curve_) < 30
    assert len(fit.curve_) - 1 - fit.best_epoch_ == 2
    scores = [epoch.validation_macro_f1 for epoch in fit.curve_]
    assert scores.index(max(scores)) == fit.best_epoch_
    predicted = fit.predict(clips().take(VALIDATION))
    accuracy = (predicted == LABELS[VALIDATION]).mean()
    assert accuracy == pytest.approx(fit.curve_[fit.best_epoch_].validation_accuracy)


def test_a_refit_of_n_epochs_is_the_start_of_the_longer_fit():
    X = clips().take(TRAIN)
    short = head(epochs=6, refit_epochs=2).fit(X, LABELS[TRAIN])
    long = head(epochs=6).fit(X, LABELS[TRAIN])
    assert (len(short.curve_), short.best_epoch_) == (2, 1)
    assert [e.train_loss for e in short.curve_] == [e.train_loss for e in long.curve_[:2]]


@pytest.mark.parametrize("stop", [0, 2])
def test_resumed_fit_equals_the_uninterrupted_one_to_the_bit(tmp_path, stop):
    whole, _ = fitted()
    with pytest.raises(Stop):
        fitted(tmp_path, on_epoch=stop_after(stop))
    seen: list[Epoch] = []
    resumed, training = fitted(tmp_path, on_epoch=seen.append)
    assert [epoch.index for epoch in seen] == [0, 1, 2, 3]
    assert losses(resumed) == losses(whole)
    assert resumed.best_epoch_ == whole.best_epoch_
    assert training.notes == []
    np.testing.assert_array_equal(probabilities(resumed), probabilities(whole))


def test_a_finished_fit_is_not_trained_again(tmp_path):
    first, _ = fitted(tmp_path)
    before = (tmp_path / "last.ckpt").stat().st_mtime_ns
    again, _ = fitted(tmp_path)
    assert (tmp_path / "last.ckpt").stat().st_mtime_ns == before
    assert again.curve_ == first.curve_
    np.testing.assert_array_equal(probabilities(again), probabilities(first))


def test_a_finished_fit_without_validation_comes_back_too(tmp_path):
    X = clips().take(TRAIN)
    first, again = (head().fit(X, LABELS[TRAIN], Training(folder=tmp_path)) for _ in range(2))
    assert again.curve_ == first.curve_
    np.testing.assert_array_equal(probabilities(again), probabilities(first))


# a fork for each folder, of a process that has imported all and has computed nothing
CHILDREN = """
    import os, sys, time
    from pathlib import Path
    import torch._dynamo  # as optimizers do
    import tests.heads._training.test_train as t
    from heads._conformance.in_memory import MemorySequences

    class Slow(MemorySequences):
        def take(self, indices):
            return Slow([self.clips[i] for i in indices], self.augment, self.batches)

        def batch(self, indices, augment=None):
            trained = sum(seed is not None for _, seed in self.batches)
            # 60 clips in batches of 8 are 8 batches an epoch: this is the middle of the third
            if augment is not None and trained == 20:
                (folder / "middle").touch()
                time.sleep(600)
            return super().batch(indices, augment)

    class Clips(t.MemoryClips):
        def inputs(self, blocks):
            made = super().inputs(blocks)
            return Slow(made.clips, made.augment, made.batches)

        def take(self, indices):
            return Clips(self.stem.take(indices), self.backbone, self.asked, self.tails)

    for folder in map(Path, sys.argv[1:]):
        pid = os.fork()
        if pid == 0:
            X = Clips(MemorySequences(t.FRAMES.clips), t.backbone(2))
            training = t.validated(X, folder=folder / "fit")
            t.head().fit(X.take(t.TRAIN), t.LABELS[t.TRAIN], training)
            os._exit(0)
        print(pid, flush=True)
    for _ in sys.argv[1:]:
        print(*os.wait(), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_in_the_middle_of_an_epoch_and_resumed(tmp_path):
    signals = [signal.SIGKILL, signal.SIGTERM]
    folders = [tmp_path / how.name for how in signals]
    for folder in folders:
        folder.mkdir()
    code = [sys.executable, "-c", textwrap.dedent(CHILDREN), *folders]
    with subprocess.Popen(code, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as parent:
        pids = [int(parent.stdout.readline()) for _ in folders]
        for folder, pid, how in zip(folders, pids, signals, strict=True):
            wait_for(folder / "middle")
            os.kill(pid, how)
        ended = dict(tuple(map(int, parent.stdout.readline().split())) for _ in folders)
    assert [os.waitstatus_to_exitcode(ended[pid]) for pid in pids] == [-how for how in signals]
    whole, _ = fitted()
    for folder in folders:
        saved = saved_in(folder / "fit")
        assert len(saved["curve"]) == 2
        resumed, training = fitted(folder / "fit")
        assert training.notes == []
        assert losses(resumed) == losses(whole)
        np.testing.assert_array_equal(probabilities(resumed), probabilities(whole))


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    # more than the padding between two tensors
    middle = len(content) // 2
    content[middle : middle + 128] = bytes(byte ^ 0xFF for byte in content[middle : middle + 128])
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    torch.save({"weights": torch.ones(2)}, path)


class Harmful:
    def __reduce__(self):
        return os.system, ("echo unpickled > harmed",)


def harmful(path: Path) -> None:
    torch.save({"digest": Harmful()}, path)


@pytest.mark.parametrize("damage", [truncate, flip, empty, foreign, harmful])
def test_a_damaged_checkpoint_is_ignored_with_a_note(tmp_path, monkeypatch, damage):
    with pytest.raises(Stop):
        fitted(tmp_path, on_epoch=stop_after(1))
    damage(tmp_path / "last.ckpt")
    monkeypatch.chdir(tmp_path)
    fit, training = fitted(tmp_path)
    assert len(training.notes) == 1
    assert "anew" in training.notes[0]
    assert "damaged" in training.notes[0]
    assert fit.notes_ == training.notes
    assert not (tmp_path / "harmed").exists()
    assert losses(fit) == losses(fitted()[0])


@pytest.mark.parametrize("other", [{"dropout": 0.2}, {"random_state": 4}, {"epochs": 5}])
def test_a_checkpoint_of_another_configuration_is_ignored_with_a_note(tmp_path, other):
    with pytest.raises(Stop):
        fitted(tmp_path, on_epoch=stop_after(1), **other)
    fit, training = fitted(tmp_path)
    assert [note for note in training.notes if "other parameters or clips" in note]
    assert losses(fit) == losses(fitted()[0])


def test_a_checkpoint_of_other_clips_is_ignored(tmp_path):
    X = clips()
    head().fit(X.take(TRAIN[1:]), LABELS[TRAIN[1:]], Training(folder=tmp_path))
    training = Training(folder=tmp_path)
    head().fit(X.take(TRAIN), LABELS[TRAIN], training)
    assert len(training.notes) == 1


def test_the_number_of_threads_is_no_other_configuration(tmp_path):
    with pytest.raises(Stop):
        fitted(tmp_path, on_epoch=stop_after(1))
    _, training = fitted(tmp_path, n_jobs=2)
    assert training.notes == []


def test_a_checkpoint_holds_trained_weights_only(tmp_path):
    X = clips()
    head(trained="lora").fit(X.take(TRAIN), LABELS[TRAIN], Training(folder=tmp_path))
    saved = saved_in(tmp_path)["trained"]
    tail = {name for name in saved if name.startswith("tail.")}
    assert tail
    assert all(".lora_" in name for name in tail)
    assert {name for name in saved if name not in tail} == {
        "head.classifier.1.weight",
        "head.classifier.1.bias",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_what_on_epoch_raises_ends_the_fit_and_leaves_the_checkpoint(tmp_path):
    with pytest.raises(Stop):
        fitted(tmp_path, on_epoch=stop_after(1))
    saved = saved_in(tmp_path)
    assert len(saved["curve"]) == 2
    with pytest.raises(Stop):  # told again of the epochs it holds
        fitted(tmp_path, on_epoch=stop_after(0))


def test_ctrl_c_is_a_keyboard_interrupt_and_stays_possible():
    handler = signal.getsignal(signal.SIGINT)

    def interrupt(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(on_epoch=interrupt)
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_loss_that_is_not_a_number_names_the_epoch_and_a_remedy():
    with pytest.raises(FitDiverged, match=r"in epoch \d of 4; lower backbone_learning_rate"):
        fitted(backbone_learning_rate=1e30, learning_rate=1e30, precision="32-true")


def test_nothing_is_said_or_written_outside_the_folder(tmp_path, monkeypatch, capfd, caplog):
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with warnings.catch_warnings(record=True) as raised, caplog.at_level(logging.INFO):
        warnings.simplefilter("always")
        with pytest.raises(Stop):
            fitted(folder, on_epoch=stop_after(1))
        probabilities(fitted(folder)[0])
        fitted(None, mix=True, trained="lora", blocks=2, pooling="attentive_stats")
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in raised] == []
    assert caplog.messages == []
    assert list(elsewhere.iterdir()) == []
    assert [path.name for path in folder.iterdir()] == ["last.ckpt"]


def test_random_generators_and_threads_are_given_back():
    torch.manual_seed(0)
    np.random.seed(0)
    threads = torch.get_num_threads()
    torch_before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    probabilities(fitted(n_jobs=threads + 1, epochs=1)[0])
    assert torch.equal(torch_before, torch.random.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])
    assert torch.get_num_threads() == threads


def _in_worker(folder: Path) -> np.ndarray:
    return probabilities(fitted(folder)[0])


def test_works_in_a_spawned_worker(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        there = pool.submit(_in_worker, tmp_path).result()
    np.testing.assert_array_equal(there, probabilities(fitted()[0]))


def test_a_step_made_of_two_batches_is_the_step_of_one():
    whole, _ = fitted(batch_size=8, precision="32-true", dropout=0.0, trained="classifier")
    split, _ = fitted(
        batch_size=4, accumulate=2, precision="32-true", dropout=0.0, trained="classifier"
    )
    np.testing.assert_allclose(probabilities(split), probabilities(whole), atol=1e-5)
