"""The state of an unfinished fit on disk: written atomically, read without unpickling code."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

NAME = "last.ckpt"
# One of the largest backbone here, all of it trained, has 5 GB.
_MOST_BYTES = 32 << 30


def digest(configuration: Mapping[str, Any]) -> str:
    """A short name of everything that a checkpoint must share with the fit that goes on from it."""
    text = json.dumps(configuration, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Write beside `path` and rename, so that a kill leaves the file before or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with unfinished.open("xb") as file:  # nothing that lies there, and through no link
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


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
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return None, f"is no file of at most {_MOST_BYTES >> 30} GiB"
    try:
        with zipfile.ZipFile(path) as archive:
            # as torch writes them; what is packed may unpack to anything
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise zipfile.BadZipFile("it is packed")
            # torch does not compare checksums
            if (bad := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"wrong checksum of {bad}")
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state["digest"]
        if type(state["batch_size"]) is not int or state["batch_size"] < 1:
            raise ValueError("its batch is none")
    # truncated, overwritten or foreign: zip, pickle and torch each raise what they like
    except Exception as error:  # noqa: BLE001
        return None, damage(error)
    if found != expected:
        return None, "belongs to a fit with other parameters or clips"
    return state, None


def damage(error: Exception) -> str:
    """Why a checkpoint cannot be used that raised an error where it was read."""
    reason = (str(error).splitlines() or [""])[0]
    return f"is damaged ({type(error).__name__}: {reason[:120]})"
