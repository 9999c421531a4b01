"""How long processes take to start, with what they import: measured by each run for later plans."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from backbones.reading import SETTINGS, read_bytes
from bench import machine, paths
from bench.files import replacing

# Assumed until a run has measured them here: seconds on two cores with a warm disk.
PROGRAM = 10.0  # the command itself, and the page at its end
EXTRACTION = 10.0  # torch and the warm-up
WEIGHTS = 10.0  # the library of a network, and reading its weights
TUNING = 5.0

# No process takes longer than a day to start.
_Seconds = Annotated[float, Field(ge=0, le=86_400)]


def _path() -> Path:
    return paths.cache_dir() / "starts.json"


def _read() -> dict[str, dict[str, float]]:
    """Seconds by processor and phase; nothing where nothing was measured or the file is damaged."""
    with suppress(OSError, ValueError):
        content = read_bytes(_path(), SETTINGS)
        return TypeAdapter(dict[str, dict[str, _Seconds]]).validate_json(content)
    return {}


def measured() -> Mapping[str, float]:
    """Seconds from the start of a phase to its first sign of life, by phase, on this processor."""
    return _read().get(machine.processor(), {})


def remember(phase: str, seconds: float) -> None:
    """Keep what a phase took to start; a cache that cannot be written costs no run."""
    found = _read()
    found.setdefault(machine.processor(), {})[phase] = round(seconds, 1)
    with suppress(OSError), replacing(_path()) as partial:
        partial.write_text(json.dumps(found, indent=1), encoding="utf-8")
