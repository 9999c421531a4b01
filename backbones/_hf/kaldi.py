"""Log-mel features as Kaldi computes them, in one batch.

The same numbers as the feature extractors of transformers that follow Kaldi, which loop over
frames in Python, and the same whether torchaudio is installed or not (they then switch to it).
Imports torch, so plugins import it inside methods.
"""

from __future__ import annotations

import warnings

import torch
from transformers.audio_utils import mel_filter_bank, window_function

from backbones._tensors.frames import Padded, at_least, zero_padding

FRAME_SAMPLES = 400
HOP_SAMPLES = 160
FFT_SAMPLES = 512
# The extractors compute with frames of 25 ms and steps of 10 ms at this rate only.
SAMPLE_RATE = 16_000
PRE_EMPHASIS = 0.97


class Filterbank:
    """Kaldi's log-mel filterbank.

    Args:
        window: name of a window function of transformers, `povey` or `hann`.
        scale: what samples in [-1, 1] are multiplied with first; Kaldi's own is that of 16-bit
            integers.
        shortest: samples that a clip counts as having at least, one frame or more; silence fills
            up.
    """

    def __init__(
        self, mels: int, *, window: str, scale: float, device: str, shortest: int = FRAME_SAMPLES
    ) -> None:
        with warnings.catch_warnings():
            # 128 bands leave the lowest ones empty, as the networks that take them were trained
            warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
            filters = mel_filter_bank(
                num_frequency_bins=FFT_SAMPLES // 2 + 1,
                num_mel_filters=mels,
                min_frequency=20,
                max_frequency=SAMPLE_RATE // 2,
                sampling_rate=SAMPLE_RATE,
                norm=None,
                mel_scale="kaldi",
                triangularize_in_mel_space=True,
            )
        values = window_function(FRAME_SAMPLES, window, periodic=False)
        self._filters = torch.from_numpy(filters).float().to(device)
        self._window = torch.from_numpy(values).float().to(device)
        self._scale = scale
        self._shortest = shortest

    def __call__(self, waves: torch.Tensor, lengths: torch.Tensor) -> Padded:
        """float32 (batch, frames, mels) and frames per clip, both on the filterbank's device."""
        waves, lengths = at_least(self._shortest, waves, lengths)
        waves, lengths = (x.to(self._window.device) for x in (waves, lengths))
        counts = (lengths - FRAME_SAMPLES) // HOP_SAMPLES + 1
        frames = (waves.float() * self._scale).unfold(1, FRAME_SAMPLES, HOP_SAMPLES)
        frames = frames - frames.mean(dim=2, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
        spectrum = torch.fft.rfft((frames - PRE_EMPHASIS * before) * self._window, n=FFT_SAMPLES)
        power = spectrum.real.square() + spectrum.imag.square()
        floor = torch.finfo(torch.float32).eps
        return (power @ self._filters).clamp_min(floor).log(), counts


def centred(
    features: torch.Tensor, counts: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features (batch, frames, bands) with zero mean per clip and band.

    Then the squares of their deviations summed over a clip's frames (batch, 1, bands), and the
    features as they were. Features are zero after each clip's end.
    """
    features = zero_padding(features, counts)
    mean = features.sum(dim=1, keepdim=True) / counts[:, None, None]
    found = zero_padding(features - mean, counts)
    return found, found.square().sum(dim=1, keepdim=True), features
