"""Encoders of transformers on one wave, without padding: see `Backbone.exported`.

Imports torch, so it is imported inside methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import gelu

from backbones._tensors.spectrum import PowerSpectrum, at_least

Layers = tuple[torch.Tensor, ...]


class ExportedWaveform(nn.Module):
    """wav2vec 2.0 and its relatives.

    Args:
        model: the loaded network.
        run: waves (1, samples) → layers (1, frames, width), by `model`.
        shortest: samples that a clip has at least.
    """

    def __init__(
        self, model: nn.Module, run: Callable[[torch.Tensor], Layers], shortest: int
    ) -> None:
        super().__init__()
        self.model, self.run, self.shortest = model, run, shortest

    def forward(self, wave: torch.Tensor) -> Layers:
        """(samples,) → layers (frames, width)."""
        wave = at_least(self.shortest, wave).to(next(self.model.parameters()).dtype)
        return tuple(layer[0] for layer in self.run(wave[None]))


class ExportedWhisper(nn.Module):
    """The encoder of Whisper behind its features.

    Args:
        model: the loaded encoder.
        window: of the features, (samples,).
        filters: mel filters (bins, mels).
        hop: samples from one feature frame to the next.
    """

    filters: torch.Tensor

    def __init__(self, model: Any, window: torch.Tensor, filters: torch.Tensor, hop: int) -> None:
        super().__init__()
        self.model = model
        self.spectrum = PowerSpectrum(window, len(window), hop)
        self.register_buffer("filters", filters)

    def forward(self, wave: torch.Tensor) -> Layers:
        """(samples,) → layers (frames, width)."""
        encoder = self.model
        x = self.log_mel(wave)[None].to(encoder.conv1.weight.dtype)
        x = gelu(encoder.conv2(gelu(encoder.conv1(x)))).transpose(1, 2)
        layers = [x + encoder.embed_positions.weight[: x.shape[1]]]
        for block in encoder.layers:
            layers.append(block(layers[-1], None))
        layers[-1] = encoder.layer_norm(layers[-1])
        return tuple(layer[0] for layer in layers)

    def log_mel(self, wave: torch.Tensor) -> torch.Tensor:
        """(mels, mel frames) of the wave's own frames; see `Whisper.log_mel`."""
        size, hop = self.spectrum.size, self.spectrum.hop
        wave = at_least(size, wave)
        frames = (wave.shape[0] + hop - 1) // hop
        mirrored = wave[1 : size // 2 + 1].flip(0)
        padded = torch.cat([mirrored, wave, wave.new_zeros(size // 2)])
        power = self.spectrum(padded, frames) @ self.filters
        bands = power.clamp(min=1e-10).log10()
        return ((torch.maximum(bands, bands.max() - 8.0) + 4.0) / 4.0).T
