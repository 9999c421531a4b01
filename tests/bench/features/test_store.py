from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backbones import Weights
from bench.errors import StorageError
from bench.features.key import FeatureSettings
from bench.features.pooling import POOLINGS
from bench.features.statistics import ClipStatistics, LayerStatistics
from bench.features.store import FeatureSet, ShardTiming
from bench.plugins import BACKBONES

TIMING = ShardTiming(10.0, 1.0, 1.2, 8, 2, "a machine", 5, 100.0)
SETTINGS = FeatureSettings(BACKBONES.get("logmel").info, Weights("none"))


def make_clip(rng: np.random.Generator, frames: int, widths: tuple[int, ...]) -> ClipStatistics:
    layers = []
    for width in widths:
        values = rng.normal(size=(frames, width)).astype(np.float32)
        layers.append(
            LayerStatistics(frames, values.mean(0), values.std(0), values.max(0), values.min(0))
        )
    return tuple(layers)


def test_vectors_come_back_in_the_order_asked_for_across_shards(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips = {name: make_clip(rng, 3 + i, (4, 6)) for i, name in enumerate("abcde")}
    features = FeatureSet(tmp_path, SETTINGS)
    features.add(["a", "b"], [clips["a"], clips["b"]], TIMING)
    features.add(["c", "d", "e"], [clips[n] for n in "cde"], TIMING)
    reopened = FeatureSet(tmp_path, SETTINGS)
    assert len(reopened) == 5
    assert reopened.layers == 2
    order = ["d", "a", "e", "d"]
    view = reopened.view(order)
    for layer in (0, 1):
        expected = {
            "mean": [clips[n][layer].mean for n in order],
            "sum": [clips[n][layer].mean * clips[n][layer].frames for n in order],
            "max": [clips[n][layer].max for n in order],
            "mean_std": [np.r_[clips[n][layer].mean, clips[n][layer].std] for n in order],
            "mean_max": [np.r_[clips[n][layer].mean, clips[n][layer].max] for n in order],
        }
        assert set(expected) == {name for name, pooling in POOLINGS.items() if not pooling.learnt}
        for pooling, rows in expected.items():
            np.testing.assert_allclose(view.vectors(layer, pooling), np.stack(rows), rtol=1e-6)


def test_other_settings_are_another_feature_set(tmp_path: Path) -> None:
    features = FeatureSet(tmp_path, SETTINGS)
    features.add(["a"], [make_clip(np.random.default_rng(0), 3, (4,))], TIMING)
    other = FeatureSet(tmp_path, replace(SETTINGS, dtype="bfloat16"))
    assert "a" in features
    assert "a" not in other
    assert features.folder != other.folder


def test_a_damaged_shard_is_computed_again_and_the_others_stay(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features = FeatureSet(tmp_path, SETTINGS)
    features.add(["a"], [make_clip(rng, 3, (4,))], TIMING)
    features.add(["b"], [make_clip(rng, 3, (4,))], TIMING)
    shard = next(iter(features.folder.glob("*.safetensors")))
    shard.write_bytes(shard.read_bytes()[:40])
    reopened = FeatureSet(tmp_path, SETTINGS)
    assert len(reopened) == 1
    rng = np.random.default_rng(0)
    reopened.add(["a"], [make_clip(rng, 3, (4,))], TIMING)
    reopened.add(["b"], [make_clip(rng, 3, (4,))], TIMING)
    assert len(FeatureSet(tmp_path, SETTINGS)) == 2


def test_a_clip_of_a_shard_with_a_flipped_bit_counts_as_missing_until_it_is_computed_again(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    clips = {name: make_clip(rng, 3, (4,)) for name in "abc"}
    features = FeatureSet(tmp_path, SETTINGS)
    features.add(["a", "b"], [clips["a"], clips["b"]], TIMING)
    shard = next(iter(features.folder.glob("*.safetensors")))
    features.add(["c"], [clips["c"]], TIMING)
    content = bytearray(shard.read_bytes())
    content[-1] ^= 0x40  # in a tensor, so that the file stays readable
    shard.write_bytes(content)
    reopened = FeatureSet(tmp_path, SETTINGS)
    reopened.forget_damaged(["b", "c", "elsewhere"])
    assert [clip in reopened for clip in "abc"] == [False, False, True]
    # in shards of another cut, so that the damaged one stays where it is
    reopened.add(["a"], [clips["a"]], TIMING)
    reopened.add(["b"], [clips["b"]], TIMING)
    for found in (reopened, FeatureSet(tmp_path, SETTINGS)):
        vectors = found.view(list("abc")).vectors(0, "mean")
        np.testing.assert_array_equal(vectors, np.stack([clips[c][0].mean for c in "abc"]))


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "logmel").write_text("a file where a folder should be")
    features = FeatureSet(tmp_path, SETTINGS)
    with pytest.raises(StorageError, match="VOXGRID_CACHE"):
        features.add(["a"], [make_clip(np.random.default_rng(0), 3, (4,))], TIMING)


def test_two_runs_do_not_fill_a_set_at_the_same_time(tmp_path: Path) -> None:
    order: list[str] = []
    waits = threading.Event()

    def second() -> None:
        with FeatureSet(tmp_path / "features", SETTINGS).filling(waits.set):
            order.append("second")

    thread = threading.Thread(target=second)
    with FeatureSet(tmp_path / "features", SETTINGS).filling(lambda: order.append("waits")):
        thread.start()
        assert waits.wait(30)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]
