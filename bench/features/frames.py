"""The frame store: frames of single layers of each clip, in half precision, memory-mapped.

It lies beside the statistics of the same feature set and shares its key. Each file holds one
layer of the clips of one shard, so that reading a layer touches that layer only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, Json
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from backbones import STEM, BackboneInfo
from bench.features.checksum import UNSEALED, damaged, readable, seal
from bench.features.spool import HEADER_LENGTH, Spool
from bench.features.store import UNFIT, newest_last, shard_name
from bench.files import CACHE_ADVICE, replacing, storing, unlinked

if TYPE_CHECKING:
    import torch

Half = NDArray[np.float16]
Frames32 = NDArray[np.float32]

_LARGEST = float(np.finfo(np.float16).max)
# Below this peak, half precision would begin to lose digits of what matters in a clip.
_SMALLEST_PEAK = 2.0**-6
_BYTES = 2
_TENSOR = "frames"
# Their folder in that of the feature set.
FRAMES = "frames"


@dataclass(frozen=True)
class ClipFrames:
    """Frames of one clip at one layer: `values` × 2^`exponent`.

    Attributes:
        values: float16 (frames, width).
        exponent: 0 unless the clip's numbers would leave the range of half precision.
    """

    values: Half
    exponent: int = 0

    @classmethod
    def of(cls, frames: torch.Tensor) -> ClipFrames:
        """Round frames (frames, width) to half precision.

        Raises:
            FloatingPointError: a number is NaN or infinite, or there are no frames.
        """
        exact = frames.detach().float().cpu().numpy()
        if not exact.size:
            raise FloatingPointError("no frames")
        peak = max(float(exact.max()), -float(exact.min()))
        if not math.isfinite(peak):
            raise FloatingPointError("NaN or infinite values")
        if peak == 0 or _SMALLEST_PEAK <= peak <= _LARGEST:
            return cls(exact.astype(np.float16))
        exponent = math.frexp(peak)[1] - 15  # the peak comes to lie between 2^14 and 2^15
        return cls(np.ldexp(exact, -exponent).astype(np.float16), exponent)

    def exact(self) -> Frames32:
        """The frames as float32 (frames, width)."""
        return np.ldexp(self.values.astype(np.float32), self.exponent)


def joined(windows: Sequence[ClipFrames]) -> ClipFrames:
    """Frames of a clip from those of its windows, in order."""
    if len(windows) == 1:
        return windows[0]
    exponent = max(window.exponent for window in windows)
    return ClipFrames(
        np.concatenate([np.ldexp(w.values, w.exponent - exponent) for w in windows]), exponent
    )


def frames_bytes(info: BackboneInfo, seconds: float, layers: int) -> int:
    """Bytes that the frames of `layers` layers of so much sound take on the disk.

    An upper bound but for one frame per clip: narrower layers take less.
    """
    return math.ceil(seconds * info.frame_rate * info.width * _BYTES * layers)


@dataclass(frozen=True)
class _Place:
    """Where the frames of one clip at one layer are."""

    path: Path
    start: int
    frames: int
    exponent: int
    width: int


class _About(BaseModel):
    """What a file says of itself; exponents of float32 lie within these."""

    clips: Json[list[str]]
    frames: Json[list[Annotated[int, Field(ge=1)]]]
    exponents: Json[list[Annotated[int, Field(ge=-200, le=200)]]]


class FrameSet:
    """Frames of many clips under one key. Shards are only ever added, each atomically.

    Args:
        features: folder of the feature set (`FeatureSet.folder`).
    """

    def __init__(self, features: Path) -> None:
        self.folder = features / FRAMES
        self._layers: dict[int, dict[str, _Place]] = {}

    def has(self, clip: str, layer: int) -> bool:
        """Whether the frames of a clip (sha256 of its decoded samples) are there at a layer."""
        return clip in self._places(layer)

    def lacking(self, clip: str, layers: Iterable[int]) -> tuple[int, ...]:
        """Those of `layers` at which the frames of a clip are not there."""
        return tuple(layer for layer in layers if not self.has(clip, layer))

    def forget_damaged(self, clips: Collection[str], layers: Iterable[int]) -> None:
        """Read the files of `clips` at `layers`; what is in a damaged one counts as missing.

        Raises:
            StorageError: a file cannot be read.
        """
        for layer in layers:
            places = self._places(layer)
            bad = damaged({places[clip].path for clip in clips if clip in places})
            self._layers[layer] = {c: at for c, at in places.items() if at.path not in bad}

    def layers_of(self, clips: Iterable[str]) -> tuple[int, ...]:
        """Layers, `STEM` included, at which the frames of all of these clips are there."""
        wanted = set(clips)
        stored = (_layer_of(path.name) for path in self.folder.glob("*"))
        known = sorted(layer for layer in stored if layer is not None)
        return tuple(layer for layer in known if wanted <= self._places(layer).keys())

    def add(self, layers: Mapping[int, Mapping[str, ClipFrames]]) -> None:
        """Write one shard of each layer.

        For each layer `layers` has the frames of each clip (sha256 of its decoded samples).

        Raises:
            StorageError: the cache cannot be written; layers written before are kept.
        """
        for layer, clips in layers.items():
            if not clips:
                continue
            frames = list(clips.values())
            metadata = _metadata(
                clips, [len(f.values) for f in frames], [f.exponent for f in frames]
            )
            # safetensors would write an array that lies column by column as if it lay row by row
            values = np.ascontiguousarray(np.concatenate([f.values for f in frames]))
            with self._writing(layer, list(clips)) as partial:
                save_file({_TENSOR: values}, partial, metadata)

    def begin(self, clip: str, layers: Iterable[int]) -> LongClip:
        """Begin to store a clip whose frames come window by window, too many to be held.

        Raises:
            StorageError: the cache cannot be written.
        """
        chosen = tuple(layers)
        for layer in chosen:
            unlinked(self.folder / _name(layer), self.folder.parent)
        with storing(self.folder, CACHE_ADVICE):
            return LongClip(self, clip, chosen)

    @contextmanager
    def _writing(self, layer: int, clips: Sequence[str]) -> Iterator[Path]:
        """Where to write a shard; it is in the set when the block ends well."""
        path = unlinked(self.folder / _name(layer) / shard_name(clips), self.folder.parent)
        places = self._places(layer)
        with storing(path, CACHE_ADVICE, (OSError, SafetensorError)), replacing(path) as partial:
            yield partial
            seal(partial)
        places.update(_index(path))

    def view(self, clips: Sequence[str], layers: int | Sequence[int]) -> FrameView:
        """The frames of `clips` (sha256 of decoded samples), in that order, at one layer or more.

        Raises:
            KeyError: the frames of a clip are not there; names the layer.
            ValueError: the layers differ in width or number of frames.
        """
        chosen = (layers,) if isinstance(layers, int) else tuple(layers)
        found = []
        for layer in chosen:
            places = self._places(layer)
            missing = sum(clip not in places for clip in clips)
            if missing:
                raise KeyError(
                    f"frames of layer {_name(layer)} of {missing} clips are not in {self.folder}"
                )
            found.append([places[clip] for clip in clips])
        return FrameView(found, chosen)

    def _places(self, layer: int) -> dict[str, _Place]:
        if layer not in self._layers:
            places: dict[str, _Place] = {}
            for path in newest_last(self.folder / _name(layer)):
                found = _index(path)
                if {at.width for at in found.values()} - {at.width for at in places.values()}:
                    places.clear()  # all are of one backbone: the latest was not made elsewhere
                places.update(found)
            self._layers[layer] = places
        return self._layers[layer]


class LongClip:
    """Frames of one clip on their way into a `FrameSet`. A context manager.

    They wait on the disk in files without a name, which go with the process, however it ends.
    Nothing is in the set before `store`.
    """

    def __init__(self, frame_set: FrameSet, clip: str, layers: Iterable[int]) -> None:
        self._set = frame_set
        self._clip = clip
        self._spools = {layer: Spool(frame_set.folder / _name(layer)) for layer in layers}

    def __enter__(self) -> LongClip:
        return self

    def __exit__(self, *_: object) -> None:
        for spool in self._spools.values():
            spool.close()

    def add(self, window: Mapping[int, ClipFrames]) -> None:
        """Take in the next window, at every layer.

        Raises:
            StorageError: the disk is full.
        """
        with storing(self._set.folder, CACHE_ADVICE):
            for layer, spool in self._spools.items():
                spool.add(window[layer].values, window[layer].exponent)

    def store(self) -> None:
        """Write the clip's file of each layer, as `FrameSet.add` would have.

        Raises:
            StorageError: the cache cannot be written; layers written before are kept.
        """
        for layer, spool in self._spools.items():
            metadata = _metadata([self._clip], [spool.frames], [spool.exponent])
            with self._set._writing(layer, [self._clip]) as partial:
                spool.write(partial, _TENSOR, metadata)
            spool.close()  # before the next layer needs as much room again


class FrameView:
    """Frames of a fixed sequence of clips, read clip by clip as asked for.

    Picklable; each process maps a file into memory once, when it first reads from it.

    Attributes:
        layers: the layers it holds.
        lengths: frames of each clip, int64 (clips,); the same at each layer.
        width: features per frame.
    """

    def __init__(self, places: Sequence[Sequence[_Place]], layers: tuple[int, ...]) -> None:
        self.layers = layers
        self._places = places
        self.lengths = np.array([place.frames for place in places[0]], dtype=np.int64)
        self.width = places[0][0].width if places[0] else 0
        self._maps: dict[Path, Half] = {}
        for layer, of_layer in zip(layers, places, strict=True):
            if any(
                (place.frames, place.width) != (frames, self.width)
                for place, frames in zip(of_layer, self.lengths.tolist(), strict=True)
            ):
                raise ValueError(
                    f"layers {_name(layers[0])} and {_name(layer)} differ in width or in number "
                    "of frames, and cannot be read together"
                )

    def __len__(self) -> int:
        return len(self.lengths)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}

    def read(self, clip: int, into: Frames32) -> None:
        """Write the first frames of a clip into an array.

        Args:
            clip: position of the clip.
            into: float32 (layers, frames, width), no longer than the clip.

        Raises:
            StorageError: a file is gone or damaged since it was listed.
        """
        for target, places in zip(into, self._places, strict=True):
            place = places[clip]
            target[:] = self._values(place)[: len(target)]
            if place.exponent:
                np.ldexp(target, place.exponent, out=target)

    def _values(self, place: _Place) -> Half:
        if place.path not in self._maps:
            self._maps[place.path] = _mapped(place.path, place.width)
        return self._maps[place.path][place.start : place.start + place.frames]


def _metadata(
    clips: Iterable[str], frames: Sequence[int], exponents: Sequence[int]
) -> dict[str, str]:
    values = {"clips": list(clips), "frames": frames, "exponents": exponents}
    return {key: json.dumps(value) for key, value in values.items()} | UNSEALED


def _name(layer: int) -> str:
    return "stem" if layer == STEM else str(layer)


def _layer_of(name: str) -> int | None:
    if name == _name(STEM):
        return STEM
    return int(name) if name.isdecimal() else None


def _index(path: Path) -> dict[str, _Place]:
    """Where the clips of a file lie; those of one that is not as it was written are missing."""
    try:
        with readable(path), safe_open(path, framework="np") as shard:
            about = _About.model_validate(shard.metadata())
            (name,) = shard.keys()
            values = shard.get_slice(name)
            rows, width = values.get_shape()
            told = (name, values.get_dtype(), rows, len(about.frames), len(about.exponents))
        if width < 1 or told != (_TENSOR, "F16", sum(about.frames), *[len(about.clips)] * 2):
            return {}
    except UNFIT:
        return {}
    starts = [0, *accumulate(about.frames)]
    each = zip(about.clips, starts, about.frames, about.exponents, strict=False)
    return {clip: _Place(path, at, frames, power, width) for clip, at, frames, power in each}


def _mapped(path: Path, width: int) -> Half:
    """The file's one tensor, float16 (frames, width)."""
    with readable(path, (OSError, ValueError)):
        with path.open("rb") as file:
            header = int.from_bytes(file.read(HEADER_LENGTH), "little")
        values = np.memmap(path, dtype="<f2", mode="r", offset=HEADER_LENGTH + header)
        return values.reshape(-1, width).view(np.ndarray)
