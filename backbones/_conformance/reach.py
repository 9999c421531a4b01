"""What of torch a loaded backbone holds, wherever it keeps it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any, TypeVar

from backbones.base import Backbone

T = TypeVar("T")
# Nothing that belongs to one backbone is behind these.
NOT_FOLLOWED = (type, ModuleType, FunctionType, MethodType, logging.Logger)


def held(backbone: Backbone, kind: type[T]) -> Iterator[tuple[str, T]]:
    """Every object of a type reachable from a backbone's attributes, once, with the way to it."""
    import torch

    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("", backbone)]
    while waiting:
        path, value = waiting.pop()
        if id(value) in seen or isinstance(value, NOT_FOLLOWED):
            continue
        seen.add(id(value))
        if isinstance(value, kind):
            hidden = ("", "_modules", "_parameters", "_buffers")
            yield ".".join(part for part in path.split(".") if part not in hidden), value
        if isinstance(value, torch.Tensor):
            continue
        if isinstance(value, Mapping):
            waiting += [(f"{path}.{key}", inner) for key, inner in list(value.items())]
        elif isinstance(value, list | tuple | set | frozenset):
            waiting += [(f"{path}.{number}", inner) for number, inner in enumerate(value)]
        elif hasattr(value, "__dict__"):
            waiting += [(f"{path}.{name}", inner) for name, inner in list(vars(value).items())]


def digests(backbone: Backbone) -> dict[str, str]:
    """A digest of every tensor's content by its name."""
    import torch

    return {
        name: hashlib.blake2b(
            tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
        ).hexdigest()
        for name, tensor in held(backbone, torch.Tensor)
    }
