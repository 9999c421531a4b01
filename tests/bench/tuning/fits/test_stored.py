from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from backbones import STEM, NotTrainable
from backbones.weights import resolve
from bench import tasks
from bench.clips import Clip
from bench.features.extract import Extraction, extract
from bench.features.key import FeatureSettings
from bench.features.source import Source
from bench.plugins import BACKBONES
from bench.tuning.fits.augment import Augmentation
from bench.tuning.fits.live import LiveSequences, Recordings
from bench.tuning.fits.stored import (
    BackboneClips,
    FramesMissing,
    StoredSequences,
    sequences,
    start_of,
)
from heads.sequences import Sequences
from tests.bench.tuning.fits.conftest import sources_of

# group norm and equal lengths, attention mask, convolutions with other shapes per layer
SMALL = ("wav2vec2", "xlsr", "whisper-base", "speech2text", "quartznet")
CUT = 2
EVERYTHING = (STEM, 0, 1, 2)


def _small(name: str) -> FeatureSettings:
    info = BACKBONES.get(name).info
    return FeatureSettings(info, resolve(info, sample=True))


@pytest.fixture(scope="module")
def recordings(
    sample_sources: tuple[Source, ...], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Recordings]:
    """The same clips, with the frames of all layers, for each small backbone."""
    root = tmp_path_factory.mktemp("features")
    found = {}
    for name in SMALL:
        job = Extraction(_small(name), sample_sources, root, batch=4, frames=EVERYTHING)
        extract(job, lambda seconds: None)
        found[name] = Recordings(job, tuple(s.pcm_sha256 for s in sample_sources))
    return found


def _all(clips: Sequences) -> np.ndarray:
    return np.arange(len(clips))


def _close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 2e-3) -> None:
    assert a.shape == b.shape
    assert float((a - b).abs().max()) <= tolerance * float(b.abs().max())


@pytest.mark.parametrize("layer", EVERYTHING)
@pytest.mark.parametrize("name", SMALL)
def test_live_frames_equal_the_stored_ones_to_half_precision(
    name: str, layer: int, recordings: dict[str, Recordings]
) -> None:
    stored = sequences(recordings[name], (layer,))
    live = sequences(recordings[name], (layer,), cached=False)
    assert isinstance(stored, StoredSequences)
    assert isinstance(live, LiveSequences)
    assert (live.layers, live.width, len(live)) == (stored.layers, stored.width, len(stored))
    np.testing.assert_array_equal(live.lengths, stored.lengths)
    frames, lengths = stored.batch(_all(stored))
    again, found = live.batch(_all(live))
    assert lengths.tolist() == found.tolist() == stored.lengths.tolist()
    assert frames.shape == (len(stored), 1, max(stored.lengths), stored.width)
    _close(again, frames)


@pytest.mark.parametrize("blocks", [1, 2, None])
@pytest.mark.parametrize("name", SMALL)
def test_the_untrained_tail_makes_the_layer_at_the_cut_from_its_inputs(
    name: str, blocks: int | None, recordings: dict[str, Recordings]
) -> None:
    clips = BackboneClips(recordings[name], CUT)
    assert clips.blocks == CUT
    inputs = clips.inputs(blocks)
    frames, lengths = inputs.batch(np.arange(len(clips)))
    tail = clips.tail(blocks).eval()
    assert all(p.requires_grad and p.dtype == torch.float32 for p in tail.parameters())
    with torch.no_grad():
        outputs = tail(frames[:, 0], lengths)
    wanted, valid = clips.inputs(0).batch(np.arange(len(clips)))
    assert outputs.lengths[-1].tolist() == valid.tolist()
    own = (torch.arange(wanted.shape[2]) < valid[:, None])[..., None]
    _close(outputs.hidden[-1] * own, wanted[:, 0], tolerance=0.02)


def test_a_tail_can_be_trained_on_stored_and_on_live_frames(
    recordings: dict[str, Recordings],
) -> None:
    for cached in (True, False):
        clips = BackboneClips(recordings["wav2vec2"], CUT, cached=cached)
        tail = clips.tail(1).train()
        frames, lengths = clips.inputs(1).batch(np.arange(4))
        tail(frames[:, 0], lengths).hidden[-1].square().mean().backward()
        assert any(float(p.grad.abs().max()) > 0 for p in tail.parameters() if p.grad is not None)
        fresh = clips.tail(1)
        assert fresh is not tail
        assert all(parameter.grad is None for parameter in fresh.parameters())


def test_several_layers_come_in_the_order_asked_for(recordings: dict[str, Recordings]) -> None:
    for cached in (True, False):
        both = sequences(recordings["wav2vec2"], (2, 0), cached=cached)
        assert both.layers == 2
        frames, _ = both.batch(np.arange(3))
        for position, layer in enumerate((2, 0)):
            single, _ = sequences(recordings["wav2vec2"], (layer,)).batch(np.arange(3))
            _close(frames[:, position], single[:, 0])


