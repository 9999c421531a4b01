"""Every test here ends in seconds and in little memory, whatever its input asks for."""

from __future__ import annotations

import mmap
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
import torch  # noqa: F401 what takes long to import is no part of a test
import transformers  # noqa: F401

SECONDS = 20
# Of further address space, of which threads and their arenas take a part without using it.
MEMORY = 2 << 30


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """End the test after some seconds, and let it have no more than some memory."""
    if sys.platform != "linux":
        yield
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, _too_long)
    resource.setrlimit(resource.RLIMIT_AS, (pages * mmap.PAGESIZE + MEMORY, hard))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
