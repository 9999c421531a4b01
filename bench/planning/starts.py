"""How long processes take to start, with what they import: measured by each run for later plans."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from bench import machine, paths
from bench.files import replacing

# Assumed until a run has measured them here: seconds on two cores with a warm disk.
PROGRAM = 10.0  # the command itself, and the page at its end
EXTRACTION = 10.0  # torch and the warm-up
WEIGHTS = 10.0  # the library of a network, and reading its weights
TUNING = 5.0


def _path() -> Path:
    return paths.cache_dir() / "starts.json"


def measured() -> Mapping[str, float]:
    """Seconds from the start of a phase to its first sign of life, by phase, on this processor."""
    with suppress(OSError, ValueError):
        found = json.loads(_path().read_text(encoding="utf-8"))[machine.processor()]
        return {str(phase): float(seconds) for phase, seconds in found.items()}
    return {}  # nothing measured yet, or damaged: then it is assumed


def remember(phase: str, seconds: float) -> None:
    """Keep what a phase took to start; a cache that cannot be written costs no run."""
    found: dict[str, dict[str, float]] = {}
    with suppress(OSError, ValueError):
        found = json.loads(_path().read_text(encoding="utf-8"))
    found[machine.processor()] = {**measured(), phase: round(seconds, 1)}
    with suppress(OSError), replacing(_path()) as partial:
        partial.write_text(json.dumps(found, indent=1), encoding="utf-8")
