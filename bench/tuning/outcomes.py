"""Outcomes of finished folds, kept until their cell is finished, so that no refit runs twice."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from backbones import reading
from bench.records.store import write_atomically
from bench.tuning.search import OUTCOME, FoldOutcome


def path(folder: Path, fold: int, trials: int) -> Path:
    """File of a fold's outcome; more trials make another one."""
    return folder / f"fold-{fold}-of-{trials}-trials.npz"


def save(file: Path, outcome: FoldOutcome) -> None:
    """Write an outcome whole or not at all.

    Raises:
        StorageError: the folder cannot be written.
    """
    values = asdict(outcome)
    probabilities = values["tested"].pop("probabilities")
    buffer = io.BytesIO()
    np.savez(buffer, probabilities=probabilities, outcome=np.array(json.dumps(values)))
    write_atomically(file, buffer.getvalue())


def load(file: Path, shape: tuple[int, int]) -> FoldOutcome | None:
    """The outcome in a file, or None where there is none or it is damaged (it runs again).

    Its probabilities have a shape (test clips, classes), or they are another fold's.
    """
    try:
        content = io.BytesIO(reading.read_bytes(file, reading.OUTCOME))
        with zipfile.ZipFile(content) as archive:
            # as they are written; what is packed may unpack to anything
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                return None
        with np.load(content, allow_pickle=False) as arrays:
            probabilities = np.asarray(arrays["probabilities"], dtype=np.float64)
            values = reading.parse_json(str(arrays["outcome"]))
        values["tested"]["probabilities"] = probabilities
        (outcome,) = OUTCOME.validate_python((values,))
    # missing, damaged or foreign: zip, NumPy and JSON each raise what they like
    except Exception:  # noqa: BLE001
        return None
    sound = probabilities.shape == shape and np.isfinite(probabilities).all()
    return outcome if sound else None
