"""Encoders of NeMo on one wave, without padding: see `Backbone.exported`.

Imports torch, so it is imported inside methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad, relu

from backbones._nemo.blocks import ConvBlock
from backbones._tensors.spectrum import PowerSpectrum, at_least

# What NeMo adds to the deviation of a band, so that it is not zero.
_LEAST_DEVIATION = 1e-5


class ExportedLogMel(nn.Module):
    """What NeMo's `FilterbankFeatures` computes in evaluation mode, before any normalisation.

    Args:
        featurizer: NeMo's own, which says how.
        shortest: samples that a clip has at least.
    """

    filters: torch.Tensor

    def __init__(self, featurizer: Any, shortest: int) -> None:
        super().__init__()
        of, self.shortest = featurizer, shortest
        window = torch.ones(of.win_length) if of.window is None else of.window
        self.spectrum = PowerSpectrum(window, of.n_fft, of.hop_length)
        self.register_buffer("filters", of.fb[0].T)
        self.edge = of.n_fft // 2 if of.stft_pad_amount is None else of.stft_pad_amount
        self.preemphasis, self.power, self.log = of.preemph, of.mag_power / 2, of.log
        self.guard, self.adds = of.log_zero_guard_value_fn(of.fb), of.log_zero_guard_type == "add"

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        """(samples,) → (mel frames, bands)."""
        wave = at_least(self.shortest, wave)
        frames = (wave.shape[0] + 2 * self.edge - self.spectrum.size) // self.spectrum.hop
        if self.preemphasis is not None:
            wave = torch.cat([wave[:1], wave[1:] - self.preemphasis * wave[:-1]])
        power = self.spectrum(pad(wave, (self.edge, self.edge)), frames)
        if self.power != 1:
            power = power**self.power
        bands = power @ self.filters
        if not self.log:
            return bands
        return (bands + self.guard if self.adds else bands.clamp(min=self.guard)).log()


class ExportedQuartzNet(nn.Module):
    """Features, normalised per clip and band, and the folded blocks.

    Args:
        featurizer, shortest: as of `ExportedLogMel`.
        blocks: of the loaded encoder.
        dtype: what the blocks compute in.
    """

    def __init__(
        self, featurizer: Any, shortest: int, blocks: Sequence[ConvBlock], dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.log_mel = ExportedLogMel(featurizer, shortest)
        self.blocks = nn.ModuleList(blocks)
        self.dtype = dtype

    def forward(self, wave: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(samples,) → layers (frames, width)."""
        mel = self.log_mel(wave)
        # in float64: a near-silent band hardly deviates, and is divided by that
        exact = mel.double()
        centred = exact - exact.mean(dim=0)
        deviation = (centred.square().sum(dim=0) / (mel.shape[0] - 1)).sqrt()
        x = (centred / (deviation + _LEAST_DEVIATION))[None].to(self.dtype)
        layers = [mel]
        for block in self.blocks:
            x = _through(block, x)
            layers.append(x[0])
        return tuple(layers)


def _through(block: Any, x: torch.Tensor) -> torch.Tensor:
    """What `ConvBlock` makes of frames that are all a clip's own (1, frames, width)."""
    shortcut = None if block.residual is None else _convolved(block.residual, x)
    for index, conv in enumerate(block.body):
        x = _convolved(conv, x)
        if shortcut is not None and index == len(block.body) - 1:
            x = x + shortcut
        x = relu(x)
    return x


def _convolved(conv: Any, x: torch.Tensor) -> torch.Tensor:
    """What `Conv` makes of frames (1, frames, width), without autocast, which no graph has."""
    if conv.depthwise is not None:
        x = conv.over_time(x.float(), conv.depthwise).to(x.dtype)
    return conv.pointwise(x)
