"""Every test here ends in seconds and in little memory, whatever its input asks for."""

from __future__ import annotations

import mmap
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest
import torch  # noqa: F401 what takes long to import is no part of a test
import transformers  # noqa: F401

SECONDS = 20
# Of further address space, of which threads and their arenas take a part without using it.
MEMORY = 2 << 30

Put = Callable[[Path], None]


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)  # takes no room on the disk


NO_FILES: dict[str, Put] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "dangling": lambda path: path.symlink_to("nowhere"),
    "huge": _huge,
}


@pytest.fixture(params=NO_FILES)
def no_file(request: pytest.FixtureRequest) -> Put:
    """What puts at a path something that is no file, or has no end."""
    return NO_FILES[request.param]


def refused(kind: type[Exception], act: Callable[..., object], *arguments: object) -> str:
    """Why something is refused: one printable sentence that is not too long to read."""
    with pytest.raises(kind) as caught:
        act(*arguments)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 2500
    return message


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
