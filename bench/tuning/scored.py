"""Draws and what they said of inner folds so far: scored, compared, and put in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.protocols.fold import Fold
from bench.scoring import macro_f1
from bench.tuning.fits.base import Draw, Indices, Labels
from bench.tuning.ledger import InnerFit, Ledger, Said, inner_fits
from bench.tuning.outcomes import InnerPredictions


@dataclass(frozen=True, eq=False)
class Best:
    """A draw, its macro-F1, and its probabilities (clips, classes) of clips of inner folds."""

    score: float
    draw: Draw
    clips: Indices
    said: Said

    def of(self, clips: Indices) -> InnerPredictions:
        """What it said, with the same clips in this order."""
        order = np.argsort(self.clips)
        said = self.said[order[np.searchsorted(self.clips, clips, sorter=order)]]
        return InnerPredictions(clips, said.astype(np.float64))


@dataclass(eq=False)
class Entry:
    """Draws of one fit, and what they said of the clips of an outer fold's inner folds so far.

    Attributes:
        variants: draws that the same fit could be asked for, these included.
        clips: positions among the cell's clips, one array per inner fold.
        said: probabilities (clips, classes) by draw, one list per inner fold.
        error: why a fit failed.
    """

    draws: tuple[Draw, ...]
    variants: tuple[Draw, ...]
    clips: list[Indices] = field(default_factory=list)
    said: list[list[Said]] = field(default_factory=list)
    error: str | None = None

    @classmethod
    def of(cls, draw: Draw) -> Entry:
        """Of one draw by itself."""
        return cls((draw,), (draw,))

    def add(self, clips: Indices, said: Sequence[Said | str]) -> None:
        """What the draws said of one more inner fold."""
        errors = [each for each in said if isinstance(each, str)]
        if errors:
            self.error = errors[-1]
        self.clips.append(clips)
        self.said.append([each for each in said if not isinstance(each, str)])

    def best(self, labels: Labels) -> Best:
        """Which draw has the highest macro-F1 over all these clips together."""
        clips = np.concatenate(self.clips)
        truth = labels.classes[clips]
        said = [np.concatenate(own) for own in zip(*self.said, strict=True)]
        scores = [macro_f1(truth, own.argmax(axis=1)) for own in said]
        place = int(np.argmax(scores))
        return Best(scores[place], self.draws[place], clips, said[place])

    def score(self, labels: Labels) -> float:
        """That macro-F1, or 0 where a fit failed."""
        return self.best(labels).score if self.error is None else 0.0


def highest(entries: Sequence[Entry], count: int, labels: Labels) -> list[Entry]:
    """So many entries with the highest scores, the best first."""
    return sorted(entries, key=lambda entry: -entry.score(labels))[:count]


def rungs(folds: Sequence[Fold]) -> list[list[InnerFit]]:
    """Inner fits in the order of a race: the first few give each outer fold one or two inner folds.

    Outer folds that share fits stand in a ring, and first come those that lie across it: so each
    of these fits serves two folds, and half as many as there are folds serve all.
    """
    place = {fold.index: number for number, fold in enumerate(folds)}
    rungs: dict[int, list[InnerFit]] = defaultdict(list)
    for inner in inner_fits(folds):
        first, *second = inner.scored
        if second:
            apart = abs(place[first] - place[second[0]])
            rungs[len(folds) // 2 - min(apart, len(folds) - apart)].append(inner)
        else:
            own = folds[place[first]].inner
            number = next(n for n, part in enumerate(own) if part is inner.scored[first])
            rungs[(number + 1) // 2].append(inner)
    return [rungs[number] for number in sorted(rungs)]


def fill(fits: Sequence[InnerFit], entries: Mapping[int, Sequence[Entry]], ledger: Ledger) -> None:
    """Ask the ledger what the entries of each outer fold say of these inner folds."""
    for inner in fits:
        asked = {_key(entry.draws): entry.draws for f in inner.scored for entry in entries[f]}
        in_layers = sorted(asked.values(), key=lambda draws: str(draws[0].layer))
        draws = [draw for own in in_layers for draw in own]
        said = dict(zip(map(_key_of, draws), ledger.said(inner, draws), strict=True))
        for index, clips in inner.scored.items():
            for entry in entries[index]:
                answers = (said[_key_of(draw)] for draw in entry.draws)
                entry.add(
                    clips, [each if isinstance(each, str) else each[index] for each in answers]
                )


def _key_of(draw: Draw) -> Hashable:
    return draw.layer, tuple(sorted(draw.params.items()))


def _key(draws: Sequence[Draw]) -> Hashable:
    return tuple(map(_key_of, draws))
