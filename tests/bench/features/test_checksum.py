"""A flipped bit in the feature cache is noticed, wherever it is."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from bench.errors import StorageError
from bench.features.checksum import damaged
from bench.features.frames import ClipFrames, FrameSet
from bench.features.store import FeatureSet
from tests.bench.features.test_store import SETTINGS, TIMING, make_clip


def _shard(folder: Path) -> Path:
    features = FeatureSet(folder, SETTINGS)
    features.add(["a", "b"], [make_clip(np.random.default_rng(0), 3, (4,))] * 2, TIMING)
    return next(features.folder.glob("*.safetensors"))


def _frame_file(folder: Path) -> Path:
    FrameSet(folder).add({0: {"a": ClipFrames.of(torch.ones(3, 2))}})
    return next(folder.rglob("*.safetensors"))


def _long_clip(folder: Path) -> Path:
    with FrameSet(folder).begin("a", (0,)) as clip:
        clip.add({0: ClipFrames.of(torch.ones(3, 2))})
        clip.store()
    return next(folder.rglob("*.safetensors"))


@pytest.mark.parametrize("make", [_shard, _frame_file, _long_clip])
def test_every_flipped_bit_is_noticed(
    make: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert callable(make)
    path = make(tmp_path_factory.mktemp("cache"))
    whole = path.read_bytes()
    assert damaged([path]) == set()

    @given(st.integers(0, 8 * len(whole) - 1))
    def flip(bit: int) -> None:
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        other = path.with_name(f"{bit}.safetensors")
        other.write_bytes(content)
        assert damaged([path, other]) == {other}

    flip()


def test_a_file_that_was_never_sealed_counts_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    save_file({"0.mean": np.ones((1, 2), dtype=np.float32)}, path, {"clips": "[]"})
    assert damaged([path]) == {path}


def test_a_file_is_read_once_as_long_as_it_stays(tmp_path: Path) -> None:
    path = _shard(tmp_path)
    status = path.stat()
    assert damaged([path]) == set()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert damaged([path]) == set()
    path.touch()
    assert damaged([path]) == {path}


def test_a_file_that_is_gone_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="VOXGRID_CACHE"):
        damaged([tmp_path / "gone.safetensors"])
