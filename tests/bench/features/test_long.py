"""Clips longer than a shard: in memory that does not grow, with the numbers of the whole."""

from __future__ import annotations

import json
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.numpy import load_file

from backbones import STEM, Backbone, BackboneInfo, Frames, Weights
from bench.audio.index import scan
from bench.clips import Clip
from bench.errors import ClipError
from bench.features.extract import Extraction, extract, pending
from bench.features.key import FeatureSettings
from bench.features.source import ExtractionError, Source
from bench.plugins import BACKBONES
from bench.tuning.fits.augment import Augmentation
from bench.tuning.fits.live import Recordings
from bench.tuning.fits.stored import sequences
from tests.bench.features.make_long_clips import extract_in_child, generated

RATE = 16_000
HOP = 400
NATIVE = 24_000
# Whatever lasts more than 5 s is a long clip.
IN_SLICES = 5.0
WHOLE = 120.0

INFO = BackboneInfo(
    name="rows",
    summary="samples in rows of 25 ms",
    weights_id=None,
    revision=None,
    licence="MIT",
    sample_rate=RATE,
    layers=2,
    width=HOP,
    frame_rate=40.0,
    max_seconds=2.0,
    attention_mask=True,
    normalised=False,
    trainable=True,
)


class Rows(Backbone):
    """Layer 0 is the samples themselves, layer 1 is far larger; counts the windows it gets."""

    info = INFO
    encoded = 0

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        pass

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        Rows.encoded += len(waves)
        rows, valid = self.stem(waves, lengths)
        return Frames.same_lengths([rows, rows * 1e6], valid)

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return waves.unfold(1, HOP, HOP).contiguous(), lengths // HOP


class RowsOfEqualLengths(Rows):
    """Refuses padding."""

    info = BackboneInfo(**{**INFO.__dict__, "name": "equal", "attention_mask": False})

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        assert (lengths == waves.shape[1]).all()
        return super().encode(waves, lengths)


@pytest.fixture(autouse=True)
def rows() -> Iterator[None]:
    Rows.encoded = 0
    classes = (Rows, RowsOfEqualLengths)
    with BACKBONES.including(
        *(EntryPoint(cls.info.name, f"{__name__}:{cls.__name__}", "") for cls in classes)
    ):
        yield


