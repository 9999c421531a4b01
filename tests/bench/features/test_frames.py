from __future__ import annotations

import pickle
import shutil
import signal
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from backbones import STEM
from bench.errors import StorageError
from bench.features.frames import ClipFrames, FrameSet, joined

RELATIVE = 2.0**-11  # half precision


def _frames(seed: int, frames: int, width: int = 6) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(frames, width)))


def _filled(folder: Path, layers: tuple[int, ...] = (3,)) -> dict[str, torch.Tensor]:
    """Two shards, of clips a and b, and of c, d and e; the same frames at each layer."""
    clips = {name: _frames(i, 3 + 2 * i) for i, name in enumerate("abcde")}
    frame_set = FrameSet(folder)
    for shard in ("ab", "cde"):
        frame_set.add({layer: {c: ClipFrames.of(clips[c]) for c in shard} for layer in layers})
    return clips


def _read(frame_set: FrameSet, clips: list[str], layer: int, position: int) -> np.ndarray:
    view = frame_set.view(clips, layer)
    into = np.zeros((1, int(view.lengths[position]), view.width), dtype=np.float32)
    view.read(position, into)
    return into[0]


def test_frames_come_back_to_half_precision_in_the_order_asked_for(tmp_path: Path) -> None:
    clips = _filled(tmp_path)
    order = ["d", "a", "e", "d"]
    view = FrameSet(tmp_path).view(order, 3)
    assert view.lengths.tolist() == [len(clips[name]) for name in order]
    assert view.width == 6
    for position, name in enumerate(order):
        np.testing.assert_allclose(
            _read(FrameSet(tmp_path), order, 3, position), clips[name], rtol=RELATIVE
        )


def test_frames_that_lie_column_by_column_in_memory_come_back_unchanged(tmp_path: Path) -> None:
    """As a transposed convolution leaves them."""
    clip = _frames(0, 6, 5).T
    assert not clip.is_contiguous()
    frame_set = FrameSet(tmp_path)
    frame_set.add({0: {"a": ClipFrames.of(clip)}})
    np.testing.assert_allclose(_read(FrameSet(tmp_path), ["a"], 0, 0), clip, rtol=RELATIVE)


@given(st.floats(-37, 37), st.integers(0, 1000))
def test_numbers_of_any_size_keep_their_digits(exponent: float, seed: int) -> None:
    clip = (_frames(seed, 5) * 10**exponent).float()
    found = ClipFrames.of(clip)
    assert np.isfinite(found.values).all()
    peak = float(clip.abs().max())
    np.testing.assert_allclose(found.exact(), clip, rtol=RELATIVE, atol=peak * 2.0**-18)


def test_numbers_within_half_precision_are_stored_as_they_are() -> None:
    assert ClipFrames.of(torch.tensor([[65504.0, -1.0]])).exponent == 0
    assert ClipFrames.of(torch.zeros(2, 3)).exponent == 0
    above = ClipFrames.of(torch.tensor([[65519.0, -131072.0]]))
    assert above.exponent > 0
    np.testing.assert_allclose(above.exact(), [[65519.0, -131072.0]], rtol=RELATIVE)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_frames_that_are_not_finite_are_refused(bad: float) -> None:
    clip = _frames(0, 4)
    clip[2, 3] = bad
    with pytest.raises(FloatingPointError, match="NaN or infinite"):
        ClipFrames.of(clip)


def test_windows_join_in_order_whatever_their_scale() -> None:
    windows = [_frames(0, 3), _frames(1, 4) * 1e6, _frames(2, 2)]
    found = joined([ClipFrames.of(window) for window in windows]).exact()
    np.testing.assert_allclose(found[3:7], windows[1], rtol=RELATIVE)
    np.testing.assert_allclose(found[:3], windows[0], rtol=RELATIVE, atol=1e-6)
    np.testing.assert_allclose(found[7:], windows[2], rtol=RELATIVE, atol=1e-6)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(-12, 12)), min_size=1, max_size=6))
def test_a_clip_that_comes_window_by_window_is_stored_as_if_it_had_come_at_once(
    windows: list[tuple[int, int]],
) -> None:
    exact = [_frames(i, frames) * 10.0**power for i, (frames, power) in enumerate(windows)]
    halves = [ClipFrames.of(window) for window in exact]
    with tempfile.TemporaryDirectory() as folder:
        stores = [FrameSet(Path(folder) / name) for name in ("at once", "by window")]
        stores[0].add({layer: {"a": joined(halves)} for layer in (STEM, 2)})
        with stores[1].begin("a", (STEM, 2)) as clip:
            for half in halves:
                clip.add({STEM: half, 2: half})
            assert not stores[1].has("a", 2)
            clip.store()
        for layer in (STEM, 2):
            places = [store.view(["a"], layer)._places[0][0] for store in stores]
            assert places[0].path.name == places[1].path.name
            assert replace(places[0], path=Path()) == replace(places[1], path=Path())
            tensors = [load_file(place.path)["frames"] for place in places]
            assert tensors[0].dtype == tensors[1].dtype == np.float16
            assert tensors[0].tobytes() == tensors[1].tobytes()
            sizes = [place.path.stat().st_size for place in places]
            assert sizes[0] == sizes[1]
        assert len(list(Path(folder).rglob("*"))) == 2 * (1 + 1 + 2 + 2)  # nothing else is left


