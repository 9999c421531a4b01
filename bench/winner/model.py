"""A winner that predicts: files → vectors by the benchmark's own code → probabilities."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from backbones import Backbone, BackboneInfo
from backbones import weights as backbone_weights
from bench import paths
from bench.audio import decode, sections
from bench.audio.index import ScannedClip, scan
from bench.clips import Clip, Section
from bench.errors import UserError
from bench.features.encode import load as load_backbone
from bench.features.extract import Extraction, extract_with, pending
from bench.features.key import FeatureSettings
from bench.features.source import ExtractionError, Source
from bench.features.store import FeatureSet
from bench.files import CACHE_ADVICE, storing
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
        in_training: whether this very sound was fitted on, or a part of it was cut out of it.
        reason: why the file cannot be used; empty of others.
        window: seconds where the part of the file begins and ends; None where it is the whole.
    """

    file: str
    label: str = ""
    probabilities: tuple[float, ...] | None = None
    in_training: bool = False
    reason: str = ""
    window: tuple[float, float] | None = None

    @property
    def abstains(self) -> bool:
        """Whether nothing is said because nothing can be heard: silent, or too short."""
        return decode.says_nothing(self.reason)


@dataclass(frozen=True)
class Model:
    """A winner, loaded from its folder.

    Attributes:
        config: all that it is.
    """

    config: Config
    _pipeline: Pipeline
    _loaded: dict[str, Backbone] = field(default_factory=dict)

    @cached_property
    def trained(self) -> frozenset[str]:
        """Sha256 of the samples of every clip that was fitted on."""
        return frozenset(self.config.clips)

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

    def predict(
        self,
        files: Sequence[str | Path],
        *,
        temperature: bool = True,
        every: float | None = None,
    ) -> pd.DataFrame:
        """What the winner says of files, in their order.

        Args:
            files: audio files, of any format and rate that voxgrid reads.
            temperature: whether probabilities are mended by the winner's temperature.
            every: seconds; a file is cut into windows of so many, each of which is a row.

        Returns:
            A row for each file: `file`, (`start`, `end` in seconds with `every`,) `label`, `p_` and
            each label, `in_training`, `abstains` (silent or too short), `reason`. Files that cannot
            be used have a reason and no label.
        """
        rows = list(self.each(files, temperature=temperature, every=every))
        frame = pd.DataFrame({"file": [row.file for row in rows]})
        if every is not None:
            unknown = (np.nan, np.nan)
            windows = np.array([row.window or unknown for row in rows], dtype=np.float64)
            frame[["start", "end"]] = windows.reshape(len(rows), 2)
        frame["label"] = [row.label for row in rows]
        nothing = (np.nan,) * len(self.config.labels)
        frame[[f"p_{label}" for label in self.config.labels]] = np.array(
            [row.probabilities or nothing for row in rows], dtype=np.float64
        ).reshape(len(rows), len(nothing))
        frame["in_training"] = [row.in_training for row in rows]
        frame["abstains"] = [row.abstains for row in rows]
        frame["reason"] = [row.reason for row in rows]
        return frame

    def each(
        self,
        files: Sequence[str | Path],
        *,
        temperature: bool = True,
        every: float | None = None,
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
        done = 0
        for part in parts([usable.get(clip.id) for clip in clips]):
            known = [clip for clip in part if clip is not None]
            with _pieces(known, every) as pieces:
                heard = [p.found for own in pieces for p in own if not isinstance(p.found, str)]
                said = self.said(heard)
            rows = iter(zip(known, pieces, strict=True))
            for clip, there in zip(clips[done : done + len(part)], part, strict=True):
                if there is None:
                    yield Predicted(str(clip.path), reason=reasons[clip.id])
                    continue
                whole, own = next(rows)
                for piece in own:
                    yield self._row(whole, piece, said, temperature)
            done += len(part)
            on_progress(done)

    def _row(
        self,
        whole: ScannedClip,
        piece: _Piece,
        said: Mapping[str, NDArray[np.float64] | str],
        temperature: bool,
    ) -> Predicted:
        """What is said of a file or of a part of it."""
        file = str(whole.clip.path)
        if isinstance(piece.found, str):
            return Predicted(file, reason=piece.found, window=piece.window)
        found = said[piece.found.pcm_sha256]
        if isinstance(found, str):
            return Predicted(file, reason=found, window=piece.window)
        if temperature:
            found = with_temperature(found[None], self.config.temperature)[0]
        trained = {whole.pcm_sha256, piece.found.pcm_sha256} & self.trained
        return Predicted(
            file,
            self.config.labels[int(found.argmax())],
            tuple(found.tolist()),
            bool(trained),
            window=piece.window,
        )

    def said(self, clips: Sequence[ScannedClip]) -> dict[str, NDArray[np.float64] | str]:
        """By the sha256 of samples: probabilities (classes,) before the temperature, or a reason.

        Raises:
            BackboneError: weights are not here, or cannot be used.
            StorageError: the cache cannot be written.
        """
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
            extract_with(self._backbone(encoder), job, lambda seconds: None)
        return job.features()

    def _backbone(self, encoder: Encoder) -> Backbone:
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


@dataclass(frozen=True)
class _Piece:
    """A file, or a part of it: what a scan found, or why it cannot be used."""

    found: ScannedClip | str
    window: tuple[float, float] | None = None


@contextmanager
def _pieces(files: Sequence[ScannedClip], every: float | None) -> Iterator[list[list[_Piece]]]:
    """Each file as a whole, or in windows of so many seconds, which are there as long as this."""
    if every is None:
        yield [[_Piece(file)] for file in files]
        return
    cuts = [
        (place, window)
        for place, file in enumerate(files)
        for window in _windows(file.seconds, every)
    ]
    clips = [
        Clip(str(n), files[place].clip.path, "", "", section=Section(files[place].clip.path, *own))
        for n, (place, own) in enumerate(cuts)
    ]
    cache = paths.cache_dir()
    with storing(cache, CACHE_ADVICE):
        (cache / sections.FOLDER).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache / sections.FOLDER) as folder:
        scanned = scan(clips, cache / "audio.sqlite3", cut_into=Path(folder))
        found: dict[str, ScannedClip | str] = {clip.clip.id: clip for clip in scanned.usable}
        found |= {each.clip: each.reason for each in scanned.excluded}
        pieces: list[list[_Piece]] = [[] for _ in files]
        for n, (place, window) in enumerate(cuts):
            pieces[place].append(_Piece(found[str(n)], window))
        yield pieces


def _windows(seconds: float, every: float) -> list[tuple[float, float]]:
    """Windows of a file; what is left at its end joins the last one where it is less than half."""
    count = max(1, int(seconds / every + 0.5))
    ends = [every * (n + 1) for n in range(count - 1)] + [seconds]
    return list(zip([0.0, *ends[:-1]], ends, strict=True))


def parts(clips: Sequence[ScannedClip | None]) -> Iterator[list[ScannedClip | None]]:
    """Clips one after the other, in parts of so much sound; None are files that have none."""
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
