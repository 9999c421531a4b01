"""A winner that predicts: files → vectors by the benchmark's own code → probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from backbones import Backbone, BackboneInfo
from backbones import weights as backbone_weights
from bench import paths
from bench.audio.index import ScannedClip, scan
from bench.clips import Clip
from bench.errors import UserError
from bench.features.encode import load as load_backbone
from bench.features.extract import Extraction, extract_with, pending
from bench.features.key import FeatureSettings
from bench.features.source import ExtractionError, Source
from bench.features.store import FeatureSet
from bench.machine import usable_cores
from bench.plugins import BACKBONES, HEADS
from bench.report.calibration import with_temperature
from bench.tuning.fits.base import spread
from bench.winner import folder as folders
from bench.winner.folder import Arrays, Config, Encoder

# Sound whose files are passed through the backbones together; what is predicted is kept.
_SECONDS = 600.0


@dataclass(frozen=True)
class Predicted:
    """What a winner says of a file.

    Attributes:
        label: the likeliest class; empty where the file cannot be used.
        probabilities: of each label, in the order of the winner's; None likewise.
        in_training: whether this very sound was fitted on.
        reason: why the file cannot be used; empty of others.
    """

    file: str
    label: str = ""
    probabilities: tuple[float, ...] | None = None
    in_training: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Model:
    """A winner, loaded from its folder.

    Attributes:
        config: all that it is.
    """

    config: Config
    _pipeline: Pipeline
    _loaded: dict[str, Backbone] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: str | Path) -> Model:
        """Read a winner's folder; its backbones are loaded when the first file is predicted.

        Raises:
            UserError: it is none, a file in it was changed, its head is not here in that version,
                or its backbones would give other vectors here.
        """
        config, arrays = folders.read(Path(folder))
        made = cls(config, _pipeline(config, arrays))
        for encoder in config.encoders:
            made._settings(encoder)
        return made

    def predict(self, files: Sequence[str | Path], *, temperature: bool = True) -> pd.DataFrame:
        """What the winner says of files, in their order.

        Args:
            files: audio files, of any format and rate that voxgrid reads.
            temperature: whether probabilities are mended by the winner's temperature.

        Returns:
            A row for each file: `file`, `label`, `p_` and each label, `in_training`, `reason`.
            Files that cannot be used have a reason and no label.
        """
        rows = list(self.each(files, temperature=temperature))
        frame = pd.DataFrame(
            {"file": [row.file for row in rows], "label": [row.label for row in rows]}
        )
        nothing = (np.nan,) * len(self.config.labels)
        frame[[f"p_{label}" for label in self.config.labels]] = np.array(
            [row.probabilities or nothing for row in rows], dtype=np.float64
        ).reshape(len(rows), len(nothing))
        frame["in_training"] = [row.in_training for row in rows]
        frame["reason"] = [row.reason for row in rows]
        return frame

    def each(
        self,
        files: Sequence[str | Path],
        *,
        temperature: bool = True,
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> Iterator[Predicted]:
        """The same one by one, as they are known; `on_progress` hears how many files are through.

        Raises:
            BackboneError: weights are not here, or cannot be used.
            StorageError: the cache cannot be written.
        """
        clips = [Clip(str(place), Path(file), "", "") for place, file in enumerate(files)]
        scanned = scan(clips, paths.cache_dir() / "audio.sqlite3")
        usable = {clip.clip.id: clip for clip in scanned.usable}
        reasons = {each.clip: each.reason for each in scanned.excluded}
        trained = set(self.config.clips)
        done = 0
        for part in _parts([usable.get(clip.id) for clip in clips]):
            own = clips[done : done + len(part)]
            said = self._said([clip for clip in part if clip is not None])
            for clip, known in zip(own, part, strict=True):
                if known is None:
                    yield Predicted(str(clip.path), reason=reasons[clip.id])
                    continue
                found = said[known.pcm_sha256]
                if isinstance(found, str):
                    yield Predicted(str(clip.path), reason=found)
                    continue
                if temperature:
                    found = with_temperature(found[None], self.config.temperature)[0]
                yield Predicted(
                    str(clip.path),
                    self.config.labels[int(found.argmax())],
                    tuple(found.tolist()),
                    known.pcm_sha256 in trained,
                )
            done += len(part)
            on_progress(done)

    def _said(self, clips: Sequence[ScannedClip]) -> dict[str, NDArray[np.float64] | str]:
        """By the sha256 of samples: probabilities (classes,), or why there are none."""
        sets: dict[str, FeatureSet] = {}
        unusable: dict[str, str] = {}
        for encoder in self.config.encoders:
            try:
                sets[encoder.backbone] = features = self._features(encoder, clips)
            except ExtractionError as error:
                return {clip.pcm_sha256: str(error) for clip in clips}
            unusable |= {c.pcm_sha256: reason for c in clips
                         if (reason := features.unusable.get(c.pcm_sha256))}  # fmt: skip
        usable = [clip.pcm_sha256 for clip in clips if clip.pcm_sha256 not in unusable]
        if not usable:
            return dict(unusable)
        vectors = np.hstack(
            [
                sets[part.backbone].view(usable).vectors(part.layer, part.pooling)
                for part in self.config.parts
            ]
        )
        raw = self._pipeline.predict_proba(vectors)
        said = spread(raw, self._pipeline.classes_, len(self.config.labels))
        return {**unusable, **dict(zip(usable, said, strict=True))}

    def _features(self, encoder: Encoder, clips: Sequence[ScannedClip]) -> FeatureSet:
        """Statistics of clips, extracted where the cache lacks them."""
        sources = tuple(
            Source(str(clip.clip.path), clip.clip.path, clip.pcm_sha256, clip.seconds)
            for clip in clips
        )
        job = Extraction(
            self._settings(encoder),
            sources,
            paths.cache_dir() / "features",
            threads=usable_cores(),
        )
        if pending(job.features(), job.sources):
            extract_with(self.backbone(encoder), job, lambda seconds: None)
        return job.features()

    @property
    def pipeline(self) -> Pipeline:
        """Standardisation and head, fitted: joined vectors → probabilities before the temperature.

        The head's classes are positions in `config.labels`.
        """
        return self._pipeline

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

    def _settings(self, encoder: Encoder) -> FeatureSettings:
        """As the backbone runs here, which is how it ran when the winner was made.

        Raises:
            UserError: it is not.
        """
        return settings(encoder, BACKBONES.get(encoder.backbone).info)


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


def _parts(clips: Sequence[ScannedClip | None]) -> Iterator[list[ScannedClip | None]]:
    """Files one after the other, in parts of so much sound."""
    part: list[ScannedClip | None] = []
    seconds = 0.0
    for clip in clips:
        part.append(clip)
        seconds += clip.seconds if clip else 0.0
        if seconds >= _SECONDS:
            yield part
            part, seconds = [], 0.0
    if part:
        yield part


def _pipeline(config: Config, arrays: Arrays) -> Pipeline:
    """The fitted head behind its standardisation, as it was when it was fitted.

    Raises:
        UserError: this version of voxgrid has no such head, or arrays are missing.
    """
    kind = HEADS.reading(config.head, "vectors")
    if kind.version != config.head_version:
        raise UserError(
            f"head '{config.head}' is of version {kind.version} here and of {config.head_version} "
            "in the winner: train anew"
        )
    try:
        head = kind.build(config.params, pooling=config.pooling, random_state=0, n_jobs=1)
        head.classes_ = arrays["classes"]
        head.n_features_in_ = config.features
        head.restore({n.removeprefix("head."): own for n, own in arrays.items() if "." in n})
        scaler = StandardScaler()
        scaler.mean_, scaler.scale_ = arrays["mean"], arrays["scale"]
        scaler.var_, scaler.n_features_in_ = arrays["scale"] ** 2, config.features
    except (KeyError, TypeError) as error:
        raise UserError(
            f"the winner's arrays or parameters are not those of a head: {error}"
        ) from error
    return make_pipeline(scaler, head)
