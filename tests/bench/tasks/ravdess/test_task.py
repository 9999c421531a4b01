"""RAVDESS: names, folders, the manifest, and what is said where they disagree."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from bench.audio.index import scan
from bench.errors import DataUnavailable, UserError
from bench.protocols.table import PROTOCOLS
from bench.tasks import find, names, resolve
from bench.tasks.ravdess.manifest import manifest
from bench.tasks.ravdess.task import LABELS, parse, read

REAL = Path(os.environ.get("VOXGRID_DATA", "/nonexistent")) / "ravdess"


def _put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(abs(hash(name)) % 2**32).standard_normal(4800) * 0.1
        if path.suffix in (".wav", ".flac"):
            soundfile.write(path, noise, 16000)
        else:
            path.write_bytes(b"x")


def test_the_manifest_is_the_whole_grid():
    assert len(manifest()) == 1440
    assert all(parse(stem) for stem in manifest())
    for column in ("wav_sha256", "pcm_sha256"):
        assert all(re.fullmatch("[0-9a-f]{64}", getattr(p, column)) for p in manifest().values())
    twice = [s for s in manifest() if s in ("03-01-03-01-02-01-07", "03-01-03-01-02-02-07")]
    assert len({manifest()[stem].pcm_sha256 for stem in twice}) == 1
    assert len({p.pcm_sha256 for p in manifest().values()}) == 1439


def test_a_name_is_read():
    name = parse("03-01-05-02-01-02-12")
    assert (name.emotion, name.intensity, name.statement, name.repetition, name.actor) == (
        "angry",
        2,
        1,
        2,
        "12",
    )
    assert [parse(f"03-01-{e:02d}-01-01-01-01").emotion for e in range(1, 9)] == list(LABELS)


@given(st.lists(st.integers(0, 30), min_size=7, max_size=7))
def test_a_grid_name_parses_exactly_if_published(numbers):
    stem = "-".join(f"{number:02d}" for number in numbers)
    if stem in manifest():
        assert parse(stem).actor == stem[-2:]
    else:
        with pytest.raises(ValueError, match="name"):
            parse(stem)


@given(st.text())
def test_any_other_name_is_refused(text):
    if text not in manifest():
        with pytest.raises(ValueError, match="name"):
            parse(text)


@pytest.mark.parametrize(
    ("stem", "reason"),
    [
        ("03-02-05-01-01-01-01", "song"),
        ("01-01-05-01-01-01-01", "audio and video"),
        ("02-01-05-01-01-01-01", "video only"),
        ("03-01-01-02-01-01-01", "intensity 02"),
        ("03-01-09-01-01-01-01", "emotion 09"),
        ("03-01-05-01-01-01-25", "actor 25"),
        ("03-01-05-01-01-01", "seven"),
        ("٠٣-01-05-01-01-01-01", "seven"),
    ],
)
def test_a_wrong_name_says_why(stem, reason):
    with pytest.raises(ValueError, match=reason):
        parse(stem)


def _linked(folder, *actors):
    """Clips of every actor in folders of other names; linked as `Actor_NN`, or so called."""
    for actor in range(1, 5):
        real = f"Actor_{actor:02d}" if actor not in actors else f"../elsewhere/speaker{actor}"
        _put(folder, f"{real}/03-01-05-01-01-01-{actor:02d}.wav")
        if actor in actors:
            (folder / f"Actor_{actor:02d}").symlink_to(folder / real, target_is_directory=True)


@pytest.mark.parametrize("actors", [(1, 2, 3, 4), (2,)])
def test_actors_may_be_links_to_folders(tmp_path, actors):
    folder = tmp_path / "ravdess"
    folder.mkdir()
    _linked(folder, *actors)
    task = read(folder)
    assert [clip.group for clip in task.clips] == ["01", "02", "03", "04"]
    assert task.excluded == ()


def test_links_that_lead_round_in_a_circle_or_to_one_place_are_followed_once(tmp_path):
    folder = tmp_path / "data" / "ravdess"
    _put(folder, "all/speaker1/03-01-05-01-01-01-01.wav", "all/b/x.txt", "all/c/x.txt")
    for link, target in (
        ("Actor_01", "all/speaker1"),
        ("all/Actor_01", "all/speaker1"),
        ("all/speaker1/again", "all"),
        ("all/b/c", "all/c"),
        ("all/c/b", "all/b"),
        ("all/up", ".."),
        ("all/gone", "nowhere"),
    ):
        (folder / link).symlink_to(folder / target, target_is_directory=True)
    task = read(folder)
    assert [clip.id for clip in task.clips] == ["03-01-05-01-01-01-01"]
    assert {one.reason for one in task.excluded} == {"the clip is not in an Actor_NN folder"}


def test_a_name_that_is_no_utf_8_is_left_out_by_a_name_that_can_be_written(tmp_path):
    _put(tmp_path, "Actor_01/03-01-05-01-01-01-01.wav", "Actor_01/a.wav")
    (tmp_path / "Actor_01" / "a.wav").rename(tmp_path / "Actor_01" / os.fsdecode(b"caf\xe9.wav"))
    (left_out,) = read(tmp_path).excluded
    assert left_out.clip == r"Actor_01/caf\udce9.wav"
    assert left_out.clip.encode()


def test_files_are_judged_one_by_one(tmp_path):
    _put(
        tmp_path,
        "Actor_01/03-01-05-01-01-01-01.wav",
        "Actor_01/03-01-05-01-01-01-01.flac",
        "Actor_01/._03-01-05-01-01-01-01.wav",
        "__MACOSX/Actor_01/03-01-05-01-01-01-01.wav",
        "Audio_Speech_Actors_01-24/Actor_01/03-01-05-01-01-01-01.wav",
        "Audio_Speech_Actors_01-24/Actor_02/03-01-01-01-01-01-02.WAV",
        "Actor_01/03-02-05-01-01-01-01.wav",
        "Actor_01/03-01-05-01-01-02-03.wav",
        "Actor_01/notes.txt",
        "Actor_02/03-01-06-01-01-01-02.mp3",
        "03-01-06-01-01-01-02.wav",
    )
    task = read(tmp_path)
    assert [clip.id for clip in task.clips] == ["03-01-01-01-01-01-02", "03-01-05-01-01-01-01"]
    assert [clip.label for clip in task.clips] == ["neutral", "angry"]
    assert [clip.group for clip in task.clips] == ["02", "01"]
    assert task.clips[1].path == tmp_path / "Actor_01/03-01-05-01-01-01-01.wav"
    reasons = {one.clip: one.reason for one in task.excluded}
    assert "second copy" in reasons["Actor_01/03-01-05-01-01-01-01.flac"]
    nested = "Audio_Speech_Actors_01-24/Actor_01/03-01-05-01-01-01-01.wav"
    assert "second copy" in reasons[nested]
    assert "song" in reasons["Actor_01/03-02-05-01-01-01-01.wav"]
    assert "actor 03, the folder Actor_01" in reasons["Actor_01/03-01-05-01-01-02-03.wav"]
    assert "not how RAVDESS is published" in reasons["Actor_02/03-01-06-01-01-01-02.mp3"]
    assert "not in an Actor_NN folder" in reasons["03-01-06-01-01-01-02.wav"]
    assert len(reasons) == 6
    assert task.notes[0].startswith("1438 of the 1440 published clips are missing: 03-01-")


def test_a_folder_without_clips_is_a_mistake(tmp_path):
    (tmp_path / "ravdess").mkdir()
    with pytest.raises(UserError, match=r"holds no RAVDESS clip.*unzip"):
        resolve("ravdess", data_root=tmp_path, cache=tmp_path / "cache")
    _put(tmp_path / "ravdess", "Actor_01/hello.wav")
    with pytest.raises(UserError, match=r"Actor_01/hello\.wav: the name is not seven"):
        resolve("ravdess", data_root=tmp_path, cache=tmp_path / "cache")


def test_data_goes_before_cache_and_absence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("VOXGRID_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("VOXGRID_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataUnavailable, match="voxgrid fetch ravdess"):
        resolve("ravdess")
    _put(tmp_path / "cache/data/ravdess", "Actor_01/03-01-05-01-01-01-01.wav")
    assert resolve("ravdess").clips[0].path.is_relative_to(tmp_path / "cache")
    _put(tmp_path / "data/ravdess", "Actor_01/03-01-05-01-01-01-01.flac")
    assert resolve("ravdess").clips[0].path.is_relative_to(tmp_path / "data")


def test_a_re_encoded_clip_is_noted(tmp_path):
    _put(tmp_path, "Actor_01/03-01-05-01-01-01-01.wav")
    task = read(tmp_path)
    found = scan(task.clips, tmp_path / "scan.sqlite").usable
    (note,) = task.altered({one.clip.id: one.pcm_sha256 for one in found}, {})
    assert note.startswith("1 clips do not hold the published samples")
    assert "03-01-05-01-01-01-01" in note


def test_an_unknown_task_is_corrected():
    with pytest.raises(UserError, match="did you mean 'ravdess'"):
        resolve("ravdes")


def test_the_registry_holds_together():
    for name in names():
        assert set(find(name).protocols) <= set(PROTOCOLS)
        other = find(name).twin
        assert other is None or other.startswith("sample-")


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="VOXGRID_DATA holds no ravdess")
def test_the_real_clips_are_the_published_ones(tmp_path):
    folder = tmp_path / "ravdess"
    for actor in ("Actor_01", "Actor_07"):
        shutil.copytree(REAL / actor, folder / actor)
    task = read(folder)
    result = scan(task.clips, tmp_path / "scan.sqlite")
    assert len(result.usable) == 120
    assert result.duplicates == (("03-01-03-01-02-01-07", "03-01-03-01-02-02-07"),)
    assert task.altered({one.clip.id: one.pcm_sha256 for one in result.usable}, {}) == ()
    stereo = {one.clip.id for one in result.usable if one.channels == 2}
    assert stereo == {"03-01-02-01-01-02-01", "03-01-08-01-02-02-01"}
