"""The feature cache: statistics of every layer of every clip, in safetensors shards.

Its folder follows from the settings alone, see bench/features/key.py; inside it, a clip is keyed by
the sha256 of its decoded samples.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from pydantic import BaseModel, Field, Json
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from backbones.reading import REASON, read_text
from bench.features.checksum import UNSEALED, damaged, readable, seal
from bench.features.key import SETTINGS, FeatureSettings
from bench.features.pooling import STATISTICS, Matrix, get_pooling
from bench.features.statistics import ClipStatistics
from bench.files import CACHE_ADVICE, replacing, storing, unlinked

# Whatever a clock of ours can have told; their ratios are speeds that a record takes.
_Seconds = Annotated[float, Field(ge=1e-6, le=1e6)]
_Count = Annotated[int, Field(ge=0, le=2**53)]


@dataclass(frozen=True)
class ShardTiming:
    """What it took to compute one shard; seconds are wall time.

    Attributes:
        encode_seconds: inside `Backbone.encode` only.
        total_seconds: decoding, batching, encoding, statistics and writing.
        parameters: of the encoder that ran.
        peak_rss_mb: of the extracting process so far, in MiB.
        loaded_rss_mb: the same before its first clip, libraries and weights; None in caches that
            were filled before it was asked.
    """

    audio_seconds: _Seconds
    encode_seconds: _Seconds
    total_seconds: _Seconds
    batch: _Count
    threads: _Count
    hardware: str
    parameters: _Count
    peak_rss_mb: Annotated[float, Field(gt=0, le=1e12)]
    loaded_rss_mb: Annotated[float, Field(gt=0, le=1e12)] | None = None


class _About(BaseModel):
    """What a shard says of itself."""

    clips: Json[list[str]]
    timing: Json[ShardTiming]


# Missing, damaged, or another's: pydantic's errors are values' errors.
UNFIT = (SafetensorError, ValueError)
# Their folder in that of the feature set.
_UNUSABLE = "unusable"


def shard_name(clips: Sequence[str]) -> str:
    """File of the shard that holds these clips."""
    return f"{hashlib.sha256(''.join(clips).encode()).hexdigest()[:16]}.safetensors"


def newest_last(folder: Path, names: str = "*.safetensors") -> list[Path]:
    """The shards in a folder: of a clip that was computed again, the later one counts.

    A link, or what is no file, is none.
    """
    found = [(path.lstat(), path) for path in folder.glob(names)]
    files = [(state.st_mtime_ns, path) for state, path in found if stat.S_ISREG(state.st_mode)]
    return [path for _, path in sorted(files)]


class FeatureSet:
    """Statistics of many clips under one key. Shards are only ever added, each atomically.

    Args:
        root: folder of the feature cache.
        settings: everything that changes the numbers.

    Attributes:
        unusable: why clips are left out of which the backbone makes nothing that can be used.
    """

    def __init__(self, root: Path, settings: FeatureSettings) -> None:
        self.settings = settings
        self.folder = settings.folder(root)
        self._where: dict[str, tuple[Path, int]] = {}
        self._root = root.parent
        self._widths: list[int] = []
        self._timings: dict[Path, ShardTiming] = {}
        for path in newest_last(self.folder):
            self._index(path)
        self.unusable: dict[str, str] = {}
        for path in newest_last(self.folder / _UNUSABLE, "*.txt"):
            with suppress(OSError, ValueError):
                self.unusable[path.stem] = read_text(path, REASON)

    def _index(self, path: Path) -> None:
        """Take in a shard; the clips of one that is not as it was written count as missing."""
        try:
            with readable(path), safe_open(path, framework="np") as shard:
                about = _About.model_validate(shard.metadata())
                widths = _widths(shard, len(about.clips))
        except UNFIT:
            return
        if widths != self._widths:  # all are of one backbone: the latest was not made elsewhere
            self._where.clear()
        self._widths = widths
        self._where |= {clip: (path, row) for row, clip in enumerate(about.clips)}
        self._timings.pop(path, None)
        self._timings[path] = about.timing

    @contextmanager
    def filling(self, on_wait: Callable[[], None]) -> Iterator[None]:
        """Keep other runs from passing the same clips through the backbone at the same time.

        `on_wait` is called where another run does so; then this one waits for it to end.

        Raises:
            StorageError: the cache cannot be written.
        """
        path = unlinked(self.folder / ".lock", self._root)
        lock = FileLock(path)
        with storing(path, CACHE_ADVICE):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                on_wait()
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def forget_damaged(self, clips: Iterable[str]) -> None:
        """Read the shards of `clips`; what lies in one that is damaged counts as missing.

        Raises:
            StorageError: a shard cannot be read.
        """
        bad = damaged({self._where[clip][0] for clip in clips if clip in self._where})
        self._where = {clip: at for clip, at in self._where.items() if at[0] not in bad}

    def __contains__(self, clip: str) -> bool:
        return clip in self._where

    def __len__(self) -> int:
        return len(self._where)

    def add(
        self, clips: Sequence[str], statistics: Sequence[ClipStatistics], timing: ShardTiming
    ) -> None:
        """Write one shard of clips, named by the sha256 of their decoded samples.

        Raises:
            StorageError: the cache cannot be written.
        """
        tensors: dict[str, NDArray[Any]] = {}
        for layer in range(len(statistics[0])):
            rows = [clip[layer] for clip in statistics]
            for name in STATISTICS:
                tensors[f"{layer}.{name}"] = np.stack([getattr(row, name) for row in rows])
            tensors[f"{layer}.frames"] = np.array([row.frames for row in rows], dtype=np.int64)
        path = unlinked(self.folder / shard_name(clips), self._root)
        about = {"clips": json.dumps(list(clips)), "timing": json.dumps(asdict(timing))}
        with storing(self.folder, CACHE_ADVICE, (OSError, SafetensorError)):
            with replacing(self.folder / SETTINGS) as partial:
                partial.write_text(json.dumps(self.settings.values(), indent=1) + "\n")
            with replacing(path) as partial:
                save_file(tensors, partial, about | UNSEALED)
                seal(partial)
        self._index(path)

    def leave_out(self, clip: str, reason: str) -> None:
        """Remember that the backbone makes nothing of a clip that can be used.

        Raises:
            StorageError: the cache cannot be written.
        """
        path = unlinked(self.folder / _UNUSABLE / f"{clip}.txt", self._root)
        with storing(path, CACHE_ADVICE), replacing(path) as partial:
            partial.write_text(reason, encoding="utf-8")
        self.unusable[clip] = reason

    def timings(self, clips: Sequence[str]) -> list[ShardTiming]:
        """Timings of the shards that hold `clips`, oldest first."""
        shards = {self._where[clip][0] for clip in clips}
        return [timing for path, timing in self._timings.items() if path in shards]

    @property
    def layers(self) -> int:
        """Number of layers stored."""
        return len(self._widths)

    def view(self, clips: Sequence[str]) -> FeatureView:
        """The vectors of `clips` (sha256 of decoded samples), in that order."""
        missing = [clip for clip in clips if clip not in self._where]
        if missing:
            raise KeyError(f"{len(missing)} clips are not in {self.folder}")
        return FeatureView([self._where[clip] for clip in clips], self.layers)


def _widths(shard: Any, clips: int) -> list[int]:
    """Width of each layer in a shard of so many clips.

    Raises:
        ValueError: its tensors are not those that a shard holds.
    """
    left = {name: shard.get_slice(name) for name in shard.keys()}  # noqa: SIM118
    widths: list[int] = []
    while left:
        layer = len(widths)
        parts = [left.pop(f"{layer}.{name}", None) for name in (*STATISTICS, "frames")]
        told = [part and (part.get_dtype(), *part.get_shape()) for part in parts]
        width = told[0][2] if told[0] and len(told[0]) == 3 else 0
        if width < 1 or told != [("F32", clips, width)] * len(STATISTICS) + [("I64", clips)]:
            raise ValueError(f"layer {layer} is not as it was written")
        widths.append(width)
    return widths


class FeatureView:
    """Pooled vectors of a fixed sequence of clips, read layer by layer as asked for."""

    def __init__(self, where: Sequence[tuple[Path, int]], layers: int) -> None:
        self.layers = layers
        self._rows_by_shard: dict[Path, list[tuple[int, int]]] = {}
        for position, (path, row) in enumerate(where):
            self._rows_by_shard.setdefault(path, []).append((position, row))
        self._clips = len(where)
        # a trial revisits layers: a few tens of megabytes save re-reading the shards
        self.vectors = lru_cache(maxsize=32)(self._vectors)

    def frames(self, layer: int) -> NDArray[np.int64]:
        """Frames of each clip at one layer, int64 (clips,)."""
        return self._gather(f"{layer}.frames").astype(np.int64)

    def width(self, layer: int) -> int:
        """Features per frame at one layer."""
        with safe_open(next(iter(self._rows_by_shard)), framework="np") as shard:
            return int(shard.get_slice(f"{layer}.mean").get_shape()[1])

    def mixable(self) -> tuple[int, ...]:
        """Layers whose frames can be mixed: those of the most common width and frame counts.

        Of two such groups of one size the deeper one counts.
        """
        groups: dict[tuple[int, bytes], list[int]] = {}
        for layer in range(self.layers):
            shape = (self.width(layer), self.frames(layer).tobytes())
            groups.setdefault(shape, []).append(layer)
        largest = max(groups.values(), key=lambda group: (len(group), group[0]))
        return tuple(largest)

    def _vectors(self, layer: int, pooling: str) -> Matrix:
        """Vectors float32 (clips, features) of one layer under one pooling."""
        chosen = get_pooling(pooling)
        if chosen.combine is None:
            raise ValueError(f"pooling '{pooling}' is learnt from frames, not from statistics")
        columns = {name: self._gather(f"{layer}.{name}") for name in chosen.needs}
        frames = self.frames(layer)
        return np.ascontiguousarray(chosen.combine(columns, frames), dtype=np.float32)

    def _gather(self, name: str) -> NDArray[Any]:
        out: NDArray[Any] | None = None
        for path, rows in self._rows_by_shard.items():
            with safe_open(path, framework="np") as shard:
                tensor = shard.get_tensor(name)
            if out is None:
                out = np.empty((self._clips, *tensor.shape[1:]), dtype=tensor.dtype)
            positions, source = zip(*rows, strict=True)
            out[list(positions)] = tensor[list(source)]
        if out is None:
            raise KeyError(name)
        return out
