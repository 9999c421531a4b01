"""What trained heads are fitted on: frames from the store, and live ones to be augmented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from backbones import STEM
from bench.errors import VoxgridError
from bench.features.extract import Extraction
from bench.features.frames import FrameView
from bench.tuning.fits.live import Indices, LiveSequences, Recordings, cropped, shape
from heads.sequences import Sequences

if TYPE_CHECKING:
    import torch


class FramesMissing(VoxgridError):
    """Frames that training needs are not in the store; the message says which."""


class StoredSequences:
    """Frames of an ordered list of clips, read from the store. Implements `Sequences`.

    Args:
        view: the clips, at one layer or several.
        most_frames: longer clips are cut to their first frames.
        rows: positions in `view` of the clips; all of them by default.
        live: the same clips, for batches to be augmented; None where nothing ever is.
    """

    def __init__(
        self,
        view: FrameView,
        most_frames: int | None = None,
        rows: Indices | None = None,
        live: LiveSequences | None = None,
    ) -> None:
        self._view = view
        self._live = live
        self._most_frames = most_frames
        self._rows: Indices = np.arange(len(view)) if rows is None else rows
        self.lengths = cropped(view.lengths[self._rows], most_frames)
        self.layers = len(view.layers)
        self.width = view.width

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, indices: Indices) -> StoredSequences:
        """Some of the clips, in the order given."""
        live = self._live.take(indices) if self._live is not None else None
        return StoredSequences(self._view, self._most_frames, self._rows[indices], live)

    def batch(
        self, indices: Indices, augment: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames of some clips; see `Sequences.batch`.

        Raises:
            StorageError: a file is gone or damaged since it was listed.
        """
        import torch

        if augment is not None and self._live is not None:
            return self._live.batch(indices, augment)

        lengths = self.lengths[indices]
        frames = np.zeros(
            (len(indices), self.layers, int(lengths.max()), self.width), dtype=np.float32
        )
        for target, row, length in zip(frames, self._rows[indices], lengths, strict=True):
            self._view.read(int(row), target[:, :length])
        return torch.from_numpy(frames), torch.from_numpy(lengths)


def sequences(
    recordings: Recordings,
    layers: Sequence[int],
    *,
    cached: bool = True,
    most_frames: int | None = None,
) -> Sequences:
    """Frames of clips at one layer or several: from the store wherever nothing is augmented.

    Args:
        recordings: the clips.
        layers: of one shape; see `FeatureView.mixable`.
        cached: False makes every frame anew each time, to show what the store saves.
        most_frames: longer clips are cut to their first frames.

    Raises:
        FramesMissing: frames are not stored; names the layers.
        ValueError: the layers differ in shape.
    """
    job, clips = recordings.job, recordings.clips
    if not cached:
        lengths, width = shape(recordings, max(layers))
        return LiveSequences(recordings, layers, lengths, width, most_frames)
    frame_set = job.frame_set()
    missing = [layer for layer in layers if not all(frame_set.has(clip, layer) for clip in clips)]
    if missing:
        named = ", ".join("the stem" if layer == STEM else f"layer {layer}" for layer in missing)
        raise FramesMissing(
            f"frames of {named} of '{job.settings.info.name}' are not stored for all of the "
            f"{len(clips)} clips in {frame_set.folder}; extract them first (`voxgrid run` does)"
        )
    frames = frame_set.view(clips, layers)
    if recordings.augmentation is None:
        return StoredSequences(frames, most_frames)
    live = LiveSequences(recordings, layers, frames.lengths, frames.width, most_frames)
    return StoredSequences(frames, most_frames, live=live)


class BackboneClips:
    """Clips of a live backbone that is cut after one layer. Implements `TrainableClips`.

    Picklable; the backbone is loaded where and when it is needed.

    Args:
        recordings: the clips.
        cut: layer after which the backbone is cut, 0 or more.
        cached: whether frames are read from the store where it has them, instead of made anew in
            every epoch.
        crop_seconds: how much of the beginning of a clip is used; None for all.
        read: filled with the layers that were asked for; shared by every subset.
    """

    def __init__(
        self,
        recordings: Recordings,
        cut: int,
        *,
        cached: bool = True,
        crop_seconds: float | None = None,
        read: set[int] | None = None,
    ) -> None:
        self.blocks = cut
        self._recordings = recordings
        self._cached = cached
        self._crop_seconds = crop_seconds
        self._read = set() if read is None else read

    def __len__(self) -> int:
        return len(self._recordings.clips)

    @property
    def live(self) -> bool:
        """Whether something that was asked for is made anew in every epoch."""
        return not all(map(self._is_stored, self._read))

    def take(self, indices: Indices) -> BackboneClips:
        """Some of the clips, in the order given."""
        clips = tuple(self._recordings.clips[i] for i in indices.tolist())
        return BackboneClips(
            replace(self._recordings, clips=clips),
            self.blocks,
            cached=self._cached,
            crop_seconds=self._crop_seconds,
            read=self._read,
        )

    def inputs(self, blocks: int | None) -> Sequences:
        """What the first trained block reads; see `TrainableClips.inputs`.

        Raises:
            ValueError: there are not so many blocks below the cut.
        """
        start = start_of(self.blocks, blocks)
        self._read.add(start)
        return sequences(
            self._recordings,
            (start,),
            cached=self._is_stored(start),
            most_frames=frames_within(self._recordings.job, start, self._crop_seconds),
        )

    def tail(self, blocks: int | None) -> torch.nn.Module:
        """A fresh float32 copy of the trained part; see `TrainableClips.tail`.

        Raises:
            NotTrainable: the backbone has no part that can be trained.
            ValueError: there is no such part.
        """
        return self._recordings.backbone.tail(start_of(self.blocks, blocks), self.blocks)

    def _is_stored(self, layer: int) -> bool:
        if not self._cached:
            return False
        return layer in self._recordings.job.frame_set().layers_of(self._recordings.clips)


def start_of(cut: int, blocks: int | None) -> int:
    """The layer that the first trained block reads; None trains all but the feature encoder.

    Raises:
        ValueError: there are not so many blocks below the cut.
    """
    if blocks is None:
        return STEM
    if not 0 <= blocks <= cut:
        raise ValueError(f"{blocks} blocks cannot be trained below layer {cut}")
    return cut - blocks


def frames_within(job: Extraction, layer: int, seconds: float | None) -> int | None:
    """Most frames of a layer in the beginning of a clip; None where all of it is used."""
    if seconds is None:
        return None
    # of the longest clip: the edges of short ones make the rate look higher
    longest = max(job.sources, key=lambda source: source.seconds)
    frames = job.features().view((longest.pcm_sha256,)).frames(max(layer, 0))[0]
    return max(1, round(seconds * float(frames / longest.seconds)))
