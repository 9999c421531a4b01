"""The backbone keeps voxgrid's contract, and its numbers are those of another implementation."""

import numpy as np
import scipy.fft
import torch
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function
from voxgrid_plugin_example.mfcc import FFT, FLOOR, HOP, MELS, WINDOW, Mfcc

from backbones import Weights
from backbones.checks import parametrize_with_checks


@parametrize_with_checks([Mfcc])
def test_mfcc(backbone, check):
    check(backbone)


def test_coefficients_are_those_of_scipy_and_transformers():
    wave = 0.1 * np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    backbone = Mfcc(Weights("none"))
    backbone.load()
    frames = backbone.encode(torch.from_numpy(wave)[None], torch.tensor([8000]))
    log_mel = spectrogram(
        wave,
        window_function(WINDOW, "hann"),
        frame_length=WINDOW,
        hop_length=HOP,
        fft_length=FFT,
        power=2.0,
        center=False,
        mel_filters=mel_filter_bank(FFT // 2 + 1, MELS, 0.0, 8000.0, 16_000, norm="slaney"),
        mel_floor=FLOOR,
        log_mel="log",
    )
    expected = scipy.fft.dct(log_mel.T, type=2, norm="ortho")[:, :20]
    assert frames.lengths[0].tolist() == [len(expected)]
    np.testing.assert_allclose(frames.hidden[0][0].numpy(), expected, atol=2e-3)
