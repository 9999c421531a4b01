"""What a fold gave: kept until its cell is finished, so that no refit runs twice."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, SkipValidation, TypeAdapter

from backbones import reading
from bench.protocols.fold import Fold
from bench.records.store import write_atomically
from bench.tuning.fits.base import Indices, Layer, Probabilities
from heads import Epoch

FINITE = ConfigDict(allow_inf_nan=False, arbitrary_types_allowed=True)


@dataclass(frozen=True)
class Validated:
    """What a head fitted on the training clips gave on the validation clips.

    Attributes:
        accuracy, macro_f1: of the weights that were kept.
        best_epoch, curve, notes, precision, live: as of `Fitted`.
    """

    accuracy: float
    macro_f1: float
    best_epoch: int | None = None
    curve: tuple[Epoch, ...] = ()
    notes: tuple[str, ...] = ()
    precision: str | None = None
    live: bool = False


@dataclass(frozen=True)
class Tested:
    """What the refitted head said of the test clips.

    `probabilities` are (clips, classes), `clips_per_s` of predicting, `notes` of the refit.
    """

    probabilities: SkipValidation[Probabilities]
    clips_per_s: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class InnerPredictions:
    """What the chosen setting said of the clips of all inner folds, fitted without them.

    `clips` (clips,) are positions among the cell's clips, `probabilities` are (clips, classes).
    """

    clips: SkipValidation[Indices]
    probabilities: SkipValidation[Probabilities]


@dataclass(frozen=True)
class Tried:
    """How settings were searched on inner folds.

    Attributes:
        how: `every` one there is; each on the `best` layers of a fusion's parts; or drawn ones in
            a `race`, where few reach the last inner folds.
        settings: how many, layers times the settings of each included.
        inner_folds: how many there are.
        curve: the highest macro-F1 so far, in the order tried: after each layer on all inner folds
            of `every` and `best`, after each setting on the first inner folds of a `race`.
        lowest, highest: parameters whose chosen value lies at that end of what was tried.
        by_layer: of `every`, the highest macro-F1 on all inner folds at each layer, from layer 0.
    """

    how: Literal["every", "best", "race"]
    settings: int
    inner_folds: int
    curve: list[float]
    lowest: list[str]
    highest: list[str]
    by_layer: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class FoldOutcome:
    """What one outer fold gave.

    Attributes:
        best_params: as drawn, the layer included; the whole recipe where nothing was tuned.
        layer: the tuned layer, one per part of a fusion, or `weighted`.
        validated: what the best trial gave on the validation clips.
        tested: what its refit gave on the test clips.
        states: number of trials by final state.
        errors: reasons of failed trials.
        notes: of the trials and the refit, each once.
        seconds: wall time of all trials, earlier runs' included, and of the refit's last run.
        inner, tried: of a search on inner folds.
        again: probabilities (clips, classes) that the same refit with other seeds gives.
    """

    best_params: dict[str, Any]
    layer: Layer
    validated: Validated
    tested: Tested
    states: Annotated[dict[Literal["complete", "pruned", "failed"], int], Field(min_length=3)]
    errors: list[str]
    notes: list[str]
    seconds: float
    inner: InnerPredictions | None = None
    tried: Tried | None = None
    again: SkipValidation[list[Probabilities]] = field(default_factory=list)


# Reads what `asdict` and JSON made of one.
_OUTCOME = TypeAdapter(tuple[FoldOutcome], config=FINITE)


def path(folder: Path, fold: int, trials: int, seeds: int) -> Path:
    """File of a fold's outcome; more trials or seeds make another one."""
    return folder / f"fold-{fold}-of-{trials}-trials-and-{seeds}-seeds.npz"


def save(file: Path, outcome: FoldOutcome) -> None:
    """Write an outcome whole or not at all.

    Raises:
        StorageError: the folder cannot be written.
    """
    values = asdict(outcome)
    arrays = {"probabilities": values["tested"].pop("probabilities")}
    arrays |= {f"again_{seed}": array for seed, array in enumerate(values.pop("again"))}
    if inner := values.pop("inner"):
        arrays.update({f"inner_{name}": array for name, array in inner.items()})
    buffer = io.BytesIO()
    np.savez(buffer, outcome=np.array(json.dumps(values)), **arrays)
    write_atomically(file, buffer.getvalue())


def load(file: Path, fold: Fold, classes: int) -> FoldOutcome | None:
    """The outcome in a file, or None where there is none, or it is damaged or another fold's."""
    try:
        content = io.BytesIO(reading.read_bytes(file, reading.OUTCOME))
        with zipfile.ZipFile(content) as archive:
            # as they are written; what is packed may unpack to anything
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                return None
        with np.load(content, allow_pickle=False) as arrays:
            probabilities = np.asarray(arrays["probabilities"], dtype=np.float64)
            values = reading.parse_json(str(arrays["outcome"]))
            if "inner_clips" in arrays:
                values["inner"] = {
                    "clips": np.asarray(arrays["inner_clips"], dtype=np.int64),
                    "probabilities": np.asarray(arrays["inner_probabilities"], dtype=np.float64),
                }
            values["again"] = [
                np.asarray(arrays[name], dtype=np.float64)
                for name in arrays
                if name.startswith("again_")
            ]
        values["tested"]["probabilities"] = probabilities
        (outcome,) = _OUTCOME.validate_python((values,))
    # missing, damaged or foreign: zip, NumPy and JSON each raise what they like
    except Exception:  # noqa: BLE001
        return None
    each = (probabilities, *outcome.again)
    sound = all(_are(array, len(fold.test), classes) for array in each)
    if outcome.inner is not None:
        clips = np.concatenate(fold.inner)
        sound = sound and np.array_equal(outcome.inner.clips, clips)
        sound = sound and _are(outcome.inner.probabilities, len(clips), classes)
    return outcome if sound else None


def _are(probabilities: np.ndarray, clips: int, classes: int) -> bool:
    return probabilities.shape == (clips, classes) and bool(np.isfinite(probabilities).all())
