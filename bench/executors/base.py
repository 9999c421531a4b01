"""What an executor is: jobs in, finished ones out as they end, wherever they ran."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from bench.errors import VoxgridError

Emit = Callable[[Any], None]
Result = TypeVar("Result")


class WorkerDied(VoxgridError):
    """A worker ended without a result, most often for lack of memory."""


class OtherMachine(VoxgridError):
    """A job cannot run as planned on the machine that it came to, and may on another."""


@dataclass(frozen=True)
class Worker:
    """What a job is told by whoever runs it.

    Attributes:
        emit: sends a progress event to the run.
        threads: for its computations.
        deadline: `time.time()` to stop at, or None.
    """

    emit: Emit
    threads: int
    deadline: float | None = None


# A picklable callable; it names no path of the machine that planned it, but through its stores.
Job = Callable[[Worker], Result]


@dataclass(frozen=True)
class Done(Generic[Result]):
    """A job that ended.

    Attributes:
        index: its position among the jobs given.
        outcome: its result, or the error that it raised or that befell its worker.
    """

    index: int
    outcome: Result | Exception


class Executor(Protocol):
    """Where jobs run."""

    @property
    def places(self) -> int:
        """How many jobs may use a whole machine or accelerator at once."""
        ...

    @property
    def slots(self) -> int:
        """How many jobs can run at once."""
        ...

    def run(
        self,
        jobs: Sequence[Job[Result]],
        *,
        workers: int,
        accelerator: bool = False,
        on_event: Callable[[Any], None] = lambda event: None,
    ) -> Iterator[Done[Result]]:
        """Run jobs and yield each as it ends.

        Args:
            jobs: in the order they should begin.
            workers: how many may run at once.
            accelerator: whether each takes an accelerator for itself.
            on_event: called in this process, from one thread, with what jobs emit.

        Yields:
            One `Done` per job. An error raised by a job is handed over, not raised.
        """
        ...