def test_layers_of_one_shape_can_be_mixed(recordings: dict[str, Recordings]) -> None:
    def mixable(name: str) -> tuple[int, ...]:
        return recordings[name].job.features().view(recordings[name].clips).mixable()

    assert mixable("xlsr") == (0, 1, 2, 3)
    # the widest stretch of equal blocks: neither the spectrogram nor the narrower first blocks
    assert mixable("quartznet") == tuple(range(8, 18))


@pytest.mark.parametrize("cached", [True, False])
def test_taking_clips_keeps_their_order_and_repeats_them(
    cached: bool, recordings: dict[str, Recordings]
) -> None:
    clips = sequences(recordings["whisper-base"], (1,), cached=cached)
    whole, _ = clips.batch(_all(clips))
    taken = clips.take(np.array([3, 1, 5])).take(np.array([2, 0, 0]))
    assert taken.lengths.tolist() == clips.lengths[[5, 3, 3]].tolist()
    frames, lengths = taken.batch(np.array([0, 2]))
    _close(frames, whole[[5, 3], :, : frames.shape[2]], tolerance=1e-4)
    assert lengths.tolist() == clips.lengths[[5, 3]].tolist()
    backbone = BackboneClips(recordings["whisper-base"], CUT, cached=cached)
    assert len(backbone.take(np.array([4, 2]))) == 2
    again, _ = backbone.take(np.array([4, 5])).inputs(1).batch(np.array([1]))
    _close(again, whole[[5], :, : again.shape[2]])


@pytest.mark.parametrize("cached", [True, False])
def test_long_clips_are_cut_to_their_first_frames(
    cached: bool, recordings: dict[str, Recordings]
) -> None:
    whole, _ = sequences(recordings["xlsr"], (1,)).batch(np.arange(6))
    short = sequences(recordings["xlsr"], (1,), cached=cached, most_frames=20)
    assert short.lengths.tolist() == [20] * 6
    assert short.take(np.array([1])).lengths.tolist() == [20]
    frames, lengths = short.batch(np.arange(6))
    assert lengths.tolist() == [20] * 6
    _close(frames, whole[:, :, :20])


def test_batches_are_zero_after_each_clip(recordings: dict[str, Recordings]) -> None:
    for cached in (True, False):
        clips = sequences(recordings["quartznet"], (2,), cached=cached)
        frames, lengths = clips.batch(_all(clips))
        assert frames.dtype == torch.float32
        assert lengths.dtype == torch.int64
        for row, length in zip(frames, lengths.tolist(), strict=True):
            assert not row[:, length:].any()


@pytest.mark.parametrize("name", ["wav2vec2", "whisper-base"])
def test_only_batches_with_a_seed_are_augmented_and_a_seed_says_how(
    name: str, recordings: dict[str, Recordings]
) -> None:
    plain = sequences(recordings[name], (1,))
    always = Augmentation(speed_probability=1.0, noise_probability=1.0)
    clips = sequences(replace(recordings[name], augmentation=always), (1,))
    assert isinstance(clips, StoredSequences)
    assert torch.equal(clips.batch(_all(clips))[0], plain.batch(_all(clips))[0])
    first, lengths = clips.batch(_all(clips), augment=1)
    second, _ = clips.batch(_all(clips), augment=1)
    other, _ = clips.batch(_all(clips), augment=2)
    assert lengths.tolist() != clips.lengths.tolist()
    assert torch.equal(first, second)
    assert first.shape != other.shape or not torch.equal(first, other)
    assert plain.batch(_all(clips), augment=1)[0].equal(plain.batch(_all(clips))[0])


def test_what_a_seed_does_to_a_clip_does_not_depend_on_its_batch(
    recordings: dict[str, Recordings],
) -> None:
    always = Augmentation(speed_probability=1.0, noise_probability=1.0)
    clips = sequences(replace(recordings["xlsr"], augmentation=always), (1,))
    together, lengths = clips.batch(np.array([0, 4, 2]), augment=7)
    alone, length = clips.take(np.array([2, 4])).batch(np.array([1]), augment=7)
    assert length.tolist() == [lengths[1]]
    _close(together[1:2, :, : int(length)], alone)


def test_inputs_are_read_on_in_another_process(recordings: dict[str, Recordings]) -> None:
    augmented = replace(recordings["wav2vec2"], augmentation=Augmentation())
    for clips in (
        BackboneClips(recordings["wav2vec2"], CUT),
        BackboneClips(augmented, CUT),
        BackboneClips(recordings["wav2vec2"], CUT, cached=False),
    ):
        copy = pickle.loads(pickle.dumps(clips))
        for seed in (None, 3):
            here, _ = clips.inputs(1).batch(np.arange(2), seed)
            there, _ = copy.inputs(1).batch(np.arange(2), seed)
            assert torch.equal(here, there)
        assert len(pickle.dumps(clips.inputs(1))) < 20_000


