"""Frames made from the audio as they are asked for, by a backbone that is loaded once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backbones import STEM, Backbone, BackboneInfo
from bench.audio import window
from bench.audio.batch import Wave, batches, normalise
from bench.audio.decode import Sound, through
from bench.features.encode import load
from bench.features.extract import DECODERS, Extraction
from bench.features.key import FeatureSettings
from bench.tuning.fits.augment import LONGEST, Augmentation

if TYPE_CHECKING:
    import torch

Indices = NDArray[np.int64]

# The model is loaded once per process. The dtype of its settings is the feature encoder's, trained
# parts are float32.
_loaded = lru_cache(maxsize=1)(load)


@lru_cache(maxsize=1)
def _frozen(settings: FeatureSettings, stop: int) -> torch.nn.Module:
    return _loaded(settings).tail(STEM, stop).requires_grad_(False).eval()


@dataclass(frozen=True)
class Recordings:
    """Where the sound of some clips is, and how it is passed through the backbone.

    Attributes:
        job: names the files and the backbone.
        clips: sha256 of the decoded samples, in order.
        augmentation: what `batch(…, augment=seed)` does to the sound, or None.
    """

    job: Extraction
    clips: tuple[str, ...]
    augmentation: Augmentation | None = None

    @property
    def backbone(self) -> Backbone:
        """The backbone, loaded."""
        return _loaded(self.job.settings)

    def encode(
        self,
        waves: torch.Tensor,
        lengths: torch.Tensor,
        rates: torch.Tensor,
        layers: Sequence[int],
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Frames of chosen layers and their valid lengths, computing no layer above them.

        Raises:
            NotTrainable: `STEM` is asked for of a backbone without a feature encoder.
        """
        backbone = self.backbone
        deepest = max(layers)
        if deepest > STEM and not backbone.info.trainable:
            frames = backbone.encode_at(waves, lengths, rates)
            return [frames.hidden[i] for i in layers], [frames.lengths[i] for i in layers]
        stem, valid = backbone.stem(waves, lengths)
        hidden, counts = [stem], [valid]
        if deepest > STEM:
            frames = _frozen(self.job.settings, deepest)(stem.float(), valid)
            hidden += frames.hidden
            counts += frames.lengths
        # the stem is at position 0, layer 0 at 1
        return [hidden[i - STEM] for i in layers], [counts[i - STEM] for i in layers]


