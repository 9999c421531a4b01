"""What a checkpoint may hold: every tensor of the network, nothing unexplained."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from backbones.base import BackboneError, WeightsMismatch, first_line

if TYPE_CHECKING:
    import torch

NAMES_SHOWN = 5
# What a library makes of settings that contradict each other, or of sizes no memory can hold.
CONTRADICTIONS = (
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    ImportError,
)


@contextmanager
def buildable(name: str, what: str, library: str) -> Iterator[None]:
    """Turn what a library makes of settings it cannot build into a `BackboneError`."""
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except (StrictDataclassError, *CONTRADICTIONS) as error:
        raise BackboneError(
            f"{name}: {library} {version(library)} cannot build the {what} that its settings "
            f"describe ({first_line(error)}); get the published ones again"
        ) from error


def read_pickle(file: Path | IO[bytes], what: str, remedy: str, *, mmap: bool = False) -> Any:
    """Read a pickle of tensors and of nothing else, or say `what` it is and what to do."""
    import torch

    try:
        with warnings.catch_warnings():
            # of the version of a pickle that is refused next
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        # the rest of what torch says is how to switch this protection off
        named = re.search(r"GLOBAL (\S+)", str(error))
        why = "is damaged or holds something else than tensors"
        if named:
            why = f"asks to call {named[1]}, something else than tensors, and no code in it is run"
        raise WeightsMismatch(f"cannot read {what}, whose pickle {why}; {remedy}") from error
    except (EOFError, OSError, RuntimeError) as error:
        raise WeightsMismatch(f"cannot read {what} ({first_line(error)}); {remedy}") from error


def refuse_nan(source: str, tensors: Iterable[tuple[str, torch.Tensor]], remedy: str) -> None:
    """Refuse weights that are no numbers, for which the first clip would be blamed otherwise."""
    broken = [
        name
        for name, tensor in tensors
        if tensor.is_floating_point() and not bool(tensor.isfinite().all())
    ]
    if broken:
        raise WeightsMismatch(
            f"{source} holds NaN or infinite numbers in {len(broken)} of its tensors "
            f"({_shortened(broken)}); {remedy}"
        )


def load_strictly(
    module: torch.nn.Module,
    tensors: Mapping[str, torch.Tensor],
    *,
    source: str,
    prefix: str,
    remedy: str,
) -> None:
    """Copy `tensors` into `module`, refusing anything that does not fit exactly, or is no number.

    The values are cast to the module's own dtype, so that half precision on disk becomes
    float32 in memory. Tensors whose names lack `prefix` belong to other parts of the original
    model.
    """
    wanted = {prefix + name: tensor.shape for name, tensor in module.state_dict().items()}
    found = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    refuse(
        source,
        missing=wanted.keys() - found.keys(),
        unexpected=found.keys() - wanted.keys(),
        misshaped={
            name: (found[name].shape, wanted[name])
            for name in wanted.keys() & found.keys()
            if found[name].shape != wanted[name]
        },
        remedy=remedy,
    )
    refuse_nan(source, found.items(), remedy)
    module.load_state_dict({name.removeprefix(prefix): found[name] for name in wanted})


def refuse(
    source: str,
    *,
    missing: set[str],
    unexpected: set[str],
    misshaped: Mapping[str, tuple[torch.Size, torch.Size]],
    remedy: str,
) -> None:
    """Refuse a checkpoint in which anything is wrong; misshaped are shape found, shape wanted."""
    problems = {
        "missing": sorted(missing),
        "unexpected": sorted(unexpected),
        "of the wrong shape": [
            f"{name} {tuple(found)} instead of {tuple(wanted)}"
            for name, (found, wanted) in sorted(misshaped.items())
        ],
    }
    if any(problems.values()):
        listed = "; ".join(
            f"{len(names)} {problem} ({_shortened(names)})"
            for problem, names in problems.items()
            if names
        )
        raise WeightsMismatch(
            f"{source} does not fit this architecture, tensors: {listed}; {remedy}"
        )


def _shortened(names: list[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN])
    return shown + (f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else "")
