"""The workers of a Dask cluster: one that is there, or one on this machine.

Dask finds workers, sends jobs, notices who is gone and sends a job elsewhere. Each job runs in a
child of its worker, so that one that holds the interpreter for minutes keeps no worker from
answering, and one that dies takes neither its worker nor its neighbours along.
"""

from __future__ import annotations

import logging
import pickle
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import current_process
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, get_worker
from distributed import wait as wait_for
from distributed.client import FutureCancelledError

from bench import machine
from bench.errors import UserError, VoxgridError
from bench.executors.base import Done, Job, OtherMachine, Result, Worker, WorkerDied
from bench.executors.local import LocalExecutor, unpacked

# Seconds without a single worker after which a run ends.
PATIENCE = 120.0
# Deaths of its process after which a job is given up.
_TRIES = 3
_LOCAL = "dask"
# A job waits for its child: the worker's own process has nothing to share out, and what its
# children take is not the nanny's to see.
_SETTINGS = {
    "distributed.worker.daemon": False,
    "distributed.scheduler.worker-saturation": 1.0,
}
_HOW = "DASK_DISTRIBUTED__WORKER__DAEMON=False dask worker {} --nthreads 1 --memory-limit 0"

_log = logging.getLogger(__name__)


@contextmanager
def connected(
    address: str,
    workers: int,
    say: Callable[[str], None],
    deadline: float | None = None,
    patience: float = PATIENCE,
) -> Iterator[DaskExecutor]:
    """An executor on the cluster at an address, or, of the word `dask`, on one of this machine.

    Args:
        workers: of a cluster of this machine.
        say: told which workers are refused, and why.
        deadline: `time.time()` that jobs are told to stop at, or None.
        patience: seconds to go on without any worker.

    Raises:
        UserError: there is no scheduler at the address, or every worker is refused.
        NoWorkers: none came.
    """
    with dask.config.set(_SETTINGS):
        if address == _LOCAL:
            with (
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address=None,
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                ) as cluster,
                Client(cluster) as client,
            ):
                yield DaskExecutor(client, address, say, deadline, patience)
            return
        try:
            client = Client(address, timeout=10)
        except (OSError, ValueError) as error:
            raise UserError(
                f"--on {address}: no scheduler answers there ({error}); start one with `dask "
                "scheduler`, and workers beside it, see docs/scale.md"
            ) from error
        with client:
            yield DaskExecutor(client, address, say, deadline, patience)


class NoWorkers(VoxgridError):
    """No worker is left, or the scheduler is gone; what is finished is kept."""


