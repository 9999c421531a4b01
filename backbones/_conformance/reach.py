"""What of torch a loaded backbone holds, wherever it keeps it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from backbones.base import Backbone

if TYPE_CHECKING:
    import torch

# Nothing that belongs to one backbone is behind these.
NOT_FOLLOWED = (
    type,
    ModuleType,
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    logging.Logger,
    str,
    bytes,
    int,
    float,
)


def objects(backbone: Backbone) -> Iterator[tuple[str, Any]]:
    """Every object reachable from a backbone's attributes, once, with the way to it."""
    import torch

    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("", backbone)]
    while waiting:
        path, value = waiting.pop()
        if id(value) in seen or isinstance(value, NOT_FOLLOWED):
            continue
        seen.add(id(value))
        yield path, value
        if isinstance(value, torch.Tensor):
            continue
        if isinstance(value, Mapping):
            waiting += [(f"{path}.{key}", inner) for key, inner in list(value.items())]
        elif isinstance(value, list | tuple | set | frozenset):
            waiting += [(f"{path}.{number}", inner) for number, inner in enumerate(value)]
        elif hasattr(value, "__dict__"):
            waiting += [(f"{path}.{name}", inner) for name, inner in list(vars(value).items())]


def modules(backbone: Backbone) -> Iterator[tuple[str, torch.nn.Module]]:
    """Every torch module a backbone holds."""
    from torch import nn

    for path, value in objects(backbone):
        if isinstance(value, nn.Module):
            yield _readable(path), value


def tensors(backbone: Backbone) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor a backbone holds: parameters, buffers and others."""
    import torch

    for path, value in objects(backbone):
        if isinstance(value, torch.Tensor):
            yield _readable(path), value


def digests(backbone: Backbone) -> dict[str, str]:
    """A digest of every tensor's content by its name."""
    import torch

    return {
        name: hashlib.blake2b(
            tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
        ).hexdigest()
        for name, tensor in tensors(backbone)
    }


def _readable(path: str) -> str:
    parts = path.split(".")
    return ".".join(p for p in parts if p not in ("", "_modules", "_parameters", "_buffers"))
