"""The state of an unfinished fit on disk: tensors and JSON, written atomically."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

NAME = "last.ckpt"
# One of the largest backbone here, all of it trained, has 5 GB.
_MOST_BYTES = 32 << 30
# Names of tensors, and all that is no tensor; a thousand epochs have 200 kB.
_MOST_HEADER = 16 << 20
# What a file comes to that is cut, changed or made by others.
_DAMAGES = (OSError, ValueError, LookupError, TypeError, RuntimeError, MemoryError)


def digest(configuration: Mapping[str, Any]) -> str:
    """A short name of everything that a checkpoint must share with the fit that goes on from it."""
    text = json.dumps(configuration, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Write beside `path` and rename, so that a kill leaves the file before or the new one.

    Args:
        path: where the state goes.
        state: tensors by name in each value that is a dict; all others are JSON's.
    """
    tensors = {
        f"{table}/{name}": tensor.detach().cpu().contiguous()
        for table, held in state.items()
        if isinstance(held, dict)
        for name, tensor in held.items()
    }
    text = json.dumps({k: {} if isinstance(v, dict) else v for k, v in state.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        unfinished.touch(exist_ok=False)  # nothing that lies there, and through no link
        save_file(tensors, unfinished, {"state": text, "crc32": _checksum(text, tensors)})
        with unfinished.open("r+b") as file:
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
        with path.open("rb") as file:
            # what is no checkpoint has any number there
            if int.from_bytes(file.read(8), "little") > _MOST_HEADER:
                raise ValueError("its header is too large")
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            # copies, for the file is replaced after the next epoch
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        text = metadata.get("state", "")
        if metadata.get("crc32") != _checksum(text, tensors):
            raise ValueError("wrong checksum")
        state = json.loads(text)
        for name, tensor in tensors.items():
            table, _, name = name.partition("/")
            state[table][name] = tensor
        found = state["digest"]
        if type(state["batch_size"]) is not int or state["batch_size"] < 1:
            raise ValueError("its batch is none")
    except (*_DAMAGES, SafetensorError) as error:
        return None, damage(error)
    if found != expected:
        return None, "belongs to a fit with other parameters or clips"
    return state, None


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Of all that a file holds, for safetensors would not notice a bit that flipped."""
    found = zlib.crc32(text.encode())
    for name, tensor in sorted(tensors.items()):
        found = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}".encode(), found)
        found = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, found)
    return f"{found:08x}"


def damage(error: Exception) -> str:
    """Why a checkpoint cannot be used that raised an error where it was read."""
    reason = (str(error).splitlines() or [""])[0]
    return f"is damaged ({type(error).__name__}: {reason[:120]})"
