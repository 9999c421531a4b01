"""Shared fixtures: caches and results that belong to one test session."""

from __future__ import annotations

import functools
import gc
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import typer.main
from hypothesis import settings

from bench import cli
from bench.tasks import TASKS
from tests.bench.executors.inline import InlineExecutor

# Machines differ, and so do their loads: no test of what is right is one of how fast it is.
settings.register_profile("voxgrid", deadline=None, max_examples=50)
settings.load_profile("voxgrid")

# A process makes the tree of commands once; this one need not make it for each call.
typer.main.get_command = functools.cache(typer.main.get_command)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage among what is imported, which stays: neither now nor later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


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


def one_core() -> None:
    """In a child before it starts: it computes with one thread, as `InlineExecutor` does."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


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
def voxgrid(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Voxgrid:
    """Run the command in an empty folder and return what it printed; nothing leaves the test."""

    def call(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as machine, redirect_stdout(out), redirect_stderr(err):
            for name in os.environ.keys() - environment.keys():
                machine.delenv(name)
            for name, value in (environment | more).items():
                machine.setenv(name, value)
            # read from the environment once, when the library is imported
            machine.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
            machine.setattr(
                "huggingface_hub.constants.HF_HUB_CACHE", f"{environment['HF_HOME']}/hub"
            )
            machine.setattr("bench.run.place.LocalExecutor", InlineExecutor)
            machine.setattr("bench.winner.refit.LocalExecutor", InlineExecutor)
            # one's own data are tasks of the process that was told of them
            known = TASKS._found
            machine.setattr(TASKS, "_found", known and tuple(map(dict, known)))
            machine.setattr(sys, "argv", ["voxgrid", *arguments])
            machine.chdir(tmp_path)
            code: object = 0
            try:
                cli.main()
            except SystemExit as ended:
                code = ended.code or 0
        assert isinstance(code, int), code
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def voxgrid_process(environment: dict[str, str], tmp_path: Path) -> Voxgrid:
    """The same as a process of its own, where one is the point: it takes seconds to start."""

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
