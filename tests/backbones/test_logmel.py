import librosa
import pytest
import torch

from backbones.base import Weights
from backbones.logmel import LogMel


@pytest.fixture
def backbone():
    backbone = LogMel(Weights("none"))
    backbone.load()
    return backbone


def test_bands_equal_librosas(backbone):
    wave = 0.1 * torch.randn(8000, generator=torch.Generator().manual_seed(0))
    (bands,) = backbone.encode(wave[None], torch.tensor([8000])).hidden
    window = torch.hann_window(400).numpy()
    windows = torch.nn.functional.pad(wave.unfold(0, 400, 160) * torch.from_numpy(window), (0, 112))
    power = torch.fft.rfft(windows).abs() ** 2
    filters = torch.from_numpy(librosa.filters.mel(sr=16_000, n_fft=512, n_mels=80))
    torch.testing.assert_close(bands[0], (power @ filters.T).log(), atol=1e-3, rtol=1e-4)


def test_every_band_hears_something(backbone):
    assert bool((backbone._filters.sum(0) > 0).all())


def test_a_tone_is_loudest_in_its_own_band(backbone):
    time = torch.arange(16_000) / 16_000
    tones = torch.stack([torch.sin(2 * torch.pi * f * time) for f in (200, 1000, 5000)])
    (bands,) = backbone.encode(tones, torch.full((3,), 16_000)).hidden
    low, middle, high = bands.mean(1).argmax(1).tolist()
    assert low < middle < high


def test_padding_does_not_change_a_clip(backbone):
    waves = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    waves[1, 9001:] = 0
    together = backbone.encode(waves, torch.tensor([16_000, 9001]))
    alone = backbone.encode(waves[1:, :9001], torch.tensor([9001]))
    n = int(together.lengths[0][1])
    assert alone.hidden[0].shape == (1, n, 80)
    torch.testing.assert_close(alone.hidden[0][0], together.hidden[0][1, :n])


@pytest.mark.parametrize("samples", [1, 399, 400])
def test_very_short_and_silent_clips_are_finite(backbone, samples):
    frames = backbone.encode(torch.zeros(1, samples), torch.tensor([samples]))
    assert frames.lengths[0].tolist() == [1]
    assert bool(frames.hidden[0].isfinite().all())
