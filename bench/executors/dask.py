"""The workers of a Dask cluster: one that is there, or one on this machine.

Dask finds workers, sends jobs, notices who is gone and sends a job elsewhere. Each job runs in a
child of its worker, so that one that holds the interpreter for minutes keeps no worker from
answering, and one that dies takes neither its worker nor its neighbours along.
"""

from __future__ import annotations

import logging
import pickle
import signal
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, LocalCluster
from distributed import wait as wait_for
from distributed.client import CancelledError

from bench.errors import UserError, VoxgridError
from bench.executors.base import Done, Job, OtherMachine, Result, WorkerDied
from bench.executors.dask_worker import START, Packed, about, differs, run
from bench.executors.local import unpacked

# Seconds without a single worker after which a run ends.
PATIENCE = 120.0
# A job waits for its child: the worker's own process has nothing to share out, and what its
# children take is not the nanny's to see.
_SETTINGS = {
    "distributed.worker.daemon": False,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.worker.preload": ["bench.executors.dask_worker"],
}


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
    with dask.config.set(_SETTINGS), _cluster(address, workers) as cluster:
        try:
            client = Client(cluster, timeout=10)
        except (OSError, ValueError) as error:
            raise UserError(
                f"--on {address}: no scheduler answers there ({error}); start one with `dask "
                "scheduler`, and workers beside it, see docs/scale.md"
            ) from error
        with client:
            yield DaskExecutor(client, address, say, deadline, patience)


@contextmanager
def _cluster(address: str, workers: int) -> Iterator[LocalCluster | str]:
    if address != "dask":
        yield address
        return
    cluster = LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit=0,
        silence_logs=logging.CRITICAL,
    )
    try:
        yield cluster
    finally:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # to end takes a second or two
        cluster.close()
        signal.signal(signal.SIGINT, before)


class NoWorkers(VoxgridError):
    """No worker is left, or the scheduler is gone; what is finished is kept."""


@dataclass
class DaskExecutor:
    """Runs jobs on the workers of a cluster; implements `Executor`. Made by `connected`.

    Attributes:
        client, address: of the cluster.
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
    def slots(self) -> int:
        """How many jobs the workers that are there run at once; one where none is there yet."""
        return max(1, sum(self._usable(self._seen(), {}).values()))

    places = slots

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
        waiting, running = deque(enumerate(jobs)), dict[Future, int]()
        suspects: list[int] = []  # whose workers ended again and again
        alone: list[int] = []  # of these, what ran by itself
        since = time.monotonic()
        with self._heard(on_event) as topic:
            try:
                while waiting or running or suspects:
                    there = self._usable(self._seen(), needs)
                    since = time.monotonic() if there else since
                    if time.monotonic() - since > self.patience:
                        raise NoWorkers(self._nobody())
                    if not (waiting or running):
                        alone.append(suspects.pop())  # nobody else can be blamed now
                        waiting.append((alone[-1], jobs[alone[-1]]))
                    while there and waiting and len(running) < min(workers, sum(there.values())):
                        index, job = waiting.popleft()
                        running[self._sent(job, list(there), needs, topic)] = index
                    for future in self._ended(running):
                        index = running.pop(future)
                        outcome = self._outcome(future)
                        if isinstance(outcome, OtherMachine):
                            waiting.appendleft((index, jobs[index]))
                        elif isinstance(outcome, KilledWorker) and index not in alone:
                            suspects.append(index)
                        elif isinstance(outcome, KilledWorker):
                            yield Done(index, WorkerDied("every worker that ran it ended"))
                        else:
                            yield Done(index, outcome)
            except CancelledError as error:
                raise NoWorkers(self._nobody()) from error
            finally:
                self.client.cancel(list(running))

    def _seen(self) -> dict[str, Any]:
        """What the scheduler knows of its workers, by address."""
        try:
            return dict(self.client.scheduler_info(n_workers=-1)["workers"])
        except (OSError, KeyError, TypeError):
            return {}

    def _usable(self, seen: dict[str, Any], needs: dict[str, int]) -> dict[str, int]:
        """Jobs at once by worker, of those that compute as this process does.

        Raises:
            UserError: there are workers, and every one is refused or lacks what jobs need.
        """
        if new := [each for each in seen if each not in {*self._threads, *self._refused}]:
            told = self.client.run(about, workers=new, on_error="return")
            for address, said in told.items():
                if why := differs(said):
                    self._refused[address] = f"worker at {address} is refused: {why}"
                    self.say(self._refused[address])
                else:
                    beside = [w for w in seen.values() if w["host"] == seen[address]["host"]]
                    slots = sum(int(other["nthreads"]) for other in beside)
                    self._threads[address] = max(1, said["cores"] // slots)
        usable = {each: int(seen[each]["nthreads"]) for each in seen if each in self._threads}
        if seen and not usable:
            raise UserError(next(iter(self._refused.values())))
        if needs:
            usable = {each: 1 for each in usable if seen[each]["resources"].get("GPU")}
        if seen and not usable:
            raise UserError(f"no worker at {self.address} has --resources GPU=1: start some so")
        return usable

    def _sent(self, job: Job[Any], there: list[str], needs: dict[str, int], topic: str) -> Future:
        threads = {address: self._threads[address] for address in there}
        key = f"voxgrid-{uuid.uuid4().hex}"
        told = Packed(pickle.dumps(job)), threads, self.deadline, topic, key
        return self.client.submit(run, *told, key=key, workers=there, resources=needs)

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
        except CancelledError:
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
            f"start one with `{START.format(here)}`, then run again: what is finished is kept"
        )
