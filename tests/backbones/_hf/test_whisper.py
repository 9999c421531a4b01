import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, WhisperFeatureExtractor, WhisperModel

from backbones.base import Weights, WeightsMismatch
from backbones.whisper_base import INFO, WhisperBase


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        **WhisperBase.settings("small"),
        decoder_layers=1,
        decoder_ffn_dim=8,
        decoder_attention_heads=2,
        vocab_size=8,
        max_target_positions=4,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
    )
    return WhisperModel(config).eval()


@pytest.fixture
def folder(model, tmp_path):
    model.save_pretrained(tmp_path)
    return tmp_path


def loaded(folder, dtype="float32"):
    backbone = WhisperBase(Weights("pretrained", path=folder))
    backbone.load(dtype=dtype)
    return backbone


def noise(seconds, seed=0):
    generator = torch.Generator().manual_seed(seed)
    samples = round(seconds * 16_000)
    # louder and softer, so that the floor of the features matters
    swell = torch.linspace(0, 30, samples).sin().abs() ** 8
    return 0.2 * swell * torch.randn(samples, generator=generator)


def batch(seconds):
    clips = [noise(s, seed) for seed, s in enumerate(seconds)]
    lengths = torch.tensor([len(clip) for clip in clips])
    return torch.nn.utils.rnn.pad_sequence(clips, batch_first=True), lengths


def features(clip):
    extractor = WhisperFeatureExtractor(feature_size=80)
    return extractor(clip.numpy(), sampling_rate=16_000, return_tensors="pt").input_features


def test_thirty_seconds_equal_the_transformers_encoder(model, folder):
    wave = noise(30.0)
    with torch.no_grad():
        theirs = model.encoder(features(wave), output_hidden_states=True)
    ours = loaded(folder).encode(wave[None], torch.tensor([len(wave)]))
    assert len(theirs.hidden_states) == len(ours.hidden) == INFO.layers
    for a, b in zip(ours.hidden, theirs.hidden_states, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.hidden[-1], theirs.last_hidden_state, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("seconds", [0.5, 1.2345, 3.0])
def test_features_are_those_of_the_thirty_second_window(folder, seconds):
    waves, lengths = batch([seconds, seconds + 1])
    mel, frames = loaded(folder).log_mel(waves, lengths)
    for row, n in enumerate(frames.tolist()):
        expected = features(waves[row, : lengths[row]])[0, :, :n]
        torch.testing.assert_close(mel[row, :, :n], expected, atol=1e-5, rtol=1e-4)


def test_padding_does_not_change_a_clip(folder):
    backbone = loaded(folder)
    waves, lengths = batch([2.0, 0.7, 1.305])
    # ends in a click, which the frame after the clip still sees
    waves[1, lengths[1] - 1] = 1.0
    together = backbone.encode(waves, lengths)
    for row, length in enumerate(lengths):
        alone = backbone.encode(waves[row : row + 1, :length], lengths[row : row + 1])
        n = int(alone.lengths[0][0])
        assert n == alone.hidden[0].shape[1] == int(together.lengths[0][row])
        for a, b in zip(alone.hidden, together.hidden, strict=True):
            torch.testing.assert_close(a[0], b[row, :n], atol=1e-4, rtol=1e-4)


def test_only_real_frames_are_run(folder):
    frames = loaded(folder).encode(*batch([1.0]))
    assert frames.hidden[0].shape == (1, 50, 32)


@pytest.mark.parametrize("samples", [1, 399, 401])
def test_very_short_clips_give_finite_frames(folder, samples):
    frames = loaded(folder).encode(torch.full((1, samples), 0.1), torch.tensor([samples]))
    assert int(frames.lengths[0][0]) >= 1
    assert all(bool(hidden.isfinite().all()) for hidden in frames.hidden)


def test_missing_and_surplus_tensors_are_named(folder):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    name = "encoder.layers.2.fc1.bias"
    save_file({k: v for k, v in tensors.items() if k != name}, file)
    with pytest.raises(WeightsMismatch, match=r"layers\.2\.fc1\.bias"):
        loaded(folder)
    save_file({**tensors, "encoder.more": torch.zeros(1)}, file)
    with pytest.raises(WeightsMismatch, match="more"):
        loaded(folder)


def test_names_of_the_published_file_are_understood(folder):
    waves, lengths = batch([0.5])
    expected = loaded(folder).encode(waves, lengths).hidden[-1]
    file = folder / "model.safetensors"
    save_file({f"model.{k}": v for k, v in load_file(file).items()}, file)
    assert torch.equal(loaded(folder).encode(waves, lengths).hidden[-1], expected)


def test_half_precision_on_disk_becomes_the_dtype_asked_for(folder):
    file = folder / "model.safetensors"
    save_file({k: v.half() for k, v in load_file(file).items()}, file)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    single = loaded(folder).encode(*batch([1.0])).hidden[-1]
    brief = loaded(folder, dtype="bfloat16").encode(*batch([1.0])).hidden[-1]
    assert (single.dtype, brief.dtype) == (torch.float32, torch.bfloat16)
    assert torch.cosine_similarity(single.mean(1), brief.float().mean(1)).item() > 0.999


def test_random_init_has_the_published_size_and_follows_the_seed():
    full = WhisperBase(Weights("random-init"))
    full.load()
    assert full.parameter_count() == INFO.parameters

    def encoded(seed):
        backbone = WhisperBase(Weights("random-init", size="small", seed=seed))
        backbone.load()
        return backbone.encode(*batch([0.5])).hidden[-1]

    assert torch.equal(encoded(1), encoded(1))
    assert not torch.equal(encoded(1), encoded(2))


@pytest.mark.real
@pytest.mark.skipif("VOXGRID_WEIGHTS" not in os.environ, reason="needs VOXGRID_WEIGHTS")
def test_real_weights_are_padding_exact():
    backbone = loaded(Path(os.environ["VOXGRID_WEIGHTS"]) / "whisper-base")
    assert backbone.parameter_count() == INFO.parameters
    waves, lengths = batch([1.6, 1.1])
    together = backbone.encode(waves, lengths)
    alone = backbone.encode(waves[1:, : lengths[1]], lengths[1:])
    n = int(alone.lengths[0][0])
    for a, b in zip(alone.hidden, together.hidden, strict=True):
        a, b = a[0, :n], b[1, :n]
        assert torch.cosine_similarity(a.mean(0), b.mean(0), dim=0) > 0.99999
        assert torch.cosine_similarity(a.amax(0), b.amax(0), dim=0) > 0.99999
