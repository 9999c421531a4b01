"""How far a row's probabilities can be taken at their word, and what one temperature mends.

References:
    Guo et al. (2017), "On calibration of modern neural networks": temperature scaling and the
    expected calibration error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from scipy.optimize import minimize_scalar

from bench.report.stored import Codes, Probabilities, Stored

BINS = 15
# A probability of zero would have an infinite loss.
_LEAST = 1e-12
# Of the natural logarithm of a temperature.
_BOUNDS = (-4.0, 4.0)


@dataclass(frozen=True)
class Bin:
    """Clips whose highest probability lies in one of `BINS` parts of even width.

    Attributes:
        clips: how many.
        confidence: mean of their highest probability.
        accuracy: share that is predicted rightly.
    """

    clips: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Of probabilities of test clips.

    Attributes:
        error: expected calibration error: mean of |confidence - accuracy| over bins, by clips.
        brier: mean over clips of the squared distance to the true class, from 0 to 2.
        bins: those with clips, the lowest confidence first.
    """

    error: float
    brier: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A row's calibration as it is, and with a temperature.

    Attributes:
        plain: of its probabilities.
        scaled: of those with the temperature of each fold, fitted on its inner predictions.
        temperature: the median over folds; above 1 the row is too sure of itself.
        row: the row with these probabilities.
    """

    plain: Calibration
    scaled: Calibration
    temperature: float
    row: Stored


def calibrated(row: Stored) -> Calibrated | None:
    """Both, or None of a row without inner predictions. Accuracy is the same in both."""
    tested, inner = row.tested, row.inner
    if inner is None:
        return None
    found = []
    scaled = [np.empty_like(said.probabilities) for said in (inner, tested)]
    for fold in np.unique(tested.folds):
        own = inner.folds == fold
        found.append(temperature(inner.probabilities[own], inner.truth[own]))
        for said, result in zip((inner, tested), scaled, strict=True):
            own = said.folds == fold
            result[own] = with_temperature(said.probabilities[own], found[-1])
    mended = Stored(
        row.record,
        replace(tested, probabilities=scaled[1]),
        replace(inner, probabilities=scaled[0]),
    )
    return Calibrated(
        calibration(tested.probabilities, tested.truth),
        calibration(mended.tested.probabilities, tested.truth),
        median(found),
        mended,
    )


def calibration(probabilities: Probabilities, truth: Codes) -> Calibration:
    """The calibration of probabilities (clips, classes) of clips of these classes (clips,)."""
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    bins = [
        Bin(int(own.sum()), float(sure[own].mean()), float(right[own].mean()))
        for own in (place == number for number in range(BINS))
        if own.any()
    ]
    missed = probabilities - np.eye(probabilities.shape[1])[truth]
    return Calibration(
        sum(each.clips * abs(each.confidence - each.accuracy) for each in bins) / len(truth),
        float((missed**2).sum(axis=1).mean()),
        tuple(bins),
    )


def temperature(probabilities: Probabilities, truth: Codes) -> float:
    """What to divide logits by so that these clips are likeliest."""

    def loss(logarithm: float) -> float:
        scaled = with_temperature(probabilities, float(np.exp(logarithm)))
        return float(-np.log(np.maximum(scaled[np.arange(len(truth)), truth], _LEAST)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=_BOUNDS, method="bounded").x))


def with_temperature(probabilities: Probabilities, value: float) -> Probabilities:
    """Probabilities (clips, classes) whose logits are divided; their order stays."""
    logits = np.log(np.maximum(probabilities, _LEAST)) / value
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    scaled: Probabilities = odds / odds.sum(axis=1, keepdims=True)
    return scaled
