"""The generated task: the same bytes everywhere, real files, learnable but not trivial."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from bench.audio.decode import load
from bench.audio.index import scan
from bench.errors import StorageError
from bench.protocols import make_folds
from bench.tasks import resolve
from bench.tasks.sample import LABELS, VERSION, VOICES

# Change it together with VERSION, and only then.
DIGEST = (1, "a2229a2383f262982a564bb54e2a5f99c501e251aa984e51649b18e0090517ff")


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return resolve("sample-emotion", cache=tmp_path_factory.mktemp("cache"))


def _digest(task):
    return hashlib.sha256(b"".join(clip.path.read_bytes() for clip in task.clips)).hexdigest()


def test_it_is_small_balanced_and_named_a_sample(task):
    assert task.sample
    assert len(task.clips) == 120
    assert set(Counter(clip.label for clip in task.clips).values()) == {30}
    assert set(Counter(clip.group for clip in task.clips).values()) == {20}
    assert {clip.label for clip in task.clips} == set(LABELS)
    assert [clip.id for clip in task.clips] == sorted(clip.id for clip in task.clips)


def test_its_bytes_are_pinned(task):
    assert (VERSION, _digest(task)) == DIGEST


def test_another_process_makes_the_same_bytes(task, tmp_path):
    code = (
        "import hashlib; from bench.tasks import resolve; t = resolve('sample-emotion');"
        "print(hashlib.sha256(b''.join(c.path.read_bytes() for c in t.clips)).hexdigest())"
    )
    out = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "VOXGRID_CACHE": str(tmp_path), "PYTHONHASHSEED": "5"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == _digest(task)


def test_every_clip_is_usable_and_unlike_the_others(task, tmp_path):
    result = scan(task.clips, tmp_path / "scan.sqlite")
    assert result.excluded == result.duplicates == ()
    assert all(1.0 <= one.seconds <= 1.7 for one in result.usable)
    assert {(one.native_rate, one.channels) for one in result.usable} == {
        (16000, 1),
        (48000, 1),
        (16000, 2),
    }


def test_a_removed_file_is_made_again(tmp_path):
    task = resolve("sample-emotion", cache=tmp_path)
    before = _digest(task)
    task.clips[5].path.unlink()
    assert _digest(resolve("sample-emotion", cache=tmp_path)) == before
    left = [path.name for path in (tmp_path / "data").iterdir() if path.is_dir()]
    assert left == [f"sample-emotion-v{VERSION}"]


def test_an_unwritable_cache_says_what_to_do(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="VOXGRID_CACHE"):
        resolve("sample-emotion", cache=tmp_path / "file")


def test_a_linear_probe_learns_it_but_not_perfectly(task):
    from scipy.signal import stft
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    audio = [load(clip.path) for clip in task.clips]
    vectors = []
    for one in audio:
        power = np.abs(stft(one.samples, 16000, nperseg=400, noverlap=240, nfft=512)[2]) ** 2
        bands = np.log(np.add.reduceat(power[:256], np.arange(0, 256, 8), axis=0) + 1e-9)
        vectors.append(np.concatenate([bands.mean(axis=1), bands.std(axis=1)]))
    X, y = np.stack(vectors), np.array([clip.label for clip in task.clips])
    split = make_folds("speaker-3fold", task.clips, [one.pcm_sha256 for one in audio], LABELS)
    right = []
    for fold in split.folds:
        fit = np.concatenate([fold.train, fold.validation])
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        right.extend(probe.fit(X[fit], y[fit]).predict(X[fold.test]) == y[fold.test])
        assert len(fold.test_groups) == len(VOICES) // 3
    assert 0.55 < np.mean(right) < 0.95
