"""Jobs on Dask's workers: what becomes of one that dies, of its neighbours, and of lost workers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench import machine
from bench.errors import UserError
from bench.executors import dask_worker
from bench.executors.base import OtherMachine, Worker, WorkerDied
from bench.executors.dask import DaskExecutor, NoWorkers, connected
from tests.bench.executors.test_local import (
    Dies,
    Fails,
    Square,
    ThreadSetting,
    WritesItsPidAndSleeps,
    _alive,
    _wait_for,
)

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class KillsItsWorker:
    """Kills the worker that started it, as long as the file counts fewer than so many times."""

    path: str
    times: int

    def __call__(self, worker: Worker) -> str:
        with Path(self.path).open("a+") as file:
            file.write("x")
        if Path(self.path).stat().st_size <= self.times:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return "done"


@dataclass(frozen=True)
class Slow:
    """Takes a while, and says how often it began."""

    path: str

    def __call__(self, worker: Worker) -> int:
        with Path(self.path).open("a") as file:
            file.write("x")
        time.sleep(2)
        return Path(self.path).stat().st_size


@dataclass(frozen=True)
class OtherWeightsHere:
    def __call__(self, worker: Worker) -> int:
        raise OtherMachine("backbone 'x' has other weights here")


@pytest.fixture(scope="module")
def cluster() -> Iterator[DaskExecutor]:
    with connected("dask", 2, lambda said: None) as found:
        yield found


def test_every_job_gives_one_outcome_and_its_events_arrive(cluster: DaskExecutor) -> None:
    events: list[object] = []
    jobs = [Square(1), Fails(), Square(2), ThreadSetting()]
    done = {d.index: d.outcome for d in cluster.run(jobs, workers=2, on_event=events.append)}
    share = max(1, machine.usable_cores() // 2)
    assert done.pop(3) == f"{share} {share}"
    assert isinstance(done.pop(1), ValueError)
    assert done == {0: 1, 2: 4}
    assert sorted(events) == [("squared", 1), ("squared", 2)]
    assert (cluster.slots, cluster.places) == (2, 2)


def test_a_job_that_dies_three_times_fails_and_neither_worker_nor_neighbour_does(
    cluster: DaskExecutor,
) -> None:
    workers = set(cluster._seen())
    done = {d.index: d.outcome for d in cluster.run([Dies(), *map(Square, range(4))], workers=2)}
    assert isinstance(done.pop(0), WorkerDied)
    assert done == {i + 1: i * i for i in range(4)}
    assert set(cluster._seen()) == workers


def test_what_a_lost_worker_did_runs_elsewhere(cluster: DaskExecutor, tmp_path: Path) -> None:
    jobs = [KillsItsWorker(str(tmp_path / "kills"), 1), Slow(str(tmp_path / "slow"))]
    done = {d.index: d.outcome for d in cluster.run(jobs, workers=2)}
    assert done[0] == "done"
    assert isinstance(done[1], int)


def test_a_run_that_ends_early_leaves_no_job_behind(cluster: DaskExecutor, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    going = cluster.run([WritesItsPidAndSleeps(str(path)), Square(1)], workers=2)
    next(going)
    pid = int(_wait_for(path))
    going.close()
    deadline = time.monotonic() + 15
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(pid)


def test_a_worker_with_other_weights_is_refused_by_name() -> None:
    said: list[str] = []
    with (
        connected("dask", 1, said.append) as found,
        pytest.raises(UserError, match=r"worker at tcp://.* is refused: backbone 'x' has other"),
    ):
        list(found.run([OtherWeightsHere()], workers=1))
    assert len(said) == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"torch": "0.1"}, r"torch is 0\.1 there and \d.* here; install what is here there too"),
        ({"voxgrid": "9"}, "voxgrid is 9 there and"),
        ({"commit of voxgrid": "other"}, "commit of voxgrid is other there"),
    ],
)
def test_a_worker_of_other_versions_is_refused(changed: dict[str, str], said: str) -> None:
    there = dask_worker.about()
    assert dask_worker.differs(there) is None
    there["versions"] |= changed
    assert re.search(said, str(dask_worker.differs(there)))
    assert "cannot be asked" in str(dask_worker.differs(ModuleNotFoundError("bench")))


def dask(*arguments: str, **more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | more,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_nobody_there_is_a_sentence_and_so_is_a_scheduler_that_goes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--on tcp://127\.0\.0\.1:9: no scheduler answers there"):
        connected("tcp://127.0.0.1:9", 1, print).__enter__()
    file = tmp_path / "scheduler.json"
    scheduler = dask(
        "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
        "--scheduler-file", str(file),
    )  # fmt: skip
    worker = scheduler
    try:
        _wait_for(file)
        address = json.loads(file.read_text())["address"]
        with connected(address, 1, print, patience=2) as found:
            with pytest.raises(NoWorkers, match=r"no worker has been at tcp://.* for 2 s"):
                list(found.run([Square(1)], workers=1))
            refused: list[str] = []
            found.say = refused.append
            worker = dask("worker", address, "--nthreads", "1", "--no-dashboard")
            found.patience = 60
            with pytest.raises(UserError, match="it may start no process"):
                list(found.run([Square(1)], workers=1))
            worker.terminate()
            worker.wait()
            found.patience = 60
            worker = dask(
                "worker", address, "--nthreads", "1", "--no-dashboard",
                DASK_DISTRIBUTED__WORKER__DAEMON="False",
            )  # fmt: skip
            while any(each in found._refused for each in found._seen()):
                time.sleep(0.2)
            assert [d.outcome for d in found.run([Square(3)], workers=1)] == [9]
            going = found.run([Square(1), WritesItsPidAndSleeps(str(tmp_path / "p"))], workers=1)
            next(going)
            threading.Timer(1.0, scheduler.kill).start()
            with pytest.raises(NoWorkers, match="or its scheduler is gone"):
                next(going)
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()
