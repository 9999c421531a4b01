"""Where a run's jobs go: children of this process, or workers of a Dask cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.config.spec import RunSpec
from bench.errors import UserError
from bench.executors.base import Executor
from bench.executors.local import LocalExecutor
from bench.machine import usable_cores


@contextmanager
def executor(spec: RunSpec, say: Callable[[str], None]) -> Iterator[Executor]:
    """The executor that a run asks for, until the block ends.

    `say` is told of workers that are refused.

    Raises:
        UserError: Dask is not installed, no scheduler answers, or every worker is refused.
    """
    deadline = None if spec.seconds is None else time.time() + spec.seconds
    if spec.on is None:
        yield LocalExecutor(deadline)
        return
    try:
        from bench.executors.dask import connected
    except ImportError as error:
        raise UserError(
            f"--on {spec.on} needs Dask, which is optional; get it with: "
            "pip install 'voxgrid[cluster]'"
        ) from error
    with connected(spec.on, spec.jobs or usable_cores(), say, deadline) as found:
        yield found
