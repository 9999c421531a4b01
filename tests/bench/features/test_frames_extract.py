from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.numpy import load

from backbones import STEM, Backbone, BackboneInfo, Frames, Weights
from backbones.weights import resolve
from bench import tasks
from bench.audio.index import scan
from bench.clips import Clip
from bench.features.extract import Extraction, extract, pending
from bench.features.frames import frames_bytes
from bench.features.key import FeatureSettings
from bench.features.source import ExtractionError, Source
from bench.features.store import FeatureSet
from bench.plugins import BACKBONES

RATE = 16_000
HOP = 320

INFO = BackboneInfo(
    name="counting",
    summary="samples in rows of 20 ms",
    weights_id=None,
    revision=None,
    licence="MIT",
    sample_rate=RATE,
    layers=3,
    width=HOP,
    frame_rate=50.0,
    max_seconds=2.0,
    attention_mask=True,
    normalised=False,
    trainable=True,
)
FACTORS = (1.0, -2.0, 1e6)


class Counting(Backbone):
    """Layers are the samples themselves, times a factor each; counts what passes through it."""

    info = INFO
    encoded = 0
    stemmed = 0

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        pass

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        Counting.encoded += len(waves)
        frames, valid = self._rows(waves, lengths)
        return Frames.same_lengths([frames * factor for factor in FACTORS], valid)

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        Counting.stemmed += len(waves)
        return self._rows(waves, lengths)

    @staticmethod
    def _rows(waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return waves.unfold(1, HOP, HOP).contiguous(), lengths // HOP


class Broken(Counting):
    """Its stem gives NaN for loud clips."""

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        frames, valid = self._rows(waves, lengths)
        frames[frames.abs().amax(dim=(1, 2)) > 0.9, 0, 0] = float("nan")
        return frames, valid


@contextmanager
def _registered(backbone: type[Backbone]) -> Iterator[None]:
    Counting.encoded = Counting.stemmed = 0
    with BACKBONES.including(EntryPoint("counting", f"{__name__}:{backbone.__name__}", "")):
        yield


@pytest.fixture
def counting() -> Iterator[type[Counting]]:
    with _registered(Counting):
        yield Counting


def _wave(seed: int, seconds: float) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.uniform(-0.5, 0.5, int(seconds * RATE))).astype(np.float32)


def _clips(folder: Path, lengths: tuple[float, ...]) -> tuple[Source, ...]:
    clips = []
    for index, seconds in enumerate(lengths):
        path = folder / f"clip{index}.wav"
        soundfile.write(path, _wave(index, seconds), RATE, subtype="FLOAT")
        clips.append(Clip(path.stem, path, "label", "group"))
    found = scan(clips, folder / "scan.sqlite3").usable
    return tuple(Source(c.clip.id, c.clip.path, c.pcm_sha256, c.seconds) for c in found)


def _job(
    sources: tuple[Source, ...],
    root: Path,
    frames: tuple[int, ...] = (),
    shard_seconds: float = 120.0,
) -> Extraction:
    return Extraction(
        FeatureSettings(INFO, Weights("none")),
        sources,
        root,
        batch=3,
        frames=frames,
        shard_seconds=shard_seconds,
    )


def _run(job: Extraction) -> None:
    extract(job, lambda seconds: None)


def _stored(job: Extraction, clip: int, layer: int) -> np.ndarray:
    view = job.frame_set().view([job.sources[clip].pcm_sha256], layer)
    into = np.zeros((1, int(view.lengths[0]), view.width), dtype=np.float32)
    view.read(0, into)
    return into[0]