class LiveSequences:
    """Frames made from the audio whenever they are asked for. Implements `Sequences`.

    Args:
        recordings: the clips.
        layers: one layer, or several of the same shape.
        lengths: frames of each clip, as they are without augmentation, int64 (clips,).
        width: features per frame.
        most_frames: longer clips are cut to their first frames.
    """

    def __init__(
        self,
        recordings: Recordings,
        layers: Sequence[int],
        lengths: Indices,
        width: int,
        most_frames: int | None = None,
    ) -> None:
        self.lengths = cropped(lengths, most_frames)
        self.layers = len(layers)
        self.width = width
        self._uncropped = lengths
        self._recordings = recordings
        self._layers = tuple(layers)
        self._most_frames = most_frames
        self._sources = {source.pcm_sha256: source for source in recordings.job.sources}

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, indices: Indices) -> LiveSequences:
        """Some of the clips, in the order given."""
        clips = tuple(self._recordings.clips[i] for i in indices.tolist())
        return LiveSequences(
            replace(self._recordings, clips=clips),
            self._layers,
            self._uncropped[indices],
            self.width,
            self._most_frames,
        )

    def batch(
        self, indices: Indices, augment: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames of some clips; see `Sequences.batch`.

        What a seed does to a clip depends on the clip and the seed alone, not on the batch.

        Raises:
            ClipError: a file cannot be decoded any more.
        """
        import torch

        info = self._recordings.backbone.info
        with ThreadPoolExecutor(DECODERS, thread_name_prefix="decode") as pool:
            decode = partial(self._windows, info=info, augment=augment)
            clips = list(pool.map(decode, indices.tolist()))
        pieces = [piece for windows, _ in clips for piece in windows]
        rates = [rate for windows, rate in clips for _ in windows]
        prepared = list(map(normalise, pieces)) if info.normalised else pieces
        encoded = iter(self._encoded(prepared, rates))
        own = [torch.cat(list(islice(encoded, len(windows))), dim=1) for windows, _ in clips]
        joined = [frames[:, : self._most_frames] for frames in own]
        lengths = torch.tensor([frames.shape[1] for frames in joined], dtype=torch.int64)
        padded = torch.zeros(len(joined), self.layers, int(lengths.max()), self.width)
        for target, frames in zip(padded, joined, strict=True):
            target[:, : frames.shape[1]] = frames
        return padded, lengths

    def _windows(
        self, clip: int, info: BackboneInfo, augment: int | None
    ) -> tuple[list[Wave], int]:
        """The windows that the first `most_frames` of a clip come from, and their rate.

        No more of the file is read.
        """
        recording = self._recordings.clips[clip]
        source = self._sources[recording]
        augmentation = self._recordings.augmentation

        def beginning(sound: Sound) -> tuple[list[Wave], int]:
            total = sound.length(source.seconds)
            edges = window.windows(total, sound.rate, info.max_seconds)
            edges = edges[: self._windows_needed(clip, len(edges))]
            end = edges[-1][1]
            if augment is None or augmentation is None:
                wave = sound.first(end)
            else:
                # enough of it where the tempo goes up as well
                wave = sound.first(min(total, math.ceil(end * LONGEST)))
                wave = augmentation(wave, sound.rate, (augment, int(recording[:16], 16)))
                edges = window.windows(len(wave), sound.rate, info.max_seconds)
            return [wave[start:stop] for start, stop in edges], sound.rate

        return through(source.path, info.resampled_to, beginning)

    def _windows_needed(self, clip: int, windows: int) -> int:
        """How many of a clip's windows hold the frames that are used."""
        if self._most_frames is None:
            return windows
        # equally long to one sample, they differ by one frame at most
        fewest = max(1, int(self._uncropped[clip]) // windows)
        return min(windows, math.ceil(self._most_frames / fewest))

    def _encoded(self, pieces: Sequence[Wave], rates: Sequence[int]) -> list[torch.Tensor]:
        """(layers, frames, width) of each window, on the CPU."""
        import torch

        recordings = self._recordings
        job, device = recordings.job, recordings.job.settings.device
        equal_lengths = not recordings.backbone.info.attention_mask
        encoded: dict[int, torch.Tensor] = {}
        kind = torch.device(device).type
        # as in extraction: what surrounds this call may compute in another precision
        with torch.no_grad(), torch.autocast(kind, enabled=False):
            for batch in batches(pieces, job.batch, equal_lengths=equal_lengths):
                waves, lengths = batch.waves.to(device), batch.lengths.to(device)
                own = torch.tensor([rates[row] for row in batch.rows], device=device)
                hidden, valid = recordings.encode(waves, lengths, own, self._layers)
                for position, row in enumerate(batch.rows):
                    encoded[row] = torch.stack(
                        [
                            frames[position, : int(counts[position])].float().cpu()
                            for frames, counts in zip(hidden, valid, strict=True)
                        ]
                    )
        return [encoded[row] for row in range(len(pieces))]


def shape(recordings: Recordings, layer: int) -> tuple[Indices, int]:
    """Frames of each clip and width at a layer, from its statistics."""
    view = recordings.job.features().view(recordings.clips)
    if layer != STEM:
        return view.frames(layer), view.width(layer)
    import torch

    rate, device = recordings.backbone.info.sample_rate, recordings.job.settings.device
    samples = torch.tensor([rate], device=device)
    (stem,), _ = recordings.encode(torch.zeros(1, rate, device=device), samples, samples, (STEM,))
    return view.frames(0), stem.shape[2]  # a stem makes as many frames as layer 0 has


def cropped(lengths: Indices, most_frames: int | None) -> Indices:
    """Frames of clips that are cut to their first `most_frames`; None cuts nothing."""
    return lengths if most_frames is None else np.minimum(lengths, most_frames)
