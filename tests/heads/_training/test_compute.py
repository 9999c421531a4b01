"""What happens when memory ends in training, for real and in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from heads import HeadError, OutOfMemory, Training
from heads._conformance.in_memory import MemoryClips, MemorySequences, backbone
from heads._training.compute import halving
from heads.fine_tune import FineTuneHead
from heads.sequences import Epoch
from tests.heads._training.test_train import saved_in


def test_halving_says_each_step_and_gives_up_at_one():
    notes: list[str] = []
    tried = []

    def attempt(size: int) -> None:
        tried.append(size)
        torch.empty(2**60)

    with pytest.raises(OutOfMemory, match="single clip per batch; train fewer blocks"):
        halving(6, attempt, notes, "fine_tune", "training")
    assert tried == [6, 3, 1]
    assert len(notes) == 2
    assert issubclass(OutOfMemory, HeadError)


def test_errors_other_than_memory_pass_through():
    def attempt(size: int) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        halving(6, attempt, [], "fine_tune", "training")


def address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGESIZE")


def short_of_memory(megabytes: int, after_epoch: int | None, folder: Path) -> None:
    """Fit with so much memory more than now, from the start or after an epoch; prints the end."""
    import resource  # not on Windows

    rng = np.random.default_rng(0)
    made = [rng.standard_normal((1, 1000, 32)).astype(np.float32) for _ in range(CLIPS)]
    X = MemoryClips(MemorySequences(made), backbone(1, 32))
    y = np.arange(CLIPS) % 2
    tune = FineTuneHead(batch_size=CLIPS, epochs=2, blocks=1, precision="32-true", random_state=0)
    few = np.arange(2)
    tune.fit(X.take(few), y[few])  # loads what there is to load

    def limit(epoch: Epoch | None) -> None:
        if (epoch.index if epoch else None) == after_epoch:
            limits = (address_space() + megabytes * 2**20, resource.RLIM_INFINITY)
            resource.setrlimit(resource.RLIMIT_AS, limits)

    limit(None)
    training = Training(folder=folder, on_epoch=limit)
    try:
        tune.fit(X, y, training)
        print(len(tune.curve_), np.isfinite(tune.predict_proba(X)).all(), len(training.notes) > 0)
    except OutOfMemory as error:
        print(error)


# all of them at once take far more memory than there is in any case
CLIPS = 32
CASES = [
    (40, None, "2 True True"),
    (40, 0, "2 True True"),
    (1, None, "fine_tune: memory ended in training with a single clip per batch"),
]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_real_lack_of_memory_halves_the_batch(tmp_path):
    # each in a fork of a process that has imported all and has computed nothing
    code = (
        "import os, sys; from pathlib import Path; import torch._dynamo; "
        "from tests.heads._training.test_compute import CASES, short_of_memory\n"
        "for number, case in enumerate(CASES):\n"
        "    if os.fork() == 0:\n"
        "        short_of_memory(*case[:2], Path(sys.argv[1]) / str(number))\n"
        "        sys.exit()\n"
        "    assert os.wait()[1] == 0\n"
    )
    # every large tensor gets pages of its own, so that the limit means what it says
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    for number, (line, (_, _, said)) in enumerate(
        zip(done.stdout.splitlines(), CASES, strict=True)
    ):
        assert line.startswith(said), done.stderr
        if "True" in said:
            assert 1 <= saved_in(tmp_path / str(number))["batch_size"] < CLIPS
