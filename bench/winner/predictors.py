"""What winners say of scanned clips, by the benchmark's own code: vectors or frames → head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from backbones import Backbone, BackboneInfo
from backbones import weights as backbone_weights
from bench import paths
from bench.audio.index import ScannedClip
from bench.errors import UserError
from bench.features.encode import load as load_backbone
from bench.features.extract import Extraction, extract_with, pending
from bench.features.key import FeatureSettings
from bench.features.source import ExtractionError, Source
from bench.machine import usable_cores
from bench.plugins import BACKBONES, HEADS
from bench.report.calibration import with_temperature
from bench.tuning.fits.base import spread
from bench.tuning.fits.live import Recordings
from bench.tuning.fits.stored import sequences, start_of
from bench.winner.folder import Arrays, Config, Contents, Encoder
from heads import Head, Sequences

Probabilities = NDArray[np.float64]
# By the sha256 of samples: probabilities (classes,), or why there are none.
Said = dict[str, Probabilities | str]


class Predictor(Protocol):
    """What a winner predicts with."""

    def check(self) -> None:
        """Raise a `UserError` where it would say something else here than where it was made."""

    def said(self, clips: Sequence[ScannedClip]) -> Said:
        """What is said of clips.

        Raises:
            BackboneError: weights are not here, or cannot be used.
            StorageError: the cache cannot be written.
        """


def predictor(contents: Contents) -> Predictor:
    """The predictor of a winner's folder.

    Raises:
        UserError: its head is not here in that version, or its arrays are another head's.
    """
    config = contents.config
    if not isinstance(config, Config):
        return AveragePredictor(
            tuple(
                (predictor(member), member.config.temperature, own.weight)
                for own, member in zip(config.members, contents.members, strict=True)
                if isinstance(member.config, Config)
            )
        )
    head = _head(config, contents.arrays)
    if config.reads != "vectors":
        return TrainedPredictor(config, head)
    arrays, scaler = contents.arrays, StandardScaler()
    try:
        scaler.mean_, scaler.scale_ = arrays["mean"], arrays["scale"]
    except KeyError as error:
        raise UserError(f"the winner's arrays are not those of a head: {error}") from error
    scaler.var_, scaler.n_features_in_ = arrays["scale"] ** 2, config.features
    return VectorPredictor(config, make_pipeline(scaler, head))


@dataclass(frozen=True)
class AveragePredictor:
    """Averages winners of rows, with the temperature of each and how often it counts."""

    members: tuple[tuple[Predictor, float, int], ...]

    def check(self) -> None:
        """See `Predictor`."""
        for each, _, _ in self.members:
            each.check()

    def said(self, clips: Sequence[ScannedClip]) -> Said:
        """See `Predictor`."""
        totals: Said = {}
        weights = sum(weight for _, _, weight in self.members)
        for each, temperature, weight in self.members:
            for clip, own in each.said(clips).items():
                before = totals.get(clip, np.zeros(1))
                if isinstance(own, str) or isinstance(before, str):
                    totals[clip] = own if isinstance(own, str) else before
                else:
                    mended = with_temperature(own[None], temperature)[0]
                    totals[clip] = before + mended * (weight / weights)
        return totals


@dataclass(frozen=True)
class RowPredictor(ABC):
    """What predictors of one row share: backbones, and the features of clips."""

    config: Config
    head: Any
    _loaded: dict[str, Backbone] = field(default_factory=dict)

    def check(self) -> None:
        """See `Predictor`."""
        for encoder in self.config.encoders:
            self._settings(encoder)

    def said(self, clips: Sequence[ScannedClip]) -> Said:
        """See `Predictor`."""
        jobs: dict[str, Extraction] = {}
        unusable: dict[str, str] = {}
        for encoder in self.config.encoders:
            try:
                jobs[encoder.backbone] = job = self._extracted(encoder, clips)
            except ExtractionError as error:
                return {clip.pcm_sha256: str(error) for clip in clips}
            reasons = job.features().unusable
            unusable |= {sha: reasons[sha] for c in clips if (sha := c.pcm_sha256) in reasons}
        usable = [clip.pcm_sha256 for clip in clips if clip.pcm_sha256 not in unusable]
        if not usable:
            return dict(unusable)
        raw, classes = self.probabilities(usable, jobs)
        said = spread(raw, classes, len(self.config.labels))
        return {**unusable, **dict(zip(usable, said, strict=True))}

    @abstractmethod
    def probabilities(
        self, clips: Sequence[str], jobs: Mapping[str, Extraction]
    ) -> tuple[Probabilities, NDArray[np.int64]]:
        """What the head says of clips that were extracted, (clips, its classes), and these."""

    def frames(self) -> tuple[int, ...]:
        """Layers whose frames the head reads."""
        return ()

    def backbone(self, encoder: Encoder) -> Backbone:
        """One of the winner's backbones, loaded once.

        Raises:
            BackboneError: weights are not here, or cannot be used.
            UserError, ExtractionError: it would give other vectors than when the winner was made.
        """
        import torch

        if encoder.backbone not in self._loaded:
            torch.set_num_threads(usable_cores())
            self._loaded[encoder.backbone] = load_backbone(self._settings(encoder))
        return self._loaded[encoder.backbone]

    def _extracted(self, encoder: Encoder, clips: Sequence[ScannedClip]) -> Extraction:
        """What the features of clips are of, extracted where the cache lacks them."""
        sources = tuple(
            Source(str(clip.clip.path), clip.clip.path, clip.pcm_sha256, clip.seconds)
            for clip in clips
        )
        job = Extraction(
            self._settings(encoder),
            sources,
            paths.cache_dir() / "features",
            threads=usable_cores(),
            frames=self.frames(),
        )
        if pending(job.features(), job.sources, job.frames):
            extract_with(self.backbone(encoder), job, lambda seconds: None)
        return job

    def _settings(self, encoder: Encoder) -> FeatureSettings:
        return settings(encoder, BACKBONES.get(encoder.backbone).info)


class VectorPredictor(RowPredictor):
    """A standardisation and a head, as one pipeline, on pooled vectors side by side.

    The head's classes are positions in `config.labels`.
    """

    head: Pipeline

    def probabilities(
        self, clips: Sequence[str], jobs: Mapping[str, Extraction]
    ) -> tuple[Probabilities, NDArray[np.int64]]:
        """See `RowPredictor`."""
        vectors = np.hstack(
            [
                jobs[part.backbone].features().view(clips).vectors(part.layer, part.pooling)
                for part in self.config.parts
            ]
        )
        return self.head.predict_proba(vectors), self.head.classes_


class TrainedPredictor(RowPredictor):
    """A head on frames, or a backbone that was trained on from the layer where it is cut.

    It predicts clip by clip, so that no clip's neighbours change what is said of it.
    """

    head: Head

    def frames(self) -> tuple[int, ...]:
        """See `RowPredictor`."""
        layers = tuple(part.layer for part in self.config.parts)
        if self.config.reads == "frames":
            return layers
        start = self.head.reads_from(layers[0])
        assert start is not None  # a head that says what it predicts with says that too
        return (start,)

    def probabilities(
        self, clips: Sequence[str], jobs: Mapping[str, Extraction]
    ) -> tuple[Probabilities, NDArray[np.int64]]:
        """See `RowPredictor`."""
        (job,) = jobs.values()
        said = [self.head.predict_proba(self._inputs(job, clip)) for clip in clips]
        return np.concatenate(said), self.head.classes_

    def _inputs(self, job: Extraction, clip: str) -> Any:
        recordings = Recordings(job, (clip,))
        most = self.config.most_frames
        if self.config.reads == "frames":
            return sequences(recordings, self.frames(), most_frames=most)
        return _Clip(recordings, self.config.parts[0].layer, most)


@dataclass(frozen=True)
class _Clip:
    """A clip of a backbone that is cut after a layer. Implements `TrainableClips`."""

    recordings: Recordings
    blocks: int
    most_frames: int | None

    def __len__(self) -> int:
        return 1

    def inputs(self, blocks: int | None) -> Sequences:
        """What the first trained block reads; see `TrainableClips.inputs`."""
        start = start_of(self.blocks, blocks)
        return sequences(self.recordings, (start,), most_frames=self.most_frames)

    def tail(self, blocks: int | None) -> Any:
        """A fresh copy of the trained part; see `TrainableClips.tail`."""
        return self.recordings.backbone.tail(start_of(self.blocks, blocks), self.blocks)


def settings(encoder: Encoder, info: BackboneInfo) -> FeatureSettings:
    """A winner's backbone as it runs on this machine.

    Raises:
        UserError: it would give other vectors than when the winner was made; says what differs.
        BackboneError: its weights are not here.
    """
    found = backbone_weights.resolve(
        info,
        control="random-init"
        if (encoder.weights_kind, encoder.weights_size) == ("random-init", "full")
        else None,
        sample=encoder.weights_size == "small",
        allow_download=not paths.offline(),
        seed=encoder.weights_seed,
    )
    own = FeatureSettings(info, found, encoder.dtype)
    if found.sha != encoder.weights_sha256:
        raise UserError(
            f"the weights of {info.name} here have sha256 {str(found.sha)[:12]}…, and those of the "
            f"winner {str(encoder.weights_sha256)[:12]}…: get the same ones, or train anew"
        )
    if own.key != encoder.feature_key:
        raise UserError(
            f"{info.name} gives other vectors here than when the winner was made (another version "
            "of its plugin, of decoding, or of torch for random weights): train anew"
        )
    return own


def _head(config: Config, arrays: Arrays) -> Head:
    """The fitted head as it was.

    Raises:
        UserError: this version of voxgrid has no such head, or arrays are missing.
    """
    kind = HEADS.reading(config.head, config.reads)
    if kind.version != config.head_version:
        raise UserError(
            f"head '{config.head}' is of version {kind.version} here and of {config.head_version} "
            "in the winner: train anew"
        )
    try:
        threads = 1 if config.reads == "vectors" else usable_cores()
        head = kind.build(config.params, pooling=config.pooling, random_state=0, n_jobs=threads)
        head.classes_ = arrays["classes"]
        head.n_features_in_ = config.features
        head.restore({n.removeprefix("head."): own for n, own in arrays.items() if "." in n})
    except (KeyError, TypeError) as error:
        raise UserError(
            f"the winner's arrays or parameters are not those of a head: {error}"
        ) from error
    return head
