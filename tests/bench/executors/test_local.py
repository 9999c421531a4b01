from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from bench.executors.base import Worker, WorkerDied
from bench.executors.local import LocalExecutor
from tests.conftest import heed_ctrl_c
from tests.hostile.test_odd_plugins import JOBS


@dataclass(frozen=True)
class Square:
    number: int

    def __call__(self, worker: Worker) -> int:
        worker.emit(("squared", self.number))
        return self.number**2


@dataclass(frozen=True)
class Fails:
    def __call__(self, worker: Worker) -> int:
        raise ValueError("no")


@dataclass(frozen=True)
class Dies:
    def __call__(self, worker: Worker) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0


@dataclass(frozen=True)
class ThreadSetting:
    def __call__(self, worker: Worker) -> str:
        return f"{os.environ['OMP_NUM_THREADS']} {worker.threads}"


@dataclass(frozen=True)
class WritesItsPidAndSleeps:
    path: str

    def __call__(self, worker: Worker) -> None:
        Path(self.path).write_text(str(os.getpid()))
        time.sleep(120)


def test_every_job_gives_one_result_and_its_events_arrive() -> None:
    events: list[object] = []
    done = list(
        LocalExecutor().run([Square(i) for i in range(5)], workers=2, on_event=events.append)
    )
    assert {d.index: d.outcome for d in done} == {i: i * i for i in range(5)}
    assert sorted(events) == [("squared", i) for i in range(5)]


def test_an_error_is_handed_over_and_the_rest_goes_on() -> None:
    done = {d.index: d for d in LocalExecutor().run([Fails(), Square(3)], workers=1)}
    assert isinstance(done[0].outcome, ValueError)
    assert done[1].outcome == 9


def test_jobs_that_raise_or_give_odd_things_fail_alone_and_events_go_on() -> None:
    heard: list[object] = []

    def hear(event: object) -> None:
        heard.append(event)
        raise ZeroDivisionError

    jobs = [*JOBS, Square(3), Square(4)]
    done = {d.index: d.outcome for d in LocalExecutor().run(jobs, workers=1, on_event=hear)}
    assert [done.pop(len(jobs) - 2), done.pop(len(jobs) - 1)] == [9, 16]
    assert len(done) == len(JOBS)
    assert all(isinstance(outcome, Exception) for outcome in done.values())
    assert heard == [("squared", 3), ("squared", 4)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_worker_fails_its_own_job_and_the_rest_goes_on(workers: int) -> None:
    jobs = [Square(1), Dies(), *(Square(i) for i in range(2, 8))]
    done = {d.index: d for d in LocalExecutor().run(jobs, workers=workers)}
    assert sorted(done) == list(range(8))
    assert isinstance(done[1].outcome, WorkerDied)
    assert "--jobs 1" in str(done[1].outcome)
    assert {d.outcome for i, d in done.items() if i != 1} == {i * i for i in range(1, 8)}


def test_children_are_told_their_share_of_threads_and_the_parent_keeps_its_own() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    (done,) = LocalExecutor(cores=14).run([ThreadSetting()], workers=2)
    assert done.outcome == "7 7"
    assert os.environ.get("OMP_NUM_THREADS") == before


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path, kill: signal.Signals) -> None:
    pid_file = tmp_path / "pid"
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\n"
        "from bench.executors.local import LocalExecutor\n"
        "from tests.bench.executors.test_local import WritesItsPidAndSleeps\n"
        "if __name__ == '__main__':\n"
        "    list(LocalExecutor().run([WritesItsPidAndSleeps(sys.argv[1])], workers=1))\n"
    )
    root = Path(__file__).resolve().parents[3]
    parent = subprocess.Popen(
        [sys.executable, str(script), str(pid_file)],
        env=os.environ | {"PYTHONPATH": str(root)},
        stderr=subprocess.DEVNULL,
        preexec_fn=heed_ctrl_c,
    )
    pid = int(_wait_for(pid_file))
    parent.send_signal(kill)
    parent.wait(timeout=30)
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def _wait_for(path: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")
