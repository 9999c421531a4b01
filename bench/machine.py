"""What a number was measured on: hardware, memory, versions, time."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from bench.errors import UserError

_PACKAGES = (
    "voxgrid",
    # encoders
    "torch",
    "transformers",
    "nemo_toolkit",
    "opensmile",
    # sound, and augmented sound
    "av",
    "soundfile",
    "soxr",
    "python-stretch",
    # heads, folds and the search
    "lightning",
    "peft",
    "scikit-learn",
    "xgboost-cpu",
    "xgboost",
    "optuna",
    # numbers, and predictions on disk
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
)


@cache
def processor() -> str:
    """Name of the processor with its number of usable cores, e.g. `AMD EPYC, 2 cores`."""
    name = platform.processor() or platform.machine()
    if platform.system() == "Darwin":
        sysctl = ["sysctl", "-n", "machdep.cpu.brand_string"]
        name = subprocess.run(sysctl, capture_output=True, text=True, check=False).stdout.strip()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    cores = usable_cores()
    return f"{name}, {cores} core{'s' if cores != 1 else ''}"


def usable_cores() -> int:
    """Cores this process may use: taskset and a container's quota included."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.exists():
        allowed, period = quota.read_text().split()
        if allowed != "max":
            cores = min(cores, max(1, round(int(allowed) / int(period))))
    return cores


def require(device: str) -> None:
    """Make sure that a device is on this machine, as far as torch can tell; `cpu` always is.

    Raises:
        UserError: it is not; says which of its kind are.
    """
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return
    import torch

    there = getattr(torch, kind).device_count()
    if int(number or 0) >= there:
        known = f"only {kind}:0 to {kind}:{there - 1}" if there else "none of this kind"
        raise UserError(
            f"device '{device}' is not on this machine, where torch finds {known}: choose another "
            "with --device, or cpu"
        )


def hardware(device: str = "cpu") -> str:
    """Name of what a backbone runs on."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    return processor()


def peak_rss_mb() -> float:
    """Largest resident size of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # not ru_maxrss: on Linux a child inherits its parent's
        (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    if os.name == "nt":
        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource

    unit = 1 if platform.system() == "Darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def return_free_memory() -> None:
    """Hand freed memory back to the system, where glibc would keep it.

    Tensors of hundreds of shapes leave its heap in pieces, and a long extraction grows although
    each batch needs no more than the last.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@cache
def package_versions() -> dict[str, str]:
    """Installed versions of what the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def git_sha() -> str | None:
    """Commit of the voxgrid checkout that runs, `-dirty` where Python files differ from it.

    None where voxgrid was installed without its repository.
    """
    root = Path(__file__).resolve().parent.parent
    if _git(root, "rev-parse", "--show-toplevel") != str(root):
        return None  # installed somewhere inside another repository
    head = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--", "*.py")
    return f"{head}-dirty" if head and changed else head


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints, or None where there is no git, no repository or no commit."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def utc_now() -> str:
    """Now, ISO 8601 to the second, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
