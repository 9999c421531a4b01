"""Runs jobs in this process, one after another: what they do, without the children."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.executors.base import Done, Job, Result, Worker


@dataclass(frozen=True)
class InlineExecutor:
    """An `Executor` that starts nothing.

    Attributes:
        deadline: `time.time()` that jobs are told to stop at, or None.
    """

    deadline: float | None = None
    places: int = 1
    slots: int = 1

    def run(
        self,
        jobs: Sequence[Job[Result]],
        *,
        workers: int,
        accelerator: bool = False,
        on_event: Callable[[Any], None] = lambda event: None,
    ) -> Iterator[Done[Result]]:
        """Run jobs and yield each as it ends; see `Executor.run`."""
        for index, job in enumerate(jobs):
            # any other executor sends them away and their results back
            sent: Job[Result] = pickle.loads(pickle.dumps(job))
            try:
                outcome = sent(Worker(on_event, 1, self.deadline))
            except Exception as error:  # noqa: BLE001  handed over, whatever it is
                yield Done(index, error)
            else:
                yield Done(index, pickle.loads(pickle.dumps(outcome)))
