"""Caches from elsewhere: what is odd in them is missing, and nothing outside is touched."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from bench.cli import app
from bench.errors import StorageError
from bench.features.frames import ClipFrames, FrameSet
from bench.features.store import FeatureSet
from bench.planning import starts
from bench.planning.estimate import Estimate
from bench.planning.make import STUDIES
from bench.progress import Standing, duration
from bench.run.clean import remove, unneeded
from tests.bench.features.test_store import SETTINGS, TIMING, make_clip
from tests.hostile.conftest import NO_FILES

Changes = dict[str, str | None]


def _filled(root: Path, clips: str = "ab", width: int = 4) -> Path:
    """A shard of these clips."""
    features = FeatureSet(root, SETTINGS)
    rng = np.random.default_rng(0)
    features.add(list(clips), [make_clip(rng, 3, (width,)) for _ in clips], TIMING)
    return max(features.folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime_ns)


def _timing(**changes: object) -> Changes:
    return {"timing": json.dumps(asdict(TIMING) | changes)}


METADATA: dict[str, Changes | None] = {
    "no metadata": None,
    "no clips": {"clips": None},
    "no timing": {"timing": None},
    "clips of a number": {"clips": "5"},
    "clips of lists": {"clips": "[[1], [2]]"},
    "more clips than rows": {"clips": '["a", "b", "c"]'},
    "nested": {"clips": "[" * 100_000},
    "timing of a number": {"timing": "5"},
    "no seconds": _timing(encode_seconds=0),
    "negative seconds": _timing(total_seconds=-1),
    "infinite seconds": _timing(audio_seconds=math.inf),
    "no number of seconds": _timing(encode_seconds=math.nan),
    "seconds of a text": _timing(total_seconds="x"),
    "too many parameters": _timing(parameters=10**400),
    "hardware of a list": _timing(hardware=[]),
}


def _rewritten(path: Path, changes: Changes | None, **tensors: np.ndarray | None) -> None:
    """The shard with other metadata (none at all), and other tensors."""
    about = {"clips": '["a", "b"]', "timing": json.dumps(asdict(TIMING))} | (changes or {})
    told = {key: value for key, value in about.items() if value is not None}
    held = load_file(path) | {name.replace("_", "."): part for name, part in tensors.items()}
    kept = {name: part for name, part in held.items() if part is not None}
    save_file(kept, path, told if changes is not None else None)


@pytest.mark.parametrize("changes", METADATA.values(), ids=METADATA.keys())
def test_the_clips_of_a_shard_that_says_odd_things_are_missing(
    changes: Changes | None, tmp_path: Path
) -> None:
    _rewritten(_filled(tmp_path), changes)
    features = FeatureSet(tmp_path, SETTINGS)
    assert len(features) == 0
    _filled(tmp_path)
    assert len(FeatureSet(tmp_path, SETTINGS)) == 2


TENSORS: dict[str, dict[str, np.ndarray | None]] = {
    "missing": {"_0_mean": None},
    "flat": {"_0_std": np.zeros(2, np.float32)},
    "of other width": {"_0_max": np.zeros((2, 5), np.float32)},
    "of other rows": {"_0_min": np.zeros((3, 4), np.float32)},
    "of other numbers": {"_0_mean": np.zeros((2, 4), np.int64)},
    "of another name": {"_other": np.zeros((2, 4), np.float32)},
    "frames of a float": {"_0_frames": np.zeros(2, np.float32)},
}


@pytest.mark.parametrize("tensors", TENSORS.values(), ids=TENSORS.keys())
def test_the_clips_of_a_shard_of_odd_tensors_are_missing(
    tensors: dict[str, np.ndarray | None], tmp_path: Path
) -> None:
    named = {name.removeprefix("_"): part for name, part in tensors.items()}
    _rewritten(_filled(tmp_path), {}, **named)
    assert len(FeatureSet(tmp_path, SETTINGS)) == 0


@given(text=st.text(st.characters(codec="utf-8"), max_size=30))
def test_no_metadata_takes_a_plan_down(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("cache")
    path = _filled(root)
    for key in ("clips", "timing"):
        _rewritten(path, {key: text})
        FeatureSet(root, SETTINGS)


def test_shards_of_another_width_are_missing_once_a_later_one_is_there(tmp_path: Path) -> None:
    path = _filled(tmp_path, "ab", width=7)
    os.utime(path, (1, 1))
    _filled(tmp_path, "c", width=4)
    features = FeatureSet(tmp_path, SETTINGS)
    assert [clip in features for clip in "abc"] == [False, False, True]
    _filled(tmp_path, "ab", width=4)
    assert FeatureSet(tmp_path, SETTINGS).view(["a", "c"]).vectors(0, "mean").shape == (2, 4)


def _large(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 30)


def _latin(path: Path) -> None:
    path.write_bytes("Geräusch".encode("latin-1"))


# of what it maps, no more than the memory of a test
OTHERS = [put for kind, put in NO_FILES.items() if kind != "huge"]


@pytest.mark.parametrize("make", [*OTHERS, _large, _latin])
@pytest.mark.parametrize("name", ["x.safetensors", "unusable/x.txt", "frames/0/x.safetensors"])
def test_what_is_no_file_of_ours_in_a_cache_is_passed_over(make, name: str, tmp_path: Path) -> None:
    folder = _filled(tmp_path).parent
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    features = FeatureSet(tmp_path, SETTINGS)
    assert len(features) == 2
    assert features.unusable == {}
    assert not FrameSet(folder).has("a", 0)


@pytest.mark.parametrize("link", ["logmel", "logmel/KEY", "logmel/KEY/unusable"])
def test_no_features_are_written_through_a_link(link: str, tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "features", tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = FeatureSet(root, SETTINGS).folder
    path = root / link.replace("KEY", folder.name)
    path.parent.mkdir(parents=True)
    path.symlink_to(elsewhere)
    with pytest.raises(StorageError, match="is a link"):
        FeatureSet(root, SETTINGS).leave_out("a", "no sound")
    if not link.endswith("unusable"):
        with pytest.raises(StorageError, match="is a link"):
            _filled(root)
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("link", ["frames", "frames/0"])
def test_no_frames_are_written_through_a_link(link: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = tmp_path / "set" / link
    path.parent.mkdir(parents=True)
    path.symlink_to(elsewhere)
    frames = FrameSet(tmp_path / "set")
    with pytest.raises(StorageError, match="is a link"):
        frames.add({0: {"a": ClipFrames(np.ones((2, 3), np.float16))}})
    with pytest.raises(StorageError, match="is a link"):
        frames.begin("a", (0,))
    assert not list(elsewhere.iterdir())


FRAMES: dict[str, Changes] = {
    "none": {},
    "frames of texts": {"clips": '["a"]', "frames": '["x"]', "exponents": "[0]"},
    "negative frames": {"clips": '["a", "b"]', "frames": "[-1, 4]", "exponents": "[0, 0]"},
    "too many frames": {"clips": '["a"]', "frames": "[1000000000000]", "exponents": "[0]"},
    "too few frames": {"clips": '["a"]', "frames": "[1]", "exponents": "[0]"},
    "unequal lists": {"clips": '["a"]', "frames": "[3]", "exponents": "[0, 0]"},
    "a large exponent": {"clips": '["a"]', "frames": "[3]", "exponents": "[100000]"},
    "nested": {"clips": "[" * 100_000, "frames": "[3]", "exponents": "[0]"},
}
HONEST: Changes = {"clips": '["a"]', "frames": "[3]", "exponents": "[0]"}
HALVES = np.ones((3, 2), np.float16)


@pytest.mark.parametrize(
    ("about", "tensors"),
    [
        *((about, {"frames": HALVES}) for about in FRAMES.values()),
        (HONEST, {"frames": np.ones(3, np.float16)}),
        (HONEST, {"frames": np.ones((3, 2), np.float32)}),
        (HONEST, {"other": HALVES}),
        (HONEST, {"frames": HALVES, "another": HALVES}),
        (HONEST, {}),
    ],
)
def test_frames_of_a_file_that_says_odd_things_are_missing(
    about: dict[str, str], tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    folder = tmp_path / "frames" / "0"
    folder.mkdir(parents=True)
    save_file({"frames": HALVES}, folder / "a.safetensors", HONEST)  # type: ignore[arg-type]
    assert FrameSet(tmp_path).has("a", 0)
    save_file(tensors, folder / "a.safetensors", about)
    assert not FrameSet(tmp_path).has("a", 0)


@pytest.mark.parametrize(
    "content",
    [
        '{"cpu": {"tune": Infinity}}',
        '{"cpu": {"tune": 1e308}}',
        '{"cpu": {"tune": -5}}',
        "[" * 99_999,
    ],
)
def test_odd_starts_are_as_good_as_none(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXGRID_CACHE", str(tmp_path))
    monkeypatch.setattr("bench.machine.processor", lambda: "cpu")
    path = tmp_path / "starts.json"
    path.write_text(content)
    assert starts.measured() == {}
    path.unlink()
    os.mkfifo(path)
    assert starts.measured() == {}
    starts.remember("tune", 2.0)
    assert starts.measured() == {"tune": 2.0}


@given(seconds=st.floats() | st.sampled_from([1e300, math.inf, -math.inf, math.nan]))
def test_any_number_of_seconds_has_words(seconds: float) -> None:
    assert duration(seconds)
    assert str(Standing(0, 1, 1.0, seconds, False, "tune"))
    assert math.isfinite((Estimate(seconds) + Estimate(1.0)).seconds)


def _others(tmp_path: Path) -> Path:
    """A folder of somebody's own, as deep as features are."""
    folder = tmp_path / "home"
    for path in (folder / "notes.txt", folder / "photos" / "one.jpg"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    return folder


@pytest.mark.parametrize("link", ["features", "features/xlsr", f"features/xlsr/{'0' * 20}"])
def test_clean_deletes_nothing_behind_a_link(
    link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, cache, home = tmp_path / "results", tmp_path / "cache", _others(tmp_path)
    results.mkdir()
    for place in (home / "xlsr", home):
        (place / ("1" * 20)).mkdir(parents=True)
        (place / ("1" * 20) / "settings.json").write_text("{}")
    path = cache / link
    path.parent.mkdir(parents=True)
    path.symlink_to(home)
    before = sorted(home.rglob("*"))
    assert unneeded([results], cache / "features") == []
    monkeypatch.setenv("VOXGRID_CACHE", str(cache))
    done = CliRunner().invoke(app, ["clean", "--results", str(results), "--yes"])
    assert done.exit_code == 0, done.output
    assert sorted(home.rglob("*")) == before


def test_clean_lists_nothing_but_what_is_named_and_filled_as_ours(tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "features"
    for name in ("holiday", "0" * 20, "F" * 20):
        (cache / "xlsr" / name).mkdir(parents=True)
    (cache / "xlsr" / "holiday" / "settings.json").write_text("{}")
    ours = cache / "xlsr" / ("a" * 20)
    ours.mkdir()
    (ours / "settings.json").write_text("{}")
    (ours / "dangling").symlink_to("nowhere")
    found = unneeded([tmp_path], cache)
    assert [one.paths for one in found] == [(ours,)]
    remove(found)
    assert not ours.exists()


STUDY = "a__mean__mlp.0123456789abcdef.1"


def test_clean_looks_for_no_study_behind_a_link(tmp_path: Path) -> None:
    results, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    (elsewhere / "task").mkdir(parents=True)
    (elsewhere / "task" / f"{STUDY}.journal").write_text("mine")
    results.mkdir()
    (results / STUDIES).symlink_to(elsewhere)
    assert unneeded([results], tmp_path, unfinished=True) == []
    (results / STUDIES).unlink()
    (results / STUDIES).mkdir()
    (results / STUDIES / "task").symlink_to(elsewhere / "task")
    (results / STUDIES / f"{STUDY}.journal").symlink_to(elsewhere / "task" / f"{STUDY}.journal")
    (results / STUDIES / f"{STUDY}.journal.lock").symlink_to("nowhere")
    assert unneeded([results], tmp_path, unfinished=True) == []


def test_clean_takes_a_damaged_journal_and_a_study_within_one_along(tmp_path: Path) -> None:
    root = tmp_path / STUDIES
    (root / STUDY / f"{STUDY}.journal").mkdir(parents=True)
    (root / f"{STUDY}.journal.damaged").write_text("x")
    found = unneeded([tmp_path], tmp_path)
    assert {path.name for one in found for path in one.paths} == {STUDY, f"{STUDY}.journal.damaged"}
    remove(found)
    assert not root.exists()
