"""Outcomes of finished folds, kept until their cell is finished, so that no refit runs twice."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from backbones import reading
from bench.protocols.fold import Fold
from bench.records.store import write_atomically
from bench.tuning.search import OUTCOME, FoldOutcome


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
        (outcome,) = OUTCOME.validate_python((values,))
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
