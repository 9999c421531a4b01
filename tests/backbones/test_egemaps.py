import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

from backbones.base import BackboneError, Weights
from backbones.egemaps import EGeMAPS
from bench.audio.index import scan
from bench.clips import Clip
from bench.features.extract import Extraction, extract
from bench.features.key import FeatureSettings
from bench.features.source import Source

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


def test_what_is_no_number_is_an_error_and_not_a_zero(monkeypatch):
    class Smile(opensmile.Smile):
        def __call__(self, signal, sampling_rate):
            features = super().__call__(signal, sampling_rate)
            features[0, 1] = np.nan
            return features

    monkeypatch.setattr(opensmile, "Smile", Smile)
    backbone = EGeMAPS(Weights("none"))
    backbone.load()
    with pytest.raises(BackboneError, match=r"NaN or infinity for \w+ on a clip of 1\.00 s"):
        backbone.encode(voice(1.0)[None], torch.tensor([16_000]))


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_a_clip_keeps_the_rate_of_its_file(rate, tmp_path):
    time = np.arange(rate) / rate
    tones = [np.sin(2 * np.pi * k * 140 * time) / k for k in range(1, 25)]
    noise = np.random.default_rng(0).normal(size=rate)
    path = tmp_path / "clip.wav"
    soundfile.write(path, 0.1 * sum(tones) + 0.01 * noise, rate, subtype="FLOAT")
    (scanned,) = scan([Clip("clip", path, "x", "y")], tmp_path / "scan.sqlite3").usable
    source = Source("clip", path, scanned.pcm_sha256, scanned.seconds)
    job = Extraction(FeatureSettings(EGeMAPS.info, Weights("none")), (source,), tmp_path)
    extract(job, lambda seconds: None)
    found = job.features().view([source.pcm_sha256]).vectors(1, "mean")[0]
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    expected = smile.process_file(path).to_numpy()[0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    others = smile.process_signal(soxr.resample(soundfile.read(path)[0], rate, 16_000), 16_000)
    assert not np.allclose(found, others.to_numpy()[0], rtol=0.01)


def test_without_opensmile_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(BackboneError, match=r"voxgrid\[egemaps\]"):
        EGeMAPS(Weights("none")).load()


def test_an_unloaded_backbone_travels_between_processes():
    assert pickle.loads(pickle.dumps(EGeMAPS(Weights("none")))).weights.kind == "none"


@pytest.mark.real
@pytest.mark.skipif("VOXGRID_DATA" not in os.environ, reason="needs VOXGRID_DATA")
def test_real_clips_are_finite(backbone):
    files = sorted((Path(os.environ["VOXGRID_DATA"]) / "ravdess").glob("*/*.flac"))[::300]
    for file in files:
        wave, rate = soundfile.read(file, dtype="float32", always_2d=True)
        clip = torch.from_numpy(soxr.resample(wave.mean(1), rate, 16_000).astype("float32"))
        frames = backbone.encode(clip[None], torch.tensor([len(clip)]))
        assert all(bool(hidden.isfinite().all()) for hidden in frames.hidden)
