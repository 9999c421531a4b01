"""Padded batches, and parts of an encoder to be trained."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from backbones.base import STEM

if TYPE_CHECKING:
    import torch

# A batch, zero after the end of each row, and how much of each row is its own.
Padded = tuple["torch.Tensor", "torch.Tensor"]


def at_least(samples: int, waves: torch.Tensor, lengths: torch.Tensor) -> Padded:
    """Waves as long as the longest clip, and lengths of at least `samples`; silence fills up."""
    import torch

    lengths = lengths.clamp(min=samples)
    longest = int(lengths.max())
    waves = waves[:, :longest]
    return torch.nn.functional.pad(waves, (0, longest - waves.shape[1])), lengths


def valid_frames(lengths: torch.Tensor, frames: int) -> torch.Tensor:
    """Boolean (batch, frames): True for a clip's own frames."""
    import torch

    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def zero_padding(hidden: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """(batch, frames, width) with zeros after each clip's end; the input is left alone."""
    return hidden.masked_fill(~valid_frames(lengths, hidden.shape[1])[..., None], 0.0)


def check_part(start: int, stop: int, last: int) -> None:
    """Refuse a part that an encoder whose last layer is `last` does not have with a ValueError."""
    if not STEM <= start < stop <= last:
        raise ValueError(
            f"no part makes layer {stop} from layer {start}: the layers are 0 to {last}, "
            f"a part starts at one of them or at the stem ({STEM}) and stops at a later one"
        )


def trainable(module: torch.nn.Module) -> Any:
    """Copy a frozen module on its device: in float32, every parameter requires gradients."""
    return copy.deepcopy(module).float().requires_grad_(True)
