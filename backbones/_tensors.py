"""Strict copying of checkpoint tensors into a model: nothing missing, nothing unexplained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from backbones.base import WeightsMismatch

if TYPE_CHECKING:
    import torch

NAMES_SHOWN = 5


def load_strictly(
    module: torch.nn.Module,
    tensors: Mapping[str, torch.Tensor],
    *,
    source: str,
    prefix: str,
    ignored: Iterable[str] = (),
) -> None:
    """Copy `tensors` into `module`, refusing anything that does not fit exactly.

    The values are cast to the module's own dtype, so that half precision on disk becomes
    float32 in memory.

    Args:
        module: the network to fill; its state dict names what is wanted.
        tensors: the checkpoint, name → tensor.
        source: the file the tensors come from, for messages.
        prefix: what the checkpoint puts before the names of `module`, such as `encoder.`.
        ignored: prefixes of tensors that belong to other parts of the original model.

    Raises:
        WeightsMismatch: a tensor is missing, unexpected or of the wrong shape.
    """
    wanted = {prefix + name: tensor.shape for name, tensor in module.state_dict().items()}
    found = {k: v for k, v in tensors.items() if not k.startswith(tuple(ignored))}
    problems = {
        "missing": sorted(wanted.keys() - found.keys()),
        "unexpected": sorted(found.keys() - wanted.keys()),
        "of the wrong shape": [
            f"{name} {tuple(found[name].shape)} instead of {tuple(wanted[name])}"
            for name in sorted(wanted.keys() & found.keys())
            if found[name].shape != wanted[name]
        ],
    }
    refuse(source, problems)
    module.load_state_dict({name.removeprefix(prefix): found[name] for name in wanted})


def refuse(source: str, problems: Mapping[str, list[str]]) -> None:
    """Refuse a checkpoint unless every list of problems is empty.

    Args:
        source: the file the tensors come from.
        problems: what is wrong → the tensors it is wrong with.

    Raises:
        WeightsMismatch: naming the first few of each.
    """
    if any(problems.values()):
        listed = "; ".join(
            f"{len(names)} {problem} ({_shortened(names)})"
            for problem, names in problems.items()
            if names
        )
        raise WeightsMismatch(
            f"{source} does not fit this architecture, tensors: {listed}. Delete the file and "
            "get the published weights again, or point VOXGRID_WEIGHTS at a folder that has them."
        )


def _shortened(names: list[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown + (f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else "")
