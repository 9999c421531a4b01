import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from backbones.base import BackboneError, Weights
from backbones.egemaps import EGeMAPS, _run

opensmile = pytest.importorskip("opensmile")


@pytest.fixture(scope="module")
def backbone():
    backbone = EGeMAPS(Weights("none"))
    backbone.load()
    return backbone


def voice(seconds, pitch=140.0):
    time = torch.arange(round(seconds * 16_000)) / 16_000
    return 0.1 * sum(torch.sin(2 * torch.pi * k * pitch * time) / k for k in range(1, 12))


def test_functionals_equal_opensmiles_own(backbone):
    wave = voice(1.5)
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    expected = smile.process_signal(wave.numpy(), 16_000).to_numpy()[0]
    frames = backbone.encode(wave[None], torch.tensor([len(wave)]))
    assert frames.hidden[1].shape == (1, 1, 88)
    np.testing.assert_array_equal(frames.hidden[1][0, 0].numpy(), expected)


def test_a_batch_is_each_clip_alone(backbone):
    clips = [voice(1.2), voice(0.6, 220.0)]
    lengths = torch.tensor([len(clip) for clip in clips])
    together = backbone.encode(torch.nn.utils.rnn.pad_sequence(clips, batch_first=True), lengths)
    assert together.hidden[0].shape[2] == 25
    assert together.lengths[1].tolist() == [1, 1]
    for row, clip in enumerate(clips):
        alone = backbone.encode(clip[None], lengths[row : row + 1])
        for a, b, n, m in zip(
            alone.hidden, together.hidden, alone.lengths, together.lengths, strict=True
        ):
            assert int(n[0]) == int(m[row])
            assert torch.equal(a[0], b[row, : int(n[0])])


@pytest.mark.parametrize("samples", [1, 400, 959, 960, 1600])
def test_very_short_clips_are_finite(backbone, samples):
    frames = backbone.encode(voice(1.0)[None, :samples], torch.tensor([samples]))
    assert int(frames.lengths[0][0]) >= 1
    assert all(bool(hidden.isfinite().all()) for hidden in frames.hidden)


def test_silence_is_finite(backbone):
    frames = backbone.encode(torch.zeros(1, 16_000), torch.tensor([16_000]))
    assert all(bool(hidden.isfinite().all()) for hidden in frames.hidden)


def test_full_scale_does_not_wrap_round(backbone):
    wave = voice(1.0)
    wave = wave / wave.abs().max()
    full = backbone.encode(wave[None], torch.tensor([len(wave)])).hidden[1]
    nearly = backbone.encode(0.999 * wave[None], torch.tensor([len(wave)])).hidden[1]
    torch.testing.assert_close(full, nearly, rtol=0.05, atol=0.5)


def test_what_is_no_number_is_an_error_and_not_a_zero():
    class Broken:
        feature_names = ("F0", "loudness")

        def __call__(self, clip, rate):
            return np.array([[[1.0], [np.nan]]], dtype=np.float32)

    with pytest.raises(BackboneError, match="NaN or infinity for loudness"):
        _run(Broken(), np.zeros(16_000, dtype=np.float32))


def test_without_opensmile_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(BackboneError, match=r"voxgrid\[egemaps\]"):
        EGeMAPS(Weights("none")).load()


def test_an_unloaded_backbone_travels_between_processes():
    assert pickle.loads(pickle.dumps(EGeMAPS(Weights("none")))).weights.kind == "none"


@pytest.mark.real
@pytest.mark.skipif("VOXGRID_DATA" not in os.environ, reason="needs VOXGRID_DATA")
def test_real_clips_are_finite(backbone):
    import soundfile
    import soxr

    files = sorted((Path(os.environ["VOXGRID_DATA"]) / "ravdess").glob("*/*.flac"))[::300]
    for file in files:
        wave, rate = soundfile.read(file, dtype="float32", always_2d=True)
        clip = torch.from_numpy(soxr.resample(wave.mean(1), rate, 16_000).astype("float32"))
        frames = backbone.encode(clip[None], torch.tensor([len(clip)]))
        assert all(bool(hidden.isfinite().all()) for hidden in frames.hidden)
