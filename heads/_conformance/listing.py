"""What importing a module of heads brings along, seen in a process of its own."""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import subprocess
import sys
from typing import IO

from heads._conformance.subject import CheckFailed, require

HEAVY = ("torch", "lightning", "transformers", "xgboost", "peft")
# What comes before the heavy modules in what the process says.
FOUND = "imported by voxgrid check:"

_IMPORT = f"""
import importlib, json, os, sys, traceback
def look(module, path):
    sys.path[:] = path
    importlib.import_module(module)
    print({FOUND!r}, *[m for m in {HEAVY!r} if m in sys.modules], sep='\\n')
"""
_ALONE = f"{_IMPORT}\nlook(*json.loads(sys.argv[1]))"
# Scikit-learn, which every head needs, takes longest: it is imported once, and each module in a
# fork of that process, which answers with the fork's number, and then with how it ended.
_FORKING = f"""{_IMPORT}
import heads.base
for line in sys.stdin:
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(writes, 1)
        os.dup2(writes, 2)
        code = 1
        try:
            look(*json.loads(line))
            code = 0
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(writes)
    print(child, flush=True)
    with open(reads, errors="replace") as file:
        said = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([code, said]), flush=True)
"""


@functools.cache
def imported_by(module: str, patience: float) -> tuple[str, ...]:
    """Those of `HEAVY` that a module imports.

    Raises:
        CheckFailed: it cannot be imported by itself, or not in `patience` seconds.
    """
    asked = json.dumps([module, sys.path])
    try:
        code, said = (_forked if hasattr(os, "fork") else _alone)(asked, patience)
    except TimeoutError as error:
        raise CheckFailed(f"importing {module} takes more than {patience:g} s") from error
    # a module may print as it is imported, or exit
    before, found, heavy = said.partition(f"{FOUND}\n")
    reason = before.strip()[-300:] or f"exit code {code}"
    require(code == 0 and found, f"importing {module} failed: {reason}")
    return tuple(name for name in heavy.split() if name in HEAVY)


def _alone(asked: str, patience: float) -> tuple[int, str]:
    command = [sys.executable, "-c", _ALONE, asked]
    try:
        run = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    return run.returncode, run.stdout


def _forked(asked: str, patience: float) -> tuple[int, str]:
    server = _server(os.getpid())  # not that of a process which this one was forked from
    requests, answers = _pipes(server)
    requests.write(f"{asked}\n".encode())
    child = answers.readline()
    require(child, "importing heads.base failed")
    if not select.select([answers], [], [], patience)[0]:
        os.kill(int(child), signal.SIGKILL)
        _end(server)
        _server.cache_clear()
        raise TimeoutError
    code, said = json.loads(answers.readline())
    return code, said


@functools.cache
def _server(asking: int) -> subprocess.Popen[bytes]:
    """A process that forks, for as long as the one that is asking lives."""
    server = subprocess.Popen(
        [sys.executable, "-c", _FORKING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,  # what is left to read is to be seen by `select`
    )
    atexit.register(_end, server)
    return server


def _pipes(server: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if server.stdin is None or server.stdout is None:
        raise RuntimeError("started without pipes")
    return server.stdin, server.stdout


def _end(server: subprocess.Popen[bytes]) -> None:
    server.kill()
    server.wait()
    for pipe in _pipes(server):
        pipe.close()
