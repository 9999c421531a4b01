"""The state of an unfinished fit on disk: written atomically, read without unpickling code."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

NAME = "last.ckpt"
# What reading a truncated, overwritten or foreign file raises.
_DAMAGED = (
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    EOFError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


def digest(configuration: Mapping[str, Any]) -> str:
    """A short name of everything that a checkpoint must share with the fit that goes on from it."""
    text = json.dumps(configuration, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Write beside `path` and rename, so that a kill leaves the file before or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    with unfinished.open("wb") as file:
        torch.save(dict(state), file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def read(path: Path, expected: str) -> tuple[dict[str, Any] | None, str | None]:
    """The state in a checkpoint, tensors on the CPU, if this fit can go on from it.

    Args:
        path: where it might be.
        expected: digest of this fit.

    Returns:
        The state, or None; and why a file that is there cannot be used.
    """
    if not path.exists():
        return None, None
    try:
        with zipfile.ZipFile(path) as archive:
            # torch does not compare checksums
            if (bad := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"wrong checksum of {bad}")
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state["digest"]
    except _DAMAGED as error:
        reason = (str(error).splitlines() or [""])[0]
        return None, f"is damaged ({type(error).__name__}: {reason[:120]})"
    if found != expected:
        return None, "belongs to a fit with other parameters or clips"
    return state, None
