"""Log-mel bands: the reference without any weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backbones.base import Backbone, BackboneInfo, Frames

if TYPE_CHECKING:
    import torch

INFO = BackboneInfo(
    name="logmel",
    summary="80 log-mel bands, no weights: what a pretrained backbone has to beat",
    weights_id=None,
    revision=None,
    licence="Apache-2.0",
    sample_rate=16_000,
    layers=1,
    width=80,
    frame_rate=100.0,
    max_seconds=30.0,
    attention_mask=True,
    normalised=False,
)

WINDOW = 400
HOP = 160
N_FFT = 512
# Least power of a band, above the logarithm of nothing. Recordings lie below it too: 13.5 % of all
# cells of the RAVDESS clips, whose margins are near silent, are raised to it.
FLOOR = 1e-10


class LogMel(Backbone):
    """80 mel bands up to 8 kHz (Slaney), windows of 25 ms every 10 ms, natural logarithm of power.

    The one layer is layer 0. Power below 1e-10 counts as 1e-10. No frame reaches over the edge of
    its clip, so that padding cannot change one. A clip shorter than 25 ms counts as 25 ms, the rest
    being silence.
    """

    info = INFO

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Compute the window and the filterbank, in float32 whatever `dtype` says."""
        import torch
        from transformers.audio_utils import mel_filter_bank

        filters = mel_filter_bank(
            num_frequency_bins=N_FFT // 2 + 1,
            num_mel_filters=INFO.width,
            min_frequency=0.0,
            max_frequency=INFO.sample_rate / 2,
            sampling_rate=INFO.sample_rate,
            norm="slaney",
            mel_scale="slaney",
        )
        self._filters = torch.from_numpy(filters).float().to(device)
        self._window = torch.hann_window(WINDOW, device=device)

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        """See `Backbone.encode`: one layer (batch, frames, 80) at 100 Hz, float32."""
        import torch

        with torch.no_grad():
            waves = torch.nn.functional.pad(waves, (0, max(0, WINDOW - waves.shape[1])))
            windows = waves.float().unfold(1, WINDOW, HOP) * self._window
            power = torch.fft.rfft(windows, N_FFT).abs() ** 2
            bands = (power @ self._filters).clamp(min=FLOOR).log()
            frames = (lengths.clamp(min=WINDOW) - WINDOW) // HOP + 1
        return Frames.same_lengths([bands], frames)

    def exported(self) -> torch.nn.Module:
        """See `Backbone.exported`."""
        import torch

        from backbones._tensors.spectrum import PowerSpectrum, at_least

        spectrum = PowerSpectrum(self._window, N_FFT, HOP, centred=False)
        filters = self._filters

        class Bands(torch.nn.Module):
            """The one layer of one clip."""

            def __init__(self) -> None:
                super().__init__()
                self.spectrum = spectrum
                self.register_buffer("filters", filters)

            def forward(self, wave: torch.Tensor) -> tuple[torch.Tensor, ...]:
                wave = at_least(WINDOW, wave)
                frames = (wave.shape[0] - WINDOW) // HOP + 1
                wave = torch.nn.functional.pad(wave, (0, N_FFT - WINDOW))
                return ((self.spectrum(wave, frames) @ self.filters).clamp(min=FLOOR).log(),)

        return Bands()
