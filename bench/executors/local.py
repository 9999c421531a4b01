"""Child processes of this machine.

Children end with their parent, however it ends, so that a killed run leaves nobody writing.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.queues import Queue
from typing import Any

from threadpoolctl import threadpool_limits

from bench.errors import PluginCrashed, VoxgridError, raised
from bench.executors.base import Done, Job, Result, Worker, WorkerDied
from bench.machine import usable_cores

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

# oneDNN keeps what it compiled for up to 1024 tensor shapes, workspaces included. Clips come in
# hundreds of lengths: wav2vec2-base grew past 3 GB. Keeping few costs 3 to 4 % of speed on short
# samples of clips (wav2vec2-base with 16 kept, XLSR with 32).
_SHAPES_KEPT = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "32"}

# A server that has imported what most jobs need, once, and forks a child in a tenth of a second.
# Elsewhere libraries of the system may not be used after a fork: there each child imports anew.
_CONTEXT = get_context("forkserver" if sys.platform == "linux" else "spawn")
_CONTEXT.set_forkserver_preload(["bench.executors.preloaded"])

_log = logging.getLogger(__name__)

# What this process is told where it is a child.
_worker: Worker | None = None
_started: Any = None


_DIED = (
    "its worker process died, most often because memory ran out; run again with --jobs 1 or a "
    "smaller batch: what is finished is kept"
)


class GivenUp(VoxgridError):
    """Nobody waits for these jobs any more; their children have ended."""


@dataclass(frozen=True)
class LocalExecutor:
    """Runs jobs in child processes; cores are shared out among those at work.

    Attributes:
        deadline: `time.time()` that jobs are told to stop at, or None.
        cores: to share out.
        tries: how often a job may take its child along before it is given up.
        given_up: asked each second whether nobody waits for the jobs any more; they then end.
    """

    deadline: float | None = None
    cores: int = field(default_factory=usable_cores)
    tries: int = 2
    given_up: Callable[[], bool] | None = None

    @property
    def places(self) -> int:
        """One machine."""
        return 1

    @property
    def slots(self) -> int:
        """One job per core."""
        return self.cores

    def run(
        self,
        jobs: Sequence[Job[Result]],
        *,
        workers: int,
        accelerator: bool = False,
        on_event: Callable[[Any], None] = lambda event: None,
    ) -> Iterator[Done[Result]]:
        """Run jobs and yield each as it ends; see `Executor.run`.

        A child that dies (killed for memory, crashed) takes its pool along. The jobs that were
        under way then run again, each alone; one whose child dies at the last try gives
        `WorkerDied`, and all the others go on.
        """
        threads = max(1, self.cores // workers)
        waiting = dict(enumerate(jobs))
        suspects: dict[int, Job[Result]] = {}
        deaths: Counter[int] = Counter()
        while waiting or suspects:
            if waiting:
                batch, at_once = waiting, workers
            else:
                index, job = suspects.popitem()
                batch, at_once = {index: job}, 1
            alone = not waiting
            # written by children before a job begins: shared memory, since what a killed child had
            # queued is lost with it
            started = _CONTEXT.RawArray("b", len(jobs))
            pool = _Pool(
                min(at_once, len(batch)), threads, self.deadline, started, on_event, self.given_up
            )
            for done in pool.run(batch):
                batch.pop(done.index, None)
                yield done
            if not batch:
                continue
            began = {index: batch.pop(index) for index in list(batch) if alone or started[index]}
            deaths.update(began.keys())
            for index in [index for index in began if deaths[index] >= self.tries]:
                del began[index]
                yield Done(index, WorkerDied(_DIED))
            suspects |= began
            if not (alone or suspects):  # the pool broke before any job began
                for index in batch:
                    yield Done(index, WorkerDied(_DIED))
                batch.clear()


@dataclass(frozen=True)
class _Pool:
    """Children for some jobs; those that a broken pool took down yield nothing.

    Attributes:
        workers: children at once.
        threads: of each.
        deadline: see `LocalExecutor`.
        started: shared array, set to 1 at the position of each job that began.
        on_event: see `Executor.run`.
        given_up: see `LocalExecutor`.
    """

    workers: int
    threads: int
    deadline: float | None
    started: Any
    on_event: Callable[[Any], None]
    given_up: Callable[[], bool] | None

    def run(self, jobs: dict[int, Job[Result]]) -> Iterator[Done[Result]]:
        """Run jobs by position; they are read only."""
        events: Queue[Any] = _CONTEXT.Queue()
        stop_reader, stop_writer = _CONTEXT.Pipe(duplex=False)
        finished = threading.Event()
        listener = threading.Thread(
            target=_listen, args=(events, finished, self.on_event), daemon=True
        )
        listener.start()
        with _child_environment(self.threads):
            pool = ProcessPoolExecutor(
                max_workers=self.workers,
                mp_context=_CONTEXT,
                initializer=_initialise,
                initargs=(events, stop_reader, self.started, self.threads, self.deadline),
            )
            try:
                futures: dict[Future[bytes], int] = {
                    pool.submit(_call, index, job): index for index, job in jobs.items()
                }
                for future in self._as_completed(futures):
                    outcome = unpacked(future.result)
                    if not isinstance(outcome, BrokenProcessPool):
                        yield Done(futures[future], outcome)
            except (KeyboardInterrupt, GeneratorExit, GivenUp):
                stop_writer.send(True)  # never received: every child sees it and ends at once
                raise
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
                finished.set()
                # a child killed half-way through an event may have left the listener blocked
                listener.join(timeout=2.0)
                stop_writer.close()

    def _as_completed(self, futures: Iterable[Future[bytes]]) -> Iterator[Future[bytes]]:
        waiting, second = set(futures), 1.0 if self.given_up else None
        while waiting:
            ended, waiting = wait_for(waiting, second, FIRST_COMPLETED)
            yield from ended
            if not ended and self.given_up and self.given_up():
                raise GivenUp("nobody waits for it any more")


@contextmanager
def _child_environment(threads: int) -> Iterator[None]:
    """What children's libraries read when they load: thread counts and cache sizes."""
    settings = _settings(threads)
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _settings(threads: int) -> dict[str, str]:
    return dict.fromkeys(_THREAD_VARIABLES, str(threads)) | _SHAPES_KEPT


