"""What is cut out of a long file is what it holds there, and nothing of a damaged one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.audio import recordings, sections
from bench.audio.index import scan
from bench.clips import Clip, Section

RATE = 8_000
SECONDS = 6.0


def _digest(path: Path) -> tuple[str, str]:
    return hashlib.sha256(path.read_bytes()).hexdigest(), ""


def _long(path: Path, channels: int = 1) -> np.ndarray:
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (int(SECONDS * RATE), channels))
    soundfile.write(path, wave, RATE, subtype="PCM_16")
    return soundfile.read(path, dtype="float32", always_2d=True)[0]


def _clips(path: Path, times: list[tuple[float, float | None]]) -> list[Clip]:
    return [
        Clip(f"clip{n}", path, "a", str(n), section=Section(path, start, end))
        for n, (start, end) in enumerate(times)
    ]


@pytest.fixture(scope="module", params=[1, 2])
def long(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "long.wav"
    _long(path, request.param)
    return path


@settings(max_examples=30)
@given(
    times=st.lists(
        st.tuples(st.floats(0, SECONDS - 0.2), st.floats(0.15, SECONDS)).map(
            lambda own: (own[0], min(SECONDS, own[0] + own[1]))
        ),
        min_size=1,
        max_size=6,
    )
)
def test_samples_of_a_section_are_those_of_its_file(
    long: Path, times: list[tuple[float, float]]
) -> None:
    wave, _ = soundfile.read(long, dtype="float32", always_2d=True)
    made, refused = sections.cut(_clips(long, [*times]), long.parent / "cut", _digest)
    assert not refused
    for clip, (start, end) in zip(made, times, strict=True):
        found, rate = soundfile.read(clip.path, dtype="float32", always_2d=True)
        assert rate == RATE
        np.testing.assert_array_equal(found, wave[round(start * RATE) : round(end * RATE)])


def test_a_file_is_cut_once_and_anew_when_it_changed(tmp_path: Path) -> None:
    _long(tmp_path / "long.wav")
    clips = _clips(tmp_path / "long.wav", [(0.0, 1.0), (2.0, None)])
    first, _ = sections.cut(clips, tmp_path / "cut", _digest)
    written = [clip.path.stat().st_mtime_ns for clip in first]
    again, _ = sections.cut(clips, tmp_path / "cut", _digest)
    assert [clip.path.stat().st_mtime_ns for clip in again] == written
    assert soundfile.info(first[1].path).duration == SECONDS - 2.0
    soundfile.write(tmp_path / "long.wav", np.full(3 * RATE, 0.5), RATE)
    changed, _ = sections.cut(clips, tmp_path / "cut", _digest)
    assert not {clip.path for clip in changed} & {clip.path for clip in first}


def test_sections_of_a_damaged_file_are_left_out_all(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    _long(path)
    path.write_bytes(path.read_bytes()[: RATE * 4])
    found = scan(_clips(path, [(0.0, 1.0), (1.0, 1.5)]), tmp_path / "audio.sqlite3")
    assert not found.usable
    assert [each.reason for each in found.excluded] == [
        "long.wav: is truncated: 96000 bytes promised, 31956 found"
    ] * 2
    assert not list((tmp_path / "sections").iterdir())


def test_sections_behind_the_end_and_silent_ones_say_so(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.concatenate([_long(path)[:RATE], np.zeros((RATE, 1))]), RATE)
    times = [(0.0, 1.0), (1.0, 2.02), (1.5, 2.5), (2.0, 3.0), (0.0, 0.05)]
    found = scan(_clips(path, [*times]), tmp_path / "audio.sqlite3")
    assert [clip.clip.id for clip in found.usable] == ["clip0"]
    assert [each.reason for each in found.excluded] == [
        "is silent: every sample has the same value",
        "ends at 2.5 s, and long.wav lasts 2.000 s",
        "begins at 2 s, and long.wav lasts 2.000 s",
        "lasts 0.050 s, less than the 0.1 s needed",
    ]


def test_sections_that_overlap_are_one_recording(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    _long(path)
    times = [(0.0, 1.0), (0.9, 2.0), (2.0, 3.0), (1.9, 2.0), (5.0, None), (5.5, 5.7), (3.0, 4.0)]
    found = recordings.by_samples(scan(_clips(path, [*times]), tmp_path / "a.sqlite3").usable)
    first, second, apart, inside, last, within, alone = found
    assert first == second == inside
    assert last == within
    assert len({first, apart, last, alone}) == 4