def test_one_pass_gives_statistics_and_frames(counting: type[Counting], tmp_path: Path) -> None:
    sources = _clips(tmp_path, (0.5, 0.8, 1.0, 0.7))
    job = _job(sources, tmp_path / "cache", (STEM, 0, 2))
    _run(job)
    warm_up = 1
    assert (counting.encoded, counting.stemmed) == (len(sources) + warm_up,) * 2
    assert not pending(job.features(), sources, job.frames)
    assert job.frame_set().layers_of(s.pcm_sha256 for s in sources) == (STEM, 0, 2)
    for clip, source in enumerate(sources):
        wave, _ = soundfile.read(source.path, dtype="float32")
        rows = wave[: len(wave) // HOP * HOP].reshape(-1, HOP)
        for layer, factor in ((STEM, 1), (0, 1), (2, 1e6)):
            peak = float(np.abs(rows).max()) * factor
            np.testing.assert_allclose(
                _stored(job, clip, layer), rows * factor, rtol=2**-11, atol=peak * 2**-18
            )
    _run(job)
    assert counting.encoded == len(sources) + warm_up  # nothing left to do


def test_the_stem_is_not_run_unless_its_frames_are_wanted(
    counting: type[Counting], tmp_path: Path
) -> None:
    _run(_job(_clips(tmp_path, (0.5, 0.8)), tmp_path / "cache", (1,)))
    assert counting.stemmed == 0


def test_frames_of_clips_with_statistics_are_added_and_the_statistics_stay(
    counting: type[Counting], tmp_path: Path
) -> None:
    sources = _clips(tmp_path, (0.5, 0.8, 1.0))
    first = _job(sources[:2], tmp_path / "cache")
    _run(first)
    shards = {p: p.read_bytes() for p in first.features().folder.glob("*.safetensors")}
    job = _job(sources, tmp_path / "cache", (1,))
    assert job.features().folder == first.features().folder
    todo = pending(job.features(), sources, job.frames)
    assert [s.id for s in todo] == ["clip2", "clip0", "clip1"]  # those without statistics first
    _run(job)
    features = job.features()
    assert not pending(features, sources, job.frames)
    assert {p: p.read_bytes() for p in shards} == shards
    timings = features.timings([s.pcm_sha256 for s in sources])
    assert sorted(t.audio_seconds for t in timings) == pytest.approx([1.0, 1.3])
    counting.encoded = 0
    _run(replace(job, frames=(0, 1)))
    assert counting.encoded == 1 + len(sources)
    assert job.frame_set().layers_of(s.pcm_sha256 for s in sources) == (0, 1)


def test_the_features_do_not_depend_on_the_frames_kept(
    counting: type[Counting], tmp_path: Path
) -> None:
    with_frames, without = _job((), tmp_path, (STEM, 1)), _job((), tmp_path)
    assert with_frames.features().folder == without.features().folder


def test_windows_of_a_long_clip_are_joined_in_order(
    counting: type[Counting], tmp_path: Path
) -> None:
    sources = _clips(tmp_path, (0.4, 4.8))
    job = _job(sources, tmp_path / "cache", (0,))
    _run(job)
    wave, _ = soundfile.read(sources[1].path, dtype="float32")
    assert len(wave) % (3 * HOP) == 0  # three windows without a remainder
    np.testing.assert_allclose(_stored(job, 1, 0), wave.reshape(-1, HOP), rtol=2**-11, atol=2**-18)


def test_the_mean_of_stored_frames_is_the_stored_mean(
    counting: type[Counting], tmp_path: Path
) -> None:
    sources = _clips(tmp_path, (0.5, 3.9, 1.1))
    job = _job(sources, tmp_path / "cache", (1,))
    _run(job)
    view = job.features().view([s.pcm_sha256 for s in sources])
    for clip in range(len(sources)):
        frames = _stored(job, clip, 1)
        assert len(frames) == view.frames(1)[clip]
        np.testing.assert_allclose(frames.mean(0), view.vectors(1, "mean")[clip], atol=2e-4)
        np.testing.assert_allclose(frames.max(0), view.vectors(1, "max")[clip], rtol=2**-10)


def test_an_interrupted_extraction_goes_on_with_the_shards_that_lack(
    counting: type[Counting], tmp_path: Path
) -> None:
    sources = _clips(tmp_path, (0.5, 0.6, 0.7, 0.8))
    job = _job(sources, tmp_path / "cache", (0, STEM), shard_seconds=1.0)

    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(job, stop)
    assert [s.id for s in pending(job.features(), sources, job.frames)] == ["clip2", "clip3"]
    counting.encoded = 0
    _run(job)
    assert counting.encoded == 1 + 2
    assert not pending(job.features(), sources, job.frames)


def test_frames_written_before_a_kill_are_kept_and_their_clips_pass_again_for_the_statistics(
    counting: type[Counting], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = _clips(tmp_path, (0.5, 0.6))
    job = _job(sources, tmp_path / "cache", (0,))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FeatureSet, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            _run(job)
    assert len(pending(job.features(), sources, job.frames)) == 2
    _run(job)
    assert not pending(job.features(), sources, job.frames)


def test_only_the_clips_of_a_damaged_shard_of_frames_pass_again(
    counting: type[Counting], tmp_path: Path
) -> None:
    sources = _clips(tmp_path, (0.5, 0.6, 0.7, 0.8))
    job = _job(sources, tmp_path / "cache", (0, 1), shard_seconds=1.0)
    _run(job)
    damaged = job.frame_set().view([sources[3].pcm_sha256], 1)._places[0][0].path
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert [s.id for s in pending(job.features(), sources, job.frames)] == ["clip2", "clip3"]
    counting.encoded = 0
    _run(job)
    assert counting.encoded == 1 + 2
    assert not pending(job.features(), sources, job.frames)


@pytest.mark.parametrize("place", ["statistics", "frames"])
def test_a_flipped_bit_is_computed_again_and_comes_out_as_it_was(
    counting: type[Counting], tmp_path: Path, place: str
) -> None:
    sources = _clips(tmp_path, (0.5, 0.6, 0.7, 0.8))
    job = _job(sources, tmp_path / "cache", (0, 1), shard_seconds=1.0)
    _run(job)
    folder = job.features().folder / ("frames/1" if place == "frames" else "")
    before = {path: path.read_bytes() for path in folder.glob("*.safetensors")}
    damaged = next(iter(before))
    content = bytearray(before[damaged])
    content[-1] ^= 0x40
    damaged.write_bytes(content)
    todo = [source.id for source in pending(job.features(), job.sources, job.frames)]
    assert todo in (["clip0", "clip1"], ["clip2", "clip3"])
    counting.encoded = 0
    _run(job)
    assert counting.encoded == 1 + 2
    assert not pending(job.features(), sources, job.frames)
    now, then = load(damaged.read_bytes()), load(before[damaged])
    assert now.keys() == then.keys()
    assert all(now[name].tobytes() == then[name].tobytes() for name in then)


def test_a_layer_that_does_not_exist_is_refused_before_any_clip(
    counting: type[Counting], tmp_path: Path
) -> None:
    with pytest.raises(ExtractionError, match="layers 0 to 2, and none is called 3"):
        _run(_job(_clips(tmp_path, (0.5,)), tmp_path / "cache", (3,)))


def test_a_clip_whose_frames_are_not_finite_is_left_out_alone_and_for_good(
    tmp_path: Path,
) -> None:
    _clips(tmp_path, (0.5, 0.6, 0.7))
    soundfile.write(tmp_path / "clip1.wav", _wave(1, 0.6) * 1.99, RATE, subtype="FLOAT")
    clips = [Clip(p.stem, p, "x", "y") for p in sorted(tmp_path.glob("*.wav"))]
    found = scan(clips, tmp_path / "scan.sqlite3").usable
    sources = tuple(Source(c.clip.id, c.clip.path, c.pcm_sha256, c.seconds) for c in found)
    job = _job(sources, tmp_path / "cache", (STEM,))
    with _registered(Broken):
        _run(job)
        assert Broken.encoded == 5  # noise, three clips, and the one to blame once more
        _run(job)
        assert Broken.encoded == 5
    features = job.features()
    assert [source.pcm_sha256 in features for source in sources] == [True, False, True]
    (reason,) = features.unusable.values()
    assert "cannot be used (NaN or infinite values)" in reason
    assert pending(features, job.sources, job.frames) == []


def test_no_more_than_the_frames_of_one_shard_are_held(
    counting: type[Counting], tmp_path: Path
) -> None:
    sources = _clips(tmp_path, tuple(2.0 + 0.1 * i for i in range(24)))
    job = _job(sources, tmp_path / "cache", (0, 1, 2), shard_seconds=12.0)
    one_shard = frames_bytes(INFO, 14.0, 3)
    tracemalloc.start()
    try:
        _run(job)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    everything = frames_bytes(INFO, sum(s.seconds for s in sources), 3)
    sound = 3 * 14.0 * RATE * 4  # one shard that is encoded, two that are decoded ahead
    # one layer is put together for writing beside the shard's own frames
    assert peak < one_shard * 4 / 3 + 2 * sound < everything


@pytest.mark.parametrize("name", ["whisper-base", "wav2vec2", "logmel"])
def test_the_estimate_of_the_disk_space_is_enough_and_not_far_off(
    name: str, session_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXGRID_CACHE", str(session_cache))
    clips = tasks.resolve("sample-emotion").clips[::30]
    found = scan(clips, tmp_path / "scan.sqlite3").usable
    sources = tuple(Source(c.clip.id, c.clip.path, c.pcm_sha256, c.seconds) for c in found)
    info = BACKBONES.get(name).info
    layers = (0,) if name == "logmel" else (0, 1)
    job = Extraction(
        FeatureSettings(info, resolve(info, sample=True)), sources, tmp_path / "f", frames=layers
    )
    _run(job)
    sizes = Counter(p.parent.name for p in (job.features().folder / "frames").rglob("*.safe*"))
    assert sizes == {str(layer): 1 for layer in layers}
    written = sum(p.stat().st_size for p in (job.features().folder / "frames").rglob("*.safe*"))
    seconds = sum(source.seconds for source in sources)
    headers = 2000
    view = job.features().view([sources[0].pcm_sha256])
    small = replace(info, width=view.width(layers[-1]))  # random networks are narrower
    estimate = frames_bytes(small, seconds, len(layers))
    assert written - headers < 1.02 * estimate < 1.2 * written
