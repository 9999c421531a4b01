"""A winner that predicts: files → vectors by the benchmark's own code → probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import paths
from bench.audio import decode
from bench.audio.index import ScannedClip, scan
from bench.clips import Clip
from bench.report.calibration import with_temperature
from bench.winner import folder as folders
from bench.winner.folder import Config, Contents, Settings
from bench.winner.predictors import Predictor, predictor
from bench.winner.windows import Piece, pieces_of

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
        predictor: what it predicts with.
    """

    config: Settings
    predictor: Predictor

    @classmethod
    def load(cls, folder: str | Path) -> Model:
        """Read a winner's folder; its backbones are loaded when the first file is predicted.

        Raises:
            UserError: it is none, a file in it was changed, its head is not here in that version,
                or its backbones would give other vectors here.
        """
        made = cls.of(folders.read(Path(folder)))
        made.predictor.check()
        return made

    @classmethod
    def of(cls, contents: Contents) -> Model:
        """The winner that a folder holds."""
        return cls(contents.config, predictor(contents))

    @cached_property
    def trained(self) -> frozenset[str]:
        """Sha256 of the samples of every clip that was fitted on."""
        return frozenset(self.config.clips)

    @property
    def temperature(self) -> float | None:
        """What logits are divided by; None of an average, whose members have their own."""
        return self.config.temperature if isinstance(self.config, Config) else None

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
            with pieces_of(known, every) as pieces:
                heard = [p.found for own in pieces for p in own if not isinstance(p.found, str)]
                said = self.predictor.said(heard)
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
        piece: Piece,
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
        if temperature and self.temperature is not None:
            found = with_temperature(found[None], self.temperature)[0]
        trained = {whole.pcm_sha256, piece.found.pcm_sha256} & self.trained
        return Predicted(
            file,
            self.config.labels[int(found.argmax())],
            tuple(found.tolist()),
            bool(trained),
            window=piece.window,
        )


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
