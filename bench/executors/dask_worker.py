"""What a worker of a Dask cluster does for a run: says what it is, and runs a job in a child."""

from __future__ import annotations

import pickle
import signal
from dataclasses import dataclass
from multiprocessing import current_process
from typing import Any

from distributed import get_worker

from bench import machine
from bench.executors.base import Worker
from bench.executors.local import LocalExecutor

# Deaths of its process after which a job is given up.
_TRIES = 3
START = "DASK_DISTRIBUTED__WORKER__DAEMON=False dask worker {} --nthreads 1 --memory-limit 0"


@dataclass(frozen=True)
class Packed:
    """A job that is unpacked where it runs; its worker's own process imports nothing for it."""

    content: bytes

    def __call__(self, worker: Worker) -> bytes:
        """Run the job; its result, packed."""
        return pickle.dumps(pickle.loads(self.content)(worker))


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C to the command; called by Dask where a worker of this machine starts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def about() -> dict[str, Any]:
    """What decides whether a worker computes as the run's own process does."""
    return {
        "versions": machine.package_versions() | {"commit of voxgrid": machine.git_sha()},
        "cores": machine.usable_cores(),
        "daemon": current_process().daemon,
    }


def differs(told: Any) -> str | None:
    """Why a worker is refused, or None."""
    if isinstance(told, Exception):
        return f"it cannot be asked for its versions ({type(told).__name__}: {told})"
    if told["daemon"]:
        return f"it may start no process; start it with `{START.format('SCHEDULER')}`"
    here, there = about()["versions"], told["versions"]
    unlike = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    if not unlike:
        return None
    words = (f"{name} is {there.get(name)} there and {here.get(name)} here" for name in unlike[:3])
    return f"{'; '.join(words)}; install what is here there too"


def run(
    job: Packed, threads: dict[str, int], deadline: float | None, topic: str, key: str
) -> tuple[str, bytes]:
    """Run a job in a child of this worker; returns the worker's address and the packed outcome."""
    worker = get_worker()

    def given_up() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state != "executing" or worker.status.name != "running"

    executor = LocalExecutor(deadline, threads[worker.address], _TRIES, given_up)

    def say(event: object) -> None:
        worker.log_event(topic, pickle.dumps(event))

    (done,) = executor.run([job], workers=1, on_event=say)
    outcome = done.outcome
    return worker.address, outcome if isinstance(outcome, bytes) else pickle.dumps(outcome)