def _listen(events: Queue[Any], finished: threading.Event, on_event: Callable[[Any], None]) -> None:
    while True:
        try:
            on_event(events.get(timeout=0.1))
        except queue.Empty:
            if finished.is_set():
                return
        # of a plugin's event anything may come up, and others' are to be heard all the same
        except BaseException:  # noqa: BLE001
            _log.debug("an event is passed over:", exc_info=True)
            if finished.is_set():
                return


def _initialise(
    events: Queue[Any], stop: Connection, started: Any, threads: int, deadline: float | None
) -> None:
    global _worker, _started
    _worker, _started = Worker(events.put, threads, deadline), started
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    os.environ.update(_settings(threads))  # for libraries that load later
    threadpool_limits(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    threading.Thread(target=_end_with_parent, args=(stop,), daemon=True).start()


def _end_with_parent(stop: Connection) -> None:
    parent = parent_process()
    wait([stop] if parent is None else [stop, parent.sentinel])
    os._exit(1)


def _call(index: int, job: Job[Any]) -> bytes:
    """Run a job; its result is packed here, or what cannot be would break the pool for all.

    Raises:
        Exception: the job did, an error that any process can read.
    """
    if _worker is None:
        raise RuntimeError("a job ran outside a worker process")
    _started[index] = 1
    try:
        return pickle.dumps(job(_worker))
    except BaseException as error:
        if _travels(error):
            raise
        crash = PluginCrashed(raised(error))
    # where Dask is imported, errors are packed with what caused them
    raise crash


def _travels(error: BaseException) -> bool:
    """Whether an error is one that another process can unpack, hand over and print."""
    try:
        again = pickle.loads(pickle.dumps(error))
        return isinstance(error, Exception) and str(again) == str(error)
    except BaseException:  # noqa: BLE001 a plugin's own methods are called
        return False


def unpacked(result: Callable[[], bytes]) -> Any:
    """The outcome of a job: what its packed result holds, or whatever came up instead."""
    try:
        return pickle.loads(result())
    except KeyboardInterrupt:
        raise  # a person's
    except Exception as error:  # noqa: BLE001 handed over, whatever it is
        return error
    except BaseException as error:  # noqa: BLE001 classes of plugins do what they like
        return PluginCrashed(f"its result cannot be read: {raised(error)}")