def test_a_clip_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    store = FrameSet(tmp_path)
    with store.begin("a", (0,)) as clip:
        clip.add({0: ClipFrames.of(_frames(0, 3))})
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not store.has("a", 0)
    assert FrameSet(tmp_path).layers_of("a") == ()


def test_reading_a_layer_needs_no_file_of_another(tmp_path: Path) -> None:
    clips = _filled(tmp_path, (STEM, 3))
    shutil.rmtree(tmp_path / "frames" / "3")
    frame_set = FrameSet(tmp_path)
    assert frame_set.layers_of("abcde") == (STEM,)
    np.testing.assert_allclose(
        _read(frame_set, ["b"], STEM, 0), clips["b"], rtol=RELATIVE, atol=1e-7
    )


def test_layers_that_all_clips_have_are_listed(tmp_path: Path) -> None:
    _filled(tmp_path, (STEM, 2, 10))
    frame_set = FrameSet(tmp_path)
    frame_set.add({5: {"a": ClipFrames.of(_frames(0, 3))}})
    assert frame_set.layers_of("abcde") == (STEM, 2, 10)
    assert FrameSet(tmp_path).layers_of("a") == (STEM, 2, 5, 10)
    assert frame_set.layers_of(["a", "f"]) == ()
    assert frame_set.lacking("b", (STEM, 5)) == (5,)
    assert FrameSet(tmp_path / "nowhere").layers_of("a") == ()


@pytest.mark.parametrize("left", [0, 30, -1])
def test_clips_of_a_damaged_shard_count_as_missing_and_the_others_stay(
    tmp_path: Path, left: int
) -> None:
    _filled(tmp_path)
    shard = FrameSet(tmp_path).view(["a"], 3)._places[0][0].path
    whole = shard.read_bytes()
    shard.write_bytes(whole[:left])
    found = FrameSet(tmp_path)
    assert [found.has(clip, 3) for clip in "abcde"] == [False, False, True, True, True]
    _filled(tmp_path)
    assert all(FrameSet(tmp_path).has(clip, 3) for clip in "abcde")


def test_missing_frames_are_an_error_that_names_the_layer(tmp_path: Path) -> None:
    _filled(tmp_path)
    with pytest.raises(KeyError, match="layer 4 of 2 clips"):
        FrameSet(tmp_path).view(["a", "b"], 4)
    with pytest.raises(KeyError, match="layer stem of 1 clips"):
        FrameSet(tmp_path).view(["a"], STEM)


def test_layers_of_one_shape_are_read_together_and_others_refused(tmp_path: Path) -> None:
    frame_set = FrameSet(tmp_path)
    clips = {layer: _frames(layer, 5) for layer in (1, 2)}
    frame_set.add({layer: {"a": ClipFrames.of(clip)} for layer, clip in clips.items()})
    frame_set.add({3: {"a": ClipFrames.of(_frames(3, 4))}})
    frame_set.add({4: {"a": ClipFrames.of(_frames(4, 5, width=2))}})
    into = np.zeros((2, 5, 6), dtype=np.float32)
    frame_set.view(["a"], (2, 1)).read(0, into)
    np.testing.assert_allclose(into, np.stack([clips[2], clips[1]]), rtol=RELATIVE, atol=1e-7)
    for other in (3, 4):
        with pytest.raises(ValueError, match="differ in width or in number"):
            frame_set.view(["a"], (1, other))


def test_a_view_reads_on_in_another_process_and_maps_each_file_once(tmp_path: Path) -> None:
    clips = _filled(tmp_path)
    view = FrameSet(tmp_path).view(list("abcde"), 3)
    assert not view._maps  # nothing is read for the lengths
    for position in (0, 1, 4):
        into = np.zeros((1, int(view.lengths[position]), 6), dtype=np.float32)
        view.read(position, into)
    assert len(view._maps) == 2
    copy = pickle.loads(pickle.dumps(view))
    assert not copy._maps
    into = np.zeros((1, 2, 6), dtype=np.float32)
    copy.read(2, into)
    np.testing.assert_allclose(into[0], clips["c"][:2], rtol=RELATIVE, atol=1e-7)


def test_a_file_that_went_away_says_what_to_do(tmp_path: Path) -> None:
    _filled(tmp_path)
    view = FrameSet(tmp_path).view(["a"], 3)
    shutil.rmtree(tmp_path / "frames")
    with pytest.raises(StorageError, match="VOXGRID_CACHE"):
        view.read(0, np.zeros((1, 3, 6), dtype=np.float32))


def test_a_store_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "frames").write_text("a file where a folder should be")
    with pytest.raises(StorageError, match="VOXGRID_CACHE"):
        FrameSet(tmp_path).add({0: {"a": ClipFrames.of(_frames(0, 3))}})
    with pytest.raises(StorageError, match="VOXGRID_CACHE"):
        FrameSet(tmp_path).begin("a", (0,))


def test_a_disk_that_fills_up_under_a_long_clip_says_what_to_do(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits of a process are POSIX")
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    window = {0: ClipFrames.of(_frames(0, 500, width=100))}

    def fill() -> None:
        with FrameSet(tmp_path).begin("a", (0,)) as clip:
            for _ in range(5):
                clip.add(window)

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, limits[1]))
        with pytest.raises(StorageError, match="free some space"):
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