def _sound(seconds: float, rate: int = RATE) -> np.ndarray:
    """Noise that grows from faint to loud, so that windows differ in scale."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, int(seconds * rate))
    return (noise * np.geomspace(1e-3, 1, len(noise))).astype(np.float32)


def _source(path: Path, samples: np.ndarray, rate: int = RATE, **options: str) -> Source:
    soundfile.write(path, samples, rate, **options)
    clips = [Clip(path.stem, path, "label", "group")]
    (found,) = scan(clips, path.parent / "scan.sqlite3").usable
    return Source(path.stem, path, found.pcm_sha256, found.seconds)


def _job(
    source: Source | tuple[Source, ...],
    root: Path,
    name: str = "rows",
    layers: tuple[int, ...] = (),
    shard_seconds: float = IN_SLICES,
) -> Extraction:
    sources = source if isinstance(source, tuple) else (source,)
    settings = FeatureSettings(BACKBONES.get(name).info, Weights("none"))
    return Extraction(settings, sources, root, batch=3, frames=layers, shard_seconds=shard_seconds)


def _run(job: Extraction, on_progress: Callable[[float], None] = lambda seconds: None) -> None:
    extract(job, on_progress)


@pytest.mark.parametrize("name", ["rows", "equal"])
def test_statistics_of_a_long_clip_are_those_of_all_its_frames_at_once(
    name: str, tmp_path: Path
) -> None:
    source = _source(tmp_path / "a.wav", _sound(24.0), subtype="FLOAT")
    job = _job(source, tmp_path / "cache", name)
    _run(job)
    assert Rows.encoded == 1 + 12  # one window to warm up
    view = job.features().view([source.pcm_sha256])
    frames = soundfile.read(source.path)[0].reshape(-1, HOP)  # no window has a remainder
    assert view.frames(0).tolist() == [len(frames)]
    found = [view.vectors(0, kind)[0] for kind in ("mean_std", "max")]
    np.testing.assert_allclose(found[0][:HOP], frames.mean(0), atol=1e-8)
    np.testing.assert_allclose(found[0][HOP:], frames.std(0), rtol=1e-5)
    np.testing.assert_array_equal(found[1], frames.max(0))


@pytest.mark.parametrize(("name", "rate"), [("rows", NATIVE), ("equal", NATIVE), ("rows", RATE)])
def test_a_long_clip_gives_what_a_short_one_would_have_given(
    name: str, rate: int, tmp_path: Path
) -> None:
    source = _source(tmp_path / "a.flac", _sound(23.777, rate), rate)
    layers = (STEM, 0, 1)
    jobs = [_job(source, tmp_path / str(s), name, layers, s) for s in (WHOLE, IN_SLICES)]
    stored: list[dict[str, np.ndarray]] = []
    for job in jobs:
        _run(job)
        assert not pending(job.features(), job.sources, layers)
        folder = job.features().folder
        files = {path.relative_to(folder): path for path in folder.rglob("*.safetensors")}
        assert len(files) == 1 + len(layers)
        stored.append(
            {
                f"{file}: {tensor}": values
                for file, path in files.items()
                for tensor, values in load_file(path).items()
            }
        )
    assert stored[0].keys() == stored[1].keys()
    for tensor, values in stored[0].items():
        np.testing.assert_array_equal(stored[1][tensor], values, err_msg=tensor)
    places = [job.frame_set().view([source.pcm_sha256], 1)._places[0][0] for job in jobs]
    assert places[0].exponent == places[1].exponent > 0


def test_progress_goes_on_within_a_long_clip(tmp_path: Path) -> None:
    source = _source(tmp_path / "a.flac", _sound(21.3, NATIVE), NATIVE)
    passed: list[float] = []
    _run(_job(source, tmp_path / "cache"), passed.append)
    assert len(passed) > 4
    assert max(passed) <= 5.0
    assert sum(passed) == pytest.approx(source.seconds, abs=1e-4)


def test_a_long_clip_is_a_shard_of_its_own(tmp_path: Path) -> None:
    lengths = (1.0, 1.5, 7.0, 8.0)
    sources = tuple(_source(tmp_path / f"{seconds}.wav", _sound(seconds)) for seconds in lengths)
    job = _job(sources, tmp_path / "cache")
    _run(job)
    timings = job.features().timings([source.pcm_sha256 for source in sources])
    assert sorted(t.audio_seconds for t in timings) == [2.5, 7.0, 8.0]


def test_a_deadline_within_a_long_clip_gives_it_up_and_keeps_those_before(
    tmp_path: Path,
) -> None:
    short = _source(tmp_path / "a.wav", _sound(3.0))
    long = _source(tmp_path / "b.wav", _sound(30.0))
    layers = (0,)
    job = _job((short, long), tmp_path / "cache", layers=layers)
    deadline = time.time() + 3600
    passed: list[float] = []

    def late(seconds: float) -> None:
        passed.append(seconds)
        if len(passed) == 3:
            patch.setattr(time, "time", lambda: deadline + 1)

    with pytest.MonkeyPatch.context() as patch:
        extract(job, late, deadline)
    assert len(passed) == 3
    assert [source.id for source in pending(job.features(), job.sources, layers)] == ["b"]
    folder = job.features().folder / "frames" / "0"
    assert len(list(folder.iterdir())) == 1
    extract(job, passed.append, deadline)
    assert not pending(job.features(), job.sources, layers)


@pytest.mark.parametrize("seconds", [4.0, 9.0])
def test_a_file_with_other_sound_than_was_scanned_is_refused(
    seconds: float, tmp_path: Path
) -> None:
    """Its features would stand under the wrong samples for ever."""
    source = _source(tmp_path / "a.wav", _sound(seconds))
    soundfile.write(source.path, -_sound(seconds), RATE)
    job = _job(source, tmp_path / "cache", layers=(0,))
    with pytest.raises(ExtractionError, match=r"clip 'a' holds other sound.*a\.wav.*run again"):
        _run(job)
    assert len(job.features()) == 0
    assert not job.frame_set().has(source.pcm_sha256, 0)


@pytest.mark.parametrize(("seconds", "reason"), [(8.0, "shorter"), (10.0, "longer")])
def test_a_long_clip_of_another_length_than_was_scanned_is_refused(
    seconds: float, reason: str, tmp_path: Path
) -> None:
    source = _source(tmp_path / "a.wav", _sound(9.0))
    soundfile.write(source.path, _sound(seconds), RATE)
    with pytest.raises(ClipError, match=rf"a\.wav: is {reason} than when it was scanned"):
        _run(_job(source, tmp_path / "cache"))


@pytest.mark.parametrize("augment", [None, 7])
def test_live_frames_of_the_beginning_need_no_more_than_the_beginning(
    augment: int | None, tmp_path: Path
) -> None:
    minutes = 6
    source = _source(tmp_path / "a.wav", _sound(60.0 * minutes))
    job = _job(source, tmp_path / "cache", layers=(STEM,), shard_seconds=WHOLE)
    _run(job)
    augmentation = Augmentation(speed_probability=0, pitch_probability=0)
    recordings = Recordings(job, (source.pcm_sha256,), augmentation)
    stored = sequences(Recordings(job, recordings.clips), (STEM,), most_frames=130)
    live = sequences(recordings, (STEM,), cached=False, most_frames=130).take(np.array([0, 0]))
    live.batch(np.arange(1), augment)  # loads what there is to load
    tracemalloc.start()
    try:
        frames, lengths = live.batch(np.array([1]), augment)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert lengths.tolist() == [130]
    assert peak < 60 * minutes * RATE * 4 / 4
    if augment is None:
        wanted, _ = stored.batch(np.arange(1))
        np.testing.assert_allclose(frames, wanted, rtol=2**-10, atol=1e-5)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs the peak of a process")
def test_forty_minutes_take_the_memory_of_three(tmp_path: Path) -> None:
    files = [generated(tmp_path / f"{minutes}.flac", minutes) for minutes in (3, 40)]
    # glibc otherwise keeps freed blocks below 32 MB, and the peak would tell of its heap
    returning = {"MALLOC_MMAP_THRESHOLD_": "1000000"}
    done = extract_in_child(
        tmp_path / "cache", "logmel", files, layers="[0]", environment=returning
    )
    assert done.returncode == 0, done.stderr
    (seconds, peak), (more_seconds, more_peak) = json.loads(done.stdout)
    assert (seconds, more_seconds) == (pytest.approx(180), pytest.approx(2400))
    assert more_peak < 1.1 * peak
    held = 2400 * (RATE + 8000) * 4 / 2**20
    assert more_peak - peak < held / 4


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_a_kill_within_a_long_clip_leaves_nothing_half_done(tmp_path: Path) -> None:
    path = generated(tmp_path / "a.flac", 7)
    done = extract_in_child(tmp_path / "cache", "logmel", [path], layers="[0]", kill_after=2)
    assert done.returncode == -9
    left = {path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert left == {".sqlite3"}
    (clip,) = scan([Clip("a", path, "x", "y")], tmp_path / "cache" / "scan.sqlite3").usable
    job = _job(
        Source("a", path, clip.pcm_sha256, clip.seconds),
        tmp_path / "cache",
        "logmel",
        (0,),
        shard_seconds=WHOLE,
    )
    _run(job)
    assert not pending(job.features(), job.sources, job.frames)
