"""Outcomes of finished folds, kept until their cell is finished, so that no refit runs twice."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bench.records.store import write_atomically
from bench.tuning.search import VALIDATED, FoldOutcome, Tested


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


def load(file: Path) -> FoldOutcome | None:
    """The outcome in a file, or None where there is none or it is damaged (it runs again)."""
    try:
        with np.load(file, allow_pickle=False) as content:
            probabilities = content["probabilities"]
            values = json.loads(str(content["outcome"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    validated = VALIDATED.validate_python(values.pop("validated"))
    tested = values.pop("tested")
    tested["notes"] = tuple(tested["notes"])
    return FoldOutcome(
        **values, validated=validated, tested=Tested(probabilities=probabilities, **tested)
    )
