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
from lightning.pytorch.plugins.io import CheckpointIO

NAME = "last.ckpt"
# Under this key our own state lies beside lightning's.
STATE = "voxgrid"
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


class AtomicFile(CheckpointIO):
    """Lightning's way to the file, in place of its own, which unpickles and buffers in memory."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write beside `path` and rename, so that a kill leaves the file before or the new one."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".tmp")
        with unfinished.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)

    def load_checkpoint(self, path: str | Path, map_location: Any = None) -> dict[str, Any]:
        """Read tensors and plain values only; to the CPU, from where lightning places them."""
        return torch.load(path, map_location="cpu", weights_only=True)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete the file if it is there."""
        Path(path).unlink(missing_ok=True)


def read(path: Path, expected: str) -> tuple[dict[str, Any] | None, str | None]:
    """Our own part of a checkpoint, if this fit can go on from it.

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
        state = AtomicFile().load_checkpoint(path)[STATE]
        found = state["digest"]
    except _DAMAGED as error:
        reason = (str(error).splitlines() or [""])[0]
        return None, f"is damaged ({type(error).__name__}: {reason[:120]})"
    if found != expected:
        return None, "belongs to a fit with other parameters or clips"
    return state, None
