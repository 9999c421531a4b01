"""Mel-frequency cepstral coefficients (Davis and Mermelstein 1980), without any weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backbones import Backbone, BackboneInfo, Frames

if TYPE_CHECKING:
    import torch

INFO = BackboneInfo(
    name="example-mfcc",
    summary="20 mel-frequency cepstral coefficients, no weights",
    weights_id=None,
    revision=None,
    licence="Apache-2.0",
    sample_rate=16_000,
    layers=1,
    width=20,
    frame_rate=100.0,
    max_seconds=30.0,
    attention_mask=True,
    normalised=False,
)

WINDOW, HOP, FFT, MELS = 400, 160, 512, 40
# 100 dB under full scale, so that silence has a logarithm
FLOOR = 1e-10


class Mfcc(Backbone):
    """Windows of 25 ms every 10 ms → log power of 40 mel bands → 20 cosine coefficients."""

    info = INFO

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Compute the window, the mel filters and the cosines; see `Backbone.load`."""
        import torch
        from transformers.audio_utils import mel_filter_bank

        filters = mel_filter_bank(FFT // 2 + 1, MELS, 0.0, 8000.0, INFO.sample_rate, norm="slaney")
        steps = torch.arange(MELS) + 0.5
        cosines = torch.cos(torch.pi / MELS * steps[:, None] * torch.arange(INFO.width))
        scale = torch.full((INFO.width,), (2 / MELS) ** 0.5)
        scale[0] = (1 / MELS) ** 0.5  # the orthonormal DCT-II
        self._filters = torch.from_numpy(filters).float().to(device)
        self._cosines = (cosines * scale).to(device)
        self._window = torch.hann_window(WINDOW, device=device)

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """Encode one batch, (batch, frames, 20) at 100 Hz; see `Backbone.encode`."""
        import torch

        with torch.no_grad():
            lengths = lengths.clamp(min=WINDOW)  # a shorter clip counts as 25 ms
            waves = torch.nn.functional.pad(waves, (0, max(0, WINDOW - waves.shape[1])))
            pieces = waves.float().unfold(1, WINDOW, HOP) * self._window
            power = torch.fft.rfft(pieces, FFT).abs() ** 2
            bands = (power @ self._filters).clamp(min=FLOOR).log()
        return Frames.same_lengths([bands @ self._cosines], (lengths - WINDOW) // HOP + 1)