def test_frames_that_are_not_stored_are_named(
    recordings: dict[str, Recordings], tmp_path: Path
) -> None:
    job = replace(recordings["wav2vec2"].job, root=tmp_path, frames=(1,))
    extract(job, lambda seconds: None)
    clips = Recordings(job, recordings["wav2vec2"].clips)
    assert len(sequences(clips, (1,))) == len(clips.clips)
    with pytest.raises(FramesMissing, match="layer 0 of 'wav2vec2' are not stored"):
        sequences(clips, (0,))
    with pytest.raises(FramesMissing, match="the stem of 'wav2vec2'"):
        sequences(clips, (STEM,))
    # what trains the backbone makes them anew, and says so
    backbone = BackboneClips(clips, CUT)
    assert isinstance(backbone.take(np.arange(2)).inputs(1), StoredSequences)
    assert not backbone.live
    assert isinstance(backbone.take(np.arange(2)).inputs(2), LiveSequences)
    assert backbone.live


def test_the_layer_that_training_reads_follows_from_the_cut_and_the_blocks() -> None:
    assert [start_of(6, blocks) for blocks in (0, 1, 3)] == [6, 5, 3]
    assert [start_of(2, blocks) for blocks in (None, 2)] == [STEM, 0]
    with pytest.raises(ValueError, match="3 blocks cannot be trained below layer 2"):
        start_of(2, 3)


def test_a_backbone_without_blocks_gives_live_frames_and_refuses_training(
    sample_sources: tuple[Source, ...], tmp_path: Path
) -> None:
    job = Extraction(_small("logmel"), sample_sources, tmp_path, frames=(0,))
    extract(job, lambda seconds: None)
    clips = Recordings(job, tuple(s.pcm_sha256 for s in sample_sources))
    stored, _ = sequences(clips, (0,)).batch(np.arange(4))
    live, _ = sequences(clips, (0,), cached=False).batch(np.arange(4))
    _close(live, stored)
    with pytest.raises(NotTrainable):
        BackboneClips(clips, 1).tail(1)


def test_a_clip_longer_than_the_window_is_the_same_live_and_stored(
    sample_sources: tuple[Source, ...], tmp_path: Path
) -> None:
    """35 s are two windows of whisper."""
    pieces = [soundfile.read(s.path)[0] for s in sample_sources]
    sound = np.concatenate([p.mean(axis=1) if p.ndim > 1 else p for p in pieces])
    long = np.tile(sound, 10)[: 35 * 16_000]
    soundfile.write(tmp_path / "long.wav", long, 16_000)
    (source,) = sources_of((Clip("long", tmp_path / "long.wav", "label", "group"),), tmp_path)
    sha = source.pcm_sha256
    job = Extraction(_small("whisper-base"), (source,), tmp_path, frames=(STEM, 2))
    extract(job, lambda seconds: None)
    for layer in (STEM, 2):
        clips = Recordings(job, (sha,))
        stored, lengths = sequences(clips, (layer,)).batch(np.arange(1))
        live, found = sequences(clips, (layer,), cached=False).batch(np.arange(1))
        assert lengths.tolist() == found.tolist() == [1750]
        _close(live, stored)


@pytest.mark.real
@pytest.mark.skipif(
    not (os.environ.get("VOXGRID_DATA") and os.environ.get("VOXGRID_WEIGHTS")),
    reason="VOXGRID_DATA and VOXGRID_WEIGHTS are not both set",
)
@pytest.mark.parametrize(("name", "cut"), [("quartznet", 12), ("whisper-base", 4)])
def test_real_weights_on_real_clips_give_the_same_frames_stored_and_live(
    name: str, cut: int, tmp_path: Path
) -> None:
    sources = sources_of(tasks.resolve("ravdess").clips[7:1440:360], tmp_path)
    info = BACKBONES.get(name).info
    settings = FeatureSettings(info, resolve(info, allow_download=False))
    layers = tuple(start_of(cut, blocks) for blocks in (None, 3, 1, 0))
    job = Extraction(settings, sources, tmp_path, frames=layers, threads=2)
    extract(job, lambda seconds: None)
    clips = Recordings(job, tuple(s.pcm_sha256 for s in sources))
    for layer in layers:
        stored, lengths = sequences(clips, (layer,)).batch(np.arange(len(sources)))
        live, _ = sequences(clips, (layer,), cached=False).batch(np.arange(len(sources)))
        _close(live, stored)
        if layer != STEM:
            means = stored[:, 0].sum(1) / lengths[:, None]
            statistics = job.features().view(clips.clips).vectors(layer, "mean")
            _close(means, torch.from_numpy(statistics), tolerance=1e-3)
    backbone = BackboneClips(clips, cut)
    wanted, valid = backbone.inputs(0).batch(np.arange(len(sources)))
    for blocks in (1, 3, None):
        frames, lengths = backbone.inputs(blocks).batch(np.arange(len(sources)))
        with torch.no_grad():
            made = backbone.tail(blocks).eval()(frames[:, 0], lengths)
        own = (torch.arange(wanted.shape[2]) < valid[:, None])[..., None]
        _close(made.hidden[-1] * own, wanted[:, 0], tolerance=0.05)
