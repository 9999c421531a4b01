"""Searches on inner folds, for heads on vectors: what is tried does not depend on any score.

All outer folds of a cell are searched together, since two of them share the fits without both. A
head with a short list of settings tries all of it on every layer. Of others, settings that cover
their space are tried on the layers that a linear probe finds best, and run a race: those that lose
on the first inner folds are not fitted on the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, repeat
from math import ceil
from typing import Literal

import numpy as np

from bench.protocols.fold import Fold
from bench.scoring import macro_f1
from bench.tuning.fits.base import Draw, Indices, Labels, Layer
from bench.tuning.fits.vectors import VectorFit
from bench.tuning.ledger import InnerFit, Ledger, Said, inner_fits
from bench.tuning.outcomes import FoldOutcome, InnerPredictions, Tried, Validated
from bench.tuning.search import Search, TuningError, refitted

# Layers that are probed on more than the first inner folds, and those that settings are tried on.
LAYERS = (6, 3)
# Of settings in a race, those that go on from the first inner folds, and from those that follow.
GO_ON = (0.16, 0.3)
# Of fewer values one always lies at an end.
_FEW = 3


@dataclass(frozen=True, eq=False)
class _Best:
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
class _Entry:
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

    def add(self, clips: Indices, said: Sequence[Said | str]) -> None:
        """What the draws said of one more inner fold."""
        errors = [each for each in said if isinstance(each, str)]
        if errors:
            self.error = errors[-1]
        self.clips.append(clips)
        self.said.append([each for each in said if not isinstance(each, str)])

    def best(self, labels: Labels) -> _Best:
        """Which draw has the highest macro-F1 over all these clips together."""
        clips = np.concatenate(self.clips)
        truth = labels.classes[clips]
        said = [np.concatenate(own) for own in zip(*self.said, strict=True)]
        scores = [macro_f1(truth, own.argmax(axis=1)) for own in said]
        place = int(np.argmax(scores))
        return _Best(scores[place], self.draws[place], clips, said[place])

    def score(self, labels: Labels) -> float:
        """That macro-F1, or 0 where a fit failed."""
        return self.best(labels).score if self.error is None else 0.0


@dataclass(eq=False)
class _Found:
    """How the search of an outer fold stands.

    Attributes:
        complete: settings that were scored on all inner folds; `pruned` are those that lost before.
        errors: why settings failed.
        curve, by_layer: as of `Tried`.
    """

    best: _Best | None = None
    complete: int = 0
    pruned: int = 0
    errors: list[str] = field(default_factory=list)
    curve: list[float] = field(default_factory=list)
    by_layer: list[float] = field(default_factory=list)

    def settle(self, entries: Sequence[_Entry], labels: Labels) -> None:
        """These were scored on all inner folds."""
        sound = self.sound(entries)
        for entry in sound:
            best = entry.best(labels)
            if self.best is None or best.score > self.best.score:
                self.best = best
        self.complete += len(sound)

    def sound(self, entries: Sequence[_Entry]) -> list[_Entry]:
        """Those that have not failed; the others are noted."""
        self.errors += [entry.error for entry in entries if entry.error is not None]
        return [entry for entry in entries if entry.error is None]

    def rise(self, score: float) -> None:
        """One more point of the curve."""
        self.curve.append(max(score, self.curve[-1] if self.curve else score))


def tune_inner(
    fit: VectorFit, labels: Labels, folds: Sequence[Fold], wanted: Sequence[Fold], search: Search
) -> Iterator[FoldOutcome]:
    """Search for all of a cell's folds, then refit and test the wanted ones, fold by fold.

    The objective is the macro-F1 over the predictions of all inner folds together.

    Raises:
        TuningError: every setting failed.
        BudgetSpent: the deadline passed; run again to go on.
        StorageError: what was found cannot be kept.
    """
    ledger = Ledger(fit, labels.number, search, "head")
    how: Literal["every", "race"] = "race"
    tried = fit.every()
    if tried is not None:
        how, count = "every", len(tried)
        found = _every(tried, ledger, labels, folds, search)
    else:
        found, tried = _race(fit, ledger, labels, folds, search)
        count = search.trials
    searching = ledger.seconds / len(folds)
    for fold in wanted:
        own = found[fold.index]
        if own.best is None:
            raise TuningError(f"all {count} settings of fold {fold.index} failed: {own.errors[-1]}")
        draw = own.best.draw
        inner = own.best.of(np.concatenate(fold.inner))
        outcome = refitted(fit, draw, fold, search, _validated(inner, labels))
        yield replace(
            outcome,
            inner=inner,
            tried=Tried(
                how, count, len(fold.inner), own.curve, *_at_the_ends(draw, tried), own.by_layer
            ),
            states={
                "complete": own.complete,
                "pruned": own.pruned,
                "failed": count - own.complete - own.pruned,
            },
            errors=own.errors,
            seconds=searching + outcome.seconds,
        )


def _every(
    every: Sequence[Draw], ledger: Ledger, labels: Labels, folds: Sequence[Fold], search: Search
) -> dict[int, _Found]:
    """Every draw on all inner folds, layer by layer."""
    found = {fold.index: _Found() for fold in folds}
    for _, group in groupby(every, key=lambda draw: draw.layer):
        draws = [(draw,) for draw in group]
        entries = {index: [_Entry(own, own) for own in draws] for index in found}
        _fill(inner_fits(folds), entries, ledger)
        for index, tried in entries.items():
            found[index].settle(tried, labels)
            found[index].by_layer.append(max(entry.score(labels) for entry in tried))
            found[index].rise(found[index].by_layer[-1])
        search.on_trial(len(draws) * len(folds))
    return found


def _race(
    fit: VectorFit, ledger: Ledger, labels: Labels, folds: Sequence[Fold], search: Search
) -> tuple[dict[int, _Found], list[Draw]]:
    """Drawn settings on the best layers of each fold, and all that was tried.

    First only the first variant of each setting is fitted, which costs least. Those that go on are
    fitted with all their variants, on the first inner folds too.
    """
    settings = fit.settings(search.trials, min(len(fold.train) for fold in folds))
    found = {fold.index: _Found() for fold in folds}
    every = {
        index: [
            fit.variants(layers[setting.rank(len(layers))], setting.params) for setting in settings
        ]
        for index, layers in _best_layers(fit, ledger, labels, folds, search).items()
    }
    first, *later = _rungs(folds)
    left = {
        index: [_Entry(own[:1] if later else own, own) for own in tried]
        for index, tried in every.items()
    }
    _fill(first, left, ledger)
    for index, tried in left.items():
        for entry in tried:
            found[index].rise(entry.score(labels))
    for rung, share in zip(later, chain(GO_ON, repeat(GO_ON[-1])), strict=False):
        for index, tried in left.items():
            sound = found[index].sound(tried)
            left[index] = _highest(sound, ceil(share * len(sound)), labels)
            found[index].pruned += len(sound) - len(left[index])
            search.on_trial(len(tried) - len(left[index]))
        if rung is later[0] and any(len(own) > 1 for tried in every.values() for own in tried):
            left = {i: [_Entry(e.variants, e.variants) for e in own] for i, own in left.items()}
            _fill(first, left, ledger)
        _fill(rung, left, ledger)
    for index, tried in left.items():
        found[index].settle(tried, labels)
        search.on_trial(len(tried))
    return found, [draw for tried in every.values() for own in tried for draw in own]


def _best_layers(
    fit: VectorFit, ledger: Ledger, labels: Labels, folds: Sequence[Fold], search: Search
) -> dict[int, list[Layer]]:
    """By outer fold the few layers that a linear probe finds best on its first inner folds."""
    if fit.layers == 1:
        return {fold.index: [0] for fold in folds}
    probe = fit.probe()
    draws = [(draw,) for draw in probe.every() or ()]
    probing = Ledger(probe, labels.number, search, "probe")
    left = {fold.index: [_Entry(own, own) for own in draws] for fold in folds}
    for rung, count in zip(_rungs(folds), LAYERS, strict=False):
        _fill(rung, left, probing)
        left = {index: _highest(tried, count, labels) for index, tried in left.items()}
    ledger.seconds += probing.seconds
    return {
        index: [entry.draws[0].layer for entry in tried[: LAYERS[-1]]]
        for index, tried in left.items()
    }


def _highest(entries: Sequence[_Entry], count: int, labels: Labels) -> list[_Entry]:
    """So many entries with the highest scores, the best first."""
    return sorted(entries, key=lambda entry: -entry.score(labels))[:count]


def _rungs(folds: Sequence[Fold]) -> list[list[InnerFit]]:
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


def _fill(
    fits: Sequence[InnerFit], entries: Mapping[int, Sequence[_Entry]], ledger: Ledger
) -> None:
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


def _validated(inner: InnerPredictions, labels: Labels) -> Validated:
    truth, predicted = labels.classes[inner.clips], inner.probabilities.argmax(axis=1)
    return Validated(float(np.mean(truth == predicted)), macro_f1(truth, predicted))


def _at_the_ends(draw: Draw, tried: Sequence[Draw]) -> tuple[list[str], list[str]]:
    """Parameters whose value is the lowest, and the highest, of many that were tried."""
    lowest, highest = [], []
    for name, value in draw.params.items():
        values = {other.params[name] for other in tried}
        if isinstance(value, bool | str) or len(values) < _FEW:
            continue
        if value == min(values):
            lowest.append(name)
        elif value == max(values):
            highest.append(name)
    return lowest, highest


def _key_of(draw: Draw) -> Hashable:
    return draw.layer, tuple(sorted(draw.params.items()))


def _key(draws: Sequence[Draw]) -> Hashable:
    return tuple(map(_key_of, draws))
