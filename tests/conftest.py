"""Shared fixtures: caches and results that belong to one test session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _two_threads() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder shared by the session, so that sample clips are generated once."""
    return tmp_path_factory.mktemp("cache")


def heed_ctrl_c() -> None:
    """In a child before it starts: what a shell runs in the background ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


Voxgrid = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(session_cache: Path) -> dict[str, str]:
    """The environment of a machine without data, weights or network."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("VOXGRID_", "HF_"))}
    return kept | {
        "VOXGRID_CACHE": str(session_cache),
        "VOXGRID_OFFLINE": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(session_cache / "hf"),
    }


@pytest.fixture
def voxgrid(environment: dict[str, str], tmp_path: Path) -> Voxgrid:
    """Run the real command in an empty folder and return what it printed."""

    def call(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bench.cli", *arguments],
            cwd=tmp_path,
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return call
