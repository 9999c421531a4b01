"""Where jobs run: child processes of this machine.

A job is a picklable callable `job(emit)`; `emit` sends a progress event to the parent. Children
end with their parent, however it ends, so that a killed run leaves nobody writing.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.queues import Queue
from typing import Any, Generic, TypeVar

from bench.errors import VoxgridError

Emit = Callable[[Any], None]
Result = TypeVar("Result")
Job = Callable[[Emit], Result]

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

_events: Queue[Any] | None = None
_started: Any = None


_DIED = (
    "its worker process died, most often because memory ran out; run again with --jobs 1 or a "
    "smaller batch: what is finished is kept"
)


class WorkerDied(VoxgridError):
    """A child process ended without a result, most often for lack of memory."""


@dataclass(frozen=True)
class Done(Generic[Result]):
    """A finished job: its position in the sequence given, and its result or its error."""

    index: int
    result: Result | None
    error: Exception | None


def run_jobs(
    jobs: Sequence[Job[Result]],
    *,
    workers: int,
    threads: int,
    on_event: Callable[[Any], None] = lambda event: None,
) -> Iterator[Done[Result]]:
    """Run jobs in child processes and yield each as it finishes.

    A child that dies (killed for memory, crashed) takes its pool along. The jobs that were under
    way then run again, each alone; one whose child dies a second time gives `WorkerDied`, and
    all the others go on.

    Args:
        jobs: picklable callables.
        workers: processes at once.
        threads: threads per process; workers × threads should not exceed the cores.
        on_event: called in this process, from one thread, with what jobs emit.

    Yields:
        One `Done` per job. An error raised by a job is handed over, not raised.
    """
    waiting = dict(enumerate(jobs))
    suspects: dict[int, Job[Result]] = {}
    while waiting or suspects:
        if waiting:
            batch, at_once = waiting, workers
        else:
            index, job = suspects.popitem()
            batch, at_once = {index: job}, 1
        alone = not waiting
        # written by children before a job begins: shared memory, since what a killed child had
        # queued is lost with it
        started = get_context("spawn").RawArray("b", len(jobs))
        for done in _run_pool(batch, at_once, threads, on_event, started):
            batch.pop(done.index, None)
            yield done
        if not batch:
            continue
        if alone:
            yield Done(next(iter(batch)), None, WorkerDied(_DIED))
            continue
        suspects |= {index: batch.pop(index) for index in list(batch) if started[index]}
        if not suspects:  # the pool broke before any job began
            for index in batch:
                yield Done(index, None, WorkerDied(_DIED))
            batch.clear()


def _run_pool(
    jobs: dict[int, Job[Result]],
    workers: int,
    threads: int,
    on_event: Callable[[Any], None],
    started: Any,
) -> Iterator[Done[Result]]:
    """Run jobs in one pool; those a broken pool took down yield nothing.

    Args:
        jobs: by position; read only.
        workers, threads, on_event: as for `run_jobs`.
        started: shared array, set to 1 at the position of each job that began.
    """
    context = get_context("spawn")
    events: Queue[Any] = context.Queue()
    stop_reader, stop_writer = context.Pipe(duplex=False)
    finished = threading.Event()
    listener = threading.Thread(target=_listen, args=(events, finished, on_event), daemon=True)
    listener.start()
    with _child_environment(threads):
        pool = ProcessPoolExecutor(
            max_workers=min(workers, len(jobs)),
            mp_context=context,
            initializer=_initialise,
            initargs=(events, stop_reader, started),
        )
        try:
            futures: dict[Future[Result], int] = {
                pool.submit(_call, index, job): index for index, job in jobs.items()
            }
            for future in as_completed(futures):
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    continue
                if error is not None and not isinstance(error, Exception):
                    raise error
                yield Done(futures[future], None if error else future.result(), error)
        except (KeyboardInterrupt, GeneratorExit):
            stop_writer.send(True)  # never received: every child sees it and ends at once
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            finished.set()
            # a child killed half-way through an event may have left the listener blocked
            listener.join(timeout=2.0)
            stop_writer.close()


@contextmanager
def _child_environment(threads: int) -> Iterator[None]:
    """What children's libraries read when they load: thread counts and cache sizes."""
    settings = dict.fromkeys(_THREAD_VARIABLES, str(threads)) | _SHAPES_KEPT
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


def _listen(events: Queue[Any], finished: threading.Event, on_event: Callable[[Any], None]) -> None:
    while True:
        try:
            on_event(events.get(timeout=0.1))
        except queue.Empty:
            if finished.is_set():
                return


def _initialise(events: Queue[Any], stop: Connection, started: Any) -> None:
    global _events, _started
    _events, _started = events, started
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    threading.Thread(target=_end_with_parent, args=(stop,), daemon=True).start()


def _end_with_parent(stop: Connection) -> None:
    parent = parent_process()
    wait([stop] if parent is None else [stop, parent.sentinel])
    os._exit(1)


def _call(index: int, job: Job[Result]) -> Result:
    if _events is None:
        raise RuntimeError("a job ran outside a worker process")
    _started[index] = 1
    return job(_events.put)
