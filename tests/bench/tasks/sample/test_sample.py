"""The generated tasks: the same bytes everywhere, real files, learnable but not trivial."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from scipy.signal import stft
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.audio.decode import load
from bench.audio.index import scan
from bench.errors import StorageError
from bench.plugins import BACKBONES
from bench.protocols.table import make_folds
from bench.tasks import TASKS, find, names, resolve
from bench.tasks.sample import emotion, topic

MODULES = {module.ENTRY.name: module for module in (emotion, topic)}
# Change one together with its VERSION, and only then.
DIGESTS = {
    "sample-emotion": (1, "a2229a2383f262982a564bb54e2a5f99c501e251aa984e51649b18e0090517ff"),
    "sample-topic": (1, "f62a6b01138a8f6c877f26307a81276775722471594a19ea727df32d9116951b"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every generated task by name."""
    cache = tmp_path_factory.mktemp("cache")
    return {name: resolve(name, cache=cache) for name in MODULES}


@pytest.fixture(params=MODULES)
def task(request, made):
    return made[request.param]


@pytest.fixture(scope="module")
def vectors(made):
    """Mean and standard deviation of log spectral bands, one row per clip, by task."""
    return {
        name: np.stack([_bands(load(clip.path).samples) for clip in task.clips])
        for name, task in made.items()
    }


def _bands(samples):
    power = np.abs(stft(samples, 16000, nperseg=400, noverlap=240, nfft=512)[2]) ** 2
    bands = np.log(np.add.reduceat(power[:256], np.arange(0, 256, 8), axis=0) + 1e-9)
    return np.concatenate([bands.mean(axis=1), bands.std(axis=1)])


def _accuracy(X, y, parts):
    right = []
    for fit, test in parts:
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        right.extend(probe.fit(X[fit], y[fit]).predict(X[test]) == y[test])
    return np.mean(right)


def _grouped(task, protocol):
    split = make_folds(protocol, task.clips, [clip.id for clip in task.clips], task.labels)
    return [(np.concatenate([fold.train, fold.validation]), fold.test) for fold in split.folds]


def _digest(task):
    return hashlib.sha256(b"".join(clip.path.read_bytes() for clip in task.clips)).hexdigest()


def test_every_twin_of_a_real_task_is_generated_and_folds_by_the_same_kind_of_group():
    entries = [find(name) for name in names() if not find(name).sample]
    assert {entry.twin for entry in entries} == set(MODULES)
    for entry in entries:
        assert find(entry.twin).group == entry.group
        assert TASKS.get(entry.twin) is MODULES[entry.twin]


def test_it_is_small_balanced_and_named_a_sample(task):
    labels = MODULES[task.name].LABELS
    assert task.sample
    assert task.labels == labels
    assert task.protocols == find(task.name).protocols
    assert Counter(clip.label for clip in task.clips) == dict.fromkeys(labels, 30)
    assert [clip.id for clip in task.clips] == sorted(clip.id for clip in task.clips)


def test_every_voice_speaks_in_every_emotion(made):
    cells = Counter((clip.group, clip.label) for clip in made["sample-emotion"].clips)
    assert cells == {(voice, label): 5 for voice in emotion.VOICES for label in emotion.LABELS}


def test_a_channel_makes_clips_of_one_or_two_kinds_and_a_kind_comes_from_several(made):
    cells = Counter((clip.group, clip.label) for clip in made["sample-topic"].clips)
    assert Counter(group for group, _ in cells).keys() == topic.CHANNELS.keys()
    assert set(Counter(group for group, _ in cells).values()) == {1, 2}
    assert min(Counter(label for _, label in cells).values()) == 5
    assert set(Counter(clip.group for clip in made["sample-topic"].clips).values()) == {10}


def test_its_bytes_are_pinned(task):
    assert (MODULES[task.name].VERSION, _digest(task)) == DIGESTS[task.name]


def test_every_clip_is_usable_unlike_the_others_and_formats_vary(task, tmp_path):
    result = scan(task.clips, tmp_path / "scan.sqlite")
    assert result.excluded == result.duplicates == ()
    assert Counter((one.native_rate, one.channels) for one in result.usable) == {
        (16000, 1): 118,
        (48000, 1): 1,
        (16000, 2): 1,
    }
    assert all(one.seconds >= 1.0 for one in result.usable)
    assert sum(one.seconds for one in result.usable) < 300


def test_clips_are_short_but_for_one_that_every_backbone_needs_windows_for(made, tmp_path):
    lengths = {}
    for task in made.values():
        found = scan(task.clips, tmp_path / "scan.sqlite").usable
        lengths |= {one.clip.id: one.seconds for one in found}
    assert lengths.pop(topic.LONG) > max(
        BACKBONES.get(name).info.max_seconds for name in BACKBONES.names()
    )
    assert max(lengths.values()) < 2.0


def test_a_removed_file_is_made_again(tmp_path):
    task = resolve("sample-emotion", cache=tmp_path)
    before = _digest(task)
    task.clips[5].path.unlink()
    assert _digest(resolve("sample-emotion", cache=tmp_path)) == before
    left = [path.name for path in (tmp_path / "data").iterdir() if path.is_dir()]
    assert left == [f"sample-emotion-v{emotion.VERSION}"]


@pytest.mark.parametrize("name", MODULES)
def test_an_unwritable_cache_says_what_to_do(name, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="VOXGRID_CACHE"):
        resolve(name, cache=tmp_path / "file")


def test_a_linear_probe_learns_it_on_unseen_groups_but_not_perfectly(task, vectors):
    X, y = vectors[task.name], np.array([clip.label for clip in task.clips])
    assert 0.55 < _accuracy(X, y, _grouped(task, task.protocols[0])) < 0.95


def test_channels_are_heard_and_knowing_them_helps(made, vectors):
    task, X = made["sample-topic"], vectors["sample-topic"]
    y = np.array([clip.label for clip in task.clips])
    channel = np.array([clip.group for clip in task.clips])
    mixed = [
        list(StratifiedKFold(5, shuffle=True, random_state=seed).split(X, y)) for seed in range(3)
    ]
    assert np.mean([_accuracy(X, channel, parts) for parts in mixed]) > 4 / len(topic.CHANNELS)
    leaking = np.mean([_accuracy(X, y, parts) for parts in mixed])
    assert leaking > _accuracy(X, y, _grouped(task, "channel-5fold")) + 0.03