@dataclass
class DaskExecutor:
    """Runs jobs on the workers of a cluster; implements `Executor`. Made by `connected`.

    Attributes:
        client: of the cluster.
        address: as it was given.
        say, deadline, patience: see `connected`.
    """

    client: Client
    address: str
    say: Callable[[str], None]
    deadline: float | None
    patience: float
    _threads: dict[str, int] = field(default_factory=dict)
    _refused: dict[str, str] = field(default_factory=dict)

    @property
    def places(self) -> int:
        """As many as there are slots: what is dealt out goes to all workers."""
        return self.slots

    @property
    def slots(self) -> int:
        """How many jobs the workers that are there run at once; one where none is there yet."""
        return max(1, sum(self._usable(self._seen()).values()))

    def run(
        self,
        jobs: Sequence[Job[Result]],
        *,
        workers: int,
        accelerator: bool = False,
        on_event: Callable[[Any], None] = lambda event: None,
    ) -> Iterator[Done[Result]]:
        """Run jobs and yield each as it ends; see `Executor.run`.

        Raises:
            UserError: every worker is refused.
            NoWorkers: none was there for `patience` seconds, or the scheduler is gone.
        """
        needs = {"GPU": 1} if accelerator else {}
        waiting = deque(enumerate(jobs))
        running: dict[Future, int] = {}
        killed: Counter[int] = Counter()
        suspects: list[tuple[int, Job[Result]]] = []
        since = time.monotonic()
        with self._heard(on_event) as topic:
            try:
                while waiting or running or suspects:
                    there = self._usable(self._seen())
                    since = time.monotonic() if there else since
                    if time.monotonic() - since > self.patience:
                        raise NoWorkers(self._nobody())
                    if suspects and not (waiting or running):
                        waiting.append(suspects.pop())  # alone, so that nobody else can be blamed
                    while there and waiting and len(running) < min(workers, sum(there.values())):
                        index, job = waiting.popleft()
                        running[self._sent(job, list(there), needs, topic)] = index
                    for future in self._ended(running):
                        index = running.pop(future)
                        outcome = self._outcome(future)
                        if isinstance(outcome, OtherMachine):
                            waiting.appendleft((index, jobs[index]))
                        elif isinstance(outcome, WorkerDied) and not killed[index]:
                            killed[index] += 1
                            suspects.append((index, jobs[index]))
                        else:
                            yield Done(index, outcome)
            except FutureCancelledError as error:
                raise NoWorkers(self._nobody()) from error
            finally:
                self.client.cancel(list(running))

    def _seen(self) -> dict[str, Any]:
        """What the scheduler knows of its workers, by address."""
        try:
            return dict(self.client.scheduler_info(n_workers=-1)["workers"])
        except (OSError, KeyError, TypeError):
            return {}

    def _usable(self, seen: dict[str, Any]) -> dict[str, int]:
        """Jobs at once by worker, of those that compute as this process does.

        Raises:
            UserError: there are workers, and every one is refused.
        """
        if new := [each for each in seen if each not in {*self._threads, *self._refused}]:
            told = self.client.run(_about, workers=new, on_error="return")
            for address, about in told.items():
                if why := _differs(about):
                    name = seen[address].get("name", "")
                    self._refused[address] = f"worker {name} at {address} is refused: {why}"
                    self.say(self._refused[address])
                else:
                    beside = [w for w in seen.values() if w["host"] == seen[address]["host"]]
                    slots = sum(int(other["nthreads"]) for other in beside)
                    self._threads[address] = max(1, about["cores"] // slots)
        usable = {each: int(seen[each]["nthreads"]) for each in seen if each in self._threads}
        if seen and not usable:
            raise UserError(next(iter(self._refused.values())))
        return usable

    def _sent(self, job: Job[Any], there: list[str], needs: dict[str, int], topic: str) -> Future:
        threads = {address: self._threads[address] for address in there}
        key = f"voxgrid-{uuid.uuid4().hex}"
        return self.client.submit(
            _run,
            _Packed(pickle.dumps(job)),
            threads,
            self.deadline,
            topic,
            key,
            key=key,
            workers=there,
            resources=needs,
        )

    def _ended(self, running: dict[Future, int]) -> list[Future]:
        """Jobs that have ended, after a second at most."""
        if not running:
            time.sleep(0.2)
            return []
        try:
            return list(wait_for(list(running), timeout=1, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            return []

    def _outcome(self, future: Future) -> Any:
        """What came of a job; a worker whose weights are others is refused from now on."""
        try:
            address, content = future.result()
        except KilledWorker as error:
            return WorkerDied(f"every worker that ran it ended ({error.last_worker.address})")
        except FutureCancelledError:
            raise
        except Exception as error:  # noqa: BLE001 whatever Dask makes of a plugin's
            return error
        outcome = unpacked(lambda: content)
        if isinstance(outcome, OtherMachine):
            self._threads.pop(address, None)
            self._refused[address] = f"worker at {address} is refused: {outcome}"
            self.say(self._refused[address])
        return outcome

    @contextmanager
    def _heard(self, on_event: Callable[[Any], None]) -> Iterator[str]:
        """The name under which jobs say what they do, passed on until the block ends."""
        topic = f"voxgrid-{uuid.uuid4().hex}"
        self.client.subscribe_topic(topic, lambda event: on_event(pickle.loads(event[1])))
        try:
            yield topic
        finally:
            self.client.unsubscribe_topic(topic)

    def _nobody(self) -> str:
        here = self.address
        return (
            f"no worker has been at {here} for {self.patience:.0f} s, or its scheduler is gone: "
            f"start one with `{_HOW.format(here)}`, then run again: what is finished is kept"
        )


@dataclass(frozen=True)
class _Packed:
    """A job that is unpacked where it runs; its worker's own process imports nothing for it."""

    content: bytes

    def __call__(self, worker: Worker) -> bytes:
        return pickle.dumps(pickle.loads(self.content)(worker))


def _about() -> dict[str, Any]:
    """What decides whether a worker computes as the run's own process does."""
    return {
        "versions": machine.package_versions() | {"commit of voxgrid": machine.git_sha()},
        "cores": machine.usable_cores(),
        "daemon": current_process().daemon,
    }


def _differs(about: Any) -> str | None:
    """Why a worker is refused, or None."""
    if isinstance(about, Exception):
        return f"it cannot be asked for its versions ({type(about).__name__}: {about})"
    if about["daemon"]:
        return f"it may start no process; start it with `{_HOW.format('SCHEDULER')}`"
    here, there = _about()["versions"], about["versions"]
    unlike = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    if not unlike:
        return None
    told = (f"{name} is {there.get(name)} there and {here.get(name)} here" for name in unlike[:3])
    return f"{'; '.join(told)}; install what is here there too"


def _run(
    job: _Packed, threads: dict[str, int], deadline: float | None, topic: str, key: str
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
