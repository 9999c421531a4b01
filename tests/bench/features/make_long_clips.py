"""Sound of any length on the disk, made without ever holding it, and its extraction in a child."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile

RATE = 8000
_CHILD = Path(__file__).with_name("extract_in_child.py")


def generated(path: Path, minutes: int) -> Path:
    """A FLAC of a tone in noise that grows louder."""
    random = np.random.default_rng(0)
    tone = 0.8 * np.sin(2 * np.pi * 300 * np.arange(60 * RATE) / RATE)
    sound = tone + random.uniform(-0.1, 0.1, len(tone))
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for minute in range(minutes):
            file.write(sound * (minute + 1) / (minutes + 1))
    return path


def extract_in_child(
    cache: Path,
    backbone: str,
    files: Sequence[Path],
    *,
    layers: str = "[]",
    threads: int = 1,
    kill_after: int = 0,
    environment: Mapping[str, str] | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run `extract_in_child.py`; see there."""
    arguments = [cache, backbone, layers, threads, kill_after, *files]
    return subprocess.run(
        [sys.executable, _CHILD, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": str(threads), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
