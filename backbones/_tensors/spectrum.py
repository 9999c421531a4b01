"""Power spectra for graphs, which have neither complex numbers nor a Fourier transform of any size.

Imports torch, so it is imported inside methods.
"""

from __future__ import annotations

import math

import torch
from torch import nn


class PowerSpectrum(nn.Module):
    """Squared magnitudes of the short-time Fourier transform of one wave, by a product.

    In float64: next to a loud frequency a quiet one is nothing but rounding in float32, and there
    this and a fast Fourier transform would differ.

    Args:
        window: (samples,), `size` at most; where it is shorter it lies in the middle, unless it is
            not to be `centred`: then at the beginning.
        size: samples of a frame.
        hop: samples from one frame to the next.
    """

    basis: torch.Tensor

    def __init__(self, window: torch.Tensor, size: int, hop: int, *, centred: bool = True) -> None:
        super().__init__()
        before = (size - len(window)) // 2 if centred else 0
        window = nn.functional.pad(window.double().cpu(), (before, size - len(window) - before))
        turns = torch.arange(size)[:, None] * torch.arange(size // 2 + 1) % size
        angles = turns.double() * (2 * math.pi / size)
        basis = torch.cat([angles.cos(), angles.sin()], dim=1) * window[:, None]
        self.register_buffer("basis", basis)
        self.size, self.hop = size, hop

    def forward(self, wave: torch.Tensor, frames: int) -> torch.Tensor:
        """(samples,), of which the frames take `(frames - 1) * hop + size` → (frames, bins)."""
        starts = torch.arange(frames, device=wave.device) * self.hop
        places = starts[:, None] + torch.arange(self.size, device=wave.device)
        real, imaginary = (wave[places].double() @ self.basis).chunk(2, dim=1)
        return (real.square() + imaginary.square()).float()


def at_least(samples: int, wave: torch.Tensor) -> torch.Tensor:
    """A wave (samples,) of at least so many samples; silence fills up."""
    return nn.functional.pad(wave, (0, torch.sym_max(0, samples - wave.shape[0])))
