"""The scan: nothing is decoded twice, nothing is trusted by name, every clip is accounted for."""

from __future__ import annotations

import os
import sqlite3

import numpy as np
import pytest
import soundfile

from bench.audio import notes
from bench.audio.index import scan
from bench.clips import Clip
from bench.errors import StorageError


def _noise(seed):
    return np.random.default_rng(seed).integers(-9999, 9999, 4800).astype(np.int16)


def _clip(folder, name, samples, label="a", channels=1, rate=16000):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.stack([samples] * channels, axis=1), rate)
    return Clip(path.stem, path, label, "g")


@pytest.fixture
def clips(tmp_path):
    return [_clip(tmp_path, f"{i}.wav", _noise(i)) for i in range(5)]


class Decoded:
    """Scans, and counts how many files each had to decode."""

    def __init__(self, memory):
        self.memory = memory
        self.files = 0

    def scan(self, clips, **options):
        calls = []
        found = scan(clips, self.memory, lambda *call: calls.append(call), **options)
        (known, total), (done, _) = calls[0], calls[-1]
        assert done == total
        self.files = total - known
        return found


@pytest.fixture
def decoded(tmp_path):
    return Decoded(tmp_path / "scan.sqlite")


def test_facts_of_usable_clips(tmp_path):
    clip = _clip(tmp_path, "a.wav", _noise(0), channels=2, rate=48000)
    (found,) = scan([clip], tmp_path / "scan.sqlite").usable
    assert found.clip == clip
    assert (found.seconds, found.channels, found.native_rate) == (0.1, 2, 48000)
    assert len(found.file_sha256) == len(found.pcm_sha256) == 64


def test_the_second_scan_decodes_nothing_and_says_the_same(tmp_path, clips, decoded):
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    clips.append(Clip("bad", tmp_path / "bad.wav", "a", "g"))
    first = decoded.scan(clips)
    assert decoded.files == 6
    assert decoded.scan(clips) == first
    assert decoded.files == 0, "failures are remembered too"
    assert [one.clip for one in first.excluded] == ["bad"]


def test_other_content_under_an_old_name_is_decoded(tmp_path, clips, decoded):
    before = [clip.pcm_sha256 for clip in decoded.scan(clips).usable]
    _clip(tmp_path, "2.wav", _noise(99))
    after = [clip.pcm_sha256 for clip in decoded.scan(clips).usable]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True] * 2 + [False] + [
        True
    ] * 2
    assert decoded.files == 1


def test_another_decode_version_forgets(clips, decoded):
    for version, files in ((1, 5), (10_000, 5), (1, 0)):
        decoded.scan(clips, decode_version=version)
        assert decoded.files == files


def test_what_another_decoder_found_is_forgotten_refusals_too(tmp_path, clips, decoded):
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    clips.append(Clip("bad", tmp_path / "bad.wav", "a", "g"))
    for decoders, files in (("libsndfile 1", 6), ("libsndfile 2", 6), ("libsndfile 1", 0)):
        decoded.scan(clips, decoders=decoders)
        assert decoded.files == files


def test_what_there_is_to_know_of_a_file_is_found_and_remembered(tmp_path, clips, decoded):
    path = tmp_path / "2.wav"
    data = path.read_bytes()
    at = data.index(b"data") + 4
    path.write_bytes(data[:at] + bytes(4) + data[at + 4 :])
    for files in (5, 0):
        found = decoded.scan(clips)
        assert decoded.files == files
        assert [clip.notes for clip in found.usable] == [(), (), (notes.NO_LENGTH,), (), ()]


def test_duplicates_that_agree_stay_and_are_named(tmp_path, clips):
    clips.append(_clip(tmp_path, "copy.flac", _noise(3)))
    result = scan(clips, tmp_path / "scan.sqlite")
    assert result.duplicates == (("3", "copy"),)
    assert len(result.usable) == 6


def test_duplicates_that_disagree_all_go(tmp_path, clips):
    clips.append(_clip(tmp_path, "copy.flac", _noise(3), label="b"))
    result = scan(clips, tmp_path / "scan.sqlite")
    assert [one.clip for one in result.excluded] == ["3", "copy"]
    assert "different labels: 3 (a), copy (b)" in result.excluded[0].reason
    assert result.duplicates == ()
    assert len(result.usable) == 4


def test_a_copy_that_nobody_has_labelled_stays_and_is_a_duplicate(tmp_path, clips):
    clips.append(_clip(tmp_path, "new.wav", _noise(3), label=""))
    result = scan(clips, tmp_path / "scan.sqlite")
    assert result.excluded == ()
    assert result.duplicates == (("3", "new"),)
    clips.append(_clip(tmp_path, "other.wav", _noise(3), label="b"))
    result = scan(clips, tmp_path / "scan.sqlite")
    assert [one.clip for one in result.excluded] == ["3", "other"]
    assert result.excluded[0].reason.endswith("different labels: 3 (a), other (b)")
    assert result.usable[-1].clip.id == "new"


def test_clips_of_one_id_never_stand_for_one_another(tmp_path):
    clips = [_clip(tmp_path / folder, "a.wav", _noise(i)) for i, folder in enumerate("xy")]
    clips.append(Clip("a", tmp_path / "gone.wav", "a", "g"))
    result = scan(clips, tmp_path / "scan.sqlite")
    assert [found.clip for found in result.usable] == clips[:2]
    assert len({found.pcm_sha256 for found in result.usable}) == 2
    assert [one.reason for one in result.excluded] == ["cannot be read (No such file or directory)"]


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_the_name_of_a_file_need_not_be_utf_8(tmp_path, suffix):
    plain = _clip(tmp_path, f"plain.{suffix}", _noise(1)).path
    path = tmp_path / os.fsdecode(b"caf\xe9")
    plain.rename(path)
    (found,) = scan([Clip("x", path, "a", "g")], tmp_path / "scan.sqlite").usable
    assert found.seconds > 0


def test_unreadable_files_are_excluded_and_never_remembered(tmp_path, clips):
    clips.append(Clip("gone", tmp_path / "gone.wav", "a", "g"))
    result = scan(clips, tmp_path / "scan.sqlite")
    assert result.excluded[0].clip == "gone"
    assert "cannot be read (No such file" in result.excluded[0].reason
    _clip(tmp_path, "gone.wav", _noise(7))
    assert scan(clips, tmp_path / "scan.sqlite").excluded == ()


def test_progress_counts_to_the_end(tmp_path, clips):
    calls = []
    for _ in range(2):
        scan(clips, tmp_path / "scan.sqlite", lambda *call: calls.append(call))
        assert calls.pop() == (5, 5)


def test_a_damaged_memory_is_made_anew(tmp_path, clips):
    memory = tmp_path / "scan.sqlite"
    memory.write_bytes(b"this is not a database" * 100)
    assert len(scan(clips, memory).usable) == 5
    with sqlite3.connect(memory) as connection:
        assert connection.execute("SELECT count(*) FROM files").fetchone() == (5,)


def test_a_memory_that_cannot_be_written_says_so(tmp_path, clips):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="VOXGRID_CACHE"):
        scan(clips, tmp_path / "file" / "scan.sqlite")


def test_an_interrupted_scan_keeps_what_it_decoded(tmp_path, decoded):
    clips = [_clip(tmp_path, f"{i}.wav", _noise(i)) for i in range(6)]

    def stop(done, _):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan(clips, decoded.memory, stop, commit_every=2)
    assert len(decoded.scan(clips).usable) == 6
    assert decoded.files == 2


def test_no_clips_at_all(tmp_path):
    assert scan([], tmp_path / "scan.sqlite").usable == ()
