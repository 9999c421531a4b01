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
from itertools import groupby
from math import ceil
from typing import Literal

import numpy as np

from bench.protocols.fold import Fold
from bench.scoring import macro_f1
from bench.tuning.fits.base import Classes, Draw, Labels, Layer, Probabilities
from bench.tuning.fits.vectors import VectorFit
from bench.tuning.ledger import InnerFit, Ledger, inner_fits
from bench.tuning.search import (
    FoldOutcome,
    InnerPredictions,
    Search,
    Tried,
    TuningError,
    Validated,
    refitted,
)

# Layers that drawn settings are tried on, the best by a linear probe.
_LAYERS = 3
# Rungs of the race that the probe looks at: more of its inner folds change the order little.
_PROBED = 2
# Of settings in a race, those that go on to the next inner folds.
_GO_ON = 0.25
# Of fewer values one always lies at an end.
_FEW = 3


@dataclass(eq=False)
class _Entry:
    """Draws of one fit, and what they said of the clips of an outer fold's inner folds so far.

    Attributes:
        predicted: classes (clips,) by draw, one array per inner fold.
        error: why a fit failed.
    """

    draws: tuple[Draw, ...]
    truth: list[Classes] = field(default_factory=list)
    predicted: list[list[Classes]] = field(default_factory=list)
    error: str | None = None

    def add(self, truth: Classes, said: Sequence[Classes | str]) -> None:
        """What the draws said of one more inner fold."""
        errors = [each for each in said if isinstance(each, str)]
        if errors:
            self.error = errors[-1]
        self.truth.append(truth)
        self.predicted.append([each for each in said if not isinstance(each, str)])

    def best(self) -> tuple[float, Draw]:
        """The highest macro-F1 over all these clips together, and whose it is."""
        truth = np.concatenate(self.truth)
        scores = [macro_f1(truth, np.concatenate(own)) for own in zip(*self.predicted, strict=True)]
        place = int(np.argmax(scores))
        return scores[place], self.draws[place]


@dataclass(eq=False)
class _Found:
    """How the search of an outer fold stands.

    Attributes:
        best: the highest macro-F1 so far, and whose it is.
        complete: settings that were scored on all inner folds; `pruned` are those that lost before.
        errors: why settings failed.
        curve: as of `Tried`.
    """

    best: tuple[float, Draw] | None = None
    complete: int = 0
    pruned: int = 0
    errors: list[str] = field(default_factory=list)
    curve: list[float] = field(default_factory=list)

    def settle(self, entries: Sequence[_Entry]) -> None:
        """These were scored on all inner folds."""
        for entry in entries:
            score = entry.best()
            if self.best is None or score[0] > self.best[0]:
                self.best = score
        self.complete += len(entries)

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
    known: dict[Hashable, dict[int, Probabilities]] = {}
    for fold in wanted:
        own = found[fold.index]
        if own.best is None:
            raise TuningError(f"all {count} settings of fold {fold.index} failed: {own.errors[-1]}")
        draw, before = own.best[1], ledger.seconds
        inner = _predictions(draw, fold, folds, ledger, known)
        outcome = refitted(fit, draw, fold, search, _validated(inner, labels))
        yield replace(
            outcome,
            inner=inner,
            tried=Tried(how, count, len(fold.inner), own.curve, *_at_the_ends(draw, tried)),
            states={
                "complete": own.complete,
                "pruned": own.pruned,
                "failed": count - own.complete - own.pruned,
            },
            errors=own.errors,
            seconds=searching + ledger.seconds - before + outcome.seconds,
        )


def _every(
    every: Sequence[Draw], ledger: Ledger, labels: Labels, folds: Sequence[Fold], search: Search
) -> dict[int, _Found]:
    """Every draw on all inner folds, layer by layer."""
    found = {fold.index: _Found() for fold in folds}
    for _, group in groupby(every, key=lambda draw: draw.layer):
        draws = list(group)
        entries = {index: [_Entry((draw,)) for draw in draws] for index in found}
        _fill(inner_fits(folds), entries, ledger, labels)
        for index, own in entries.items():
            sound = found[index].sound(own)
            found[index].settle(sound)
            found[index].rise(max((entry.best()[0] for entry in sound), default=0.0))
        search.on_trial(len(draws) * len(folds))
    return found


def _race(
    fit: VectorFit, ledger: Ledger, labels: Labels, folds: Sequence[Fold], search: Search
) -> tuple[dict[int, _Found], list[Draw]]:
    """Drawn settings on the best layers of each fold, and all that was tried."""
    settings = fit.settings(search.trials, min(len(fold.train) for fold in folds))
    found = {fold.index: _Found() for fold in folds}
    left = {
        index: [
            _Entry(fit.variants(layers[setting.rank(len(layers))], setting.params))
            for setting in settings
        ]
        for index, layers in _best_layers(fit, ledger, labels, folds, search).items()
    }
    tried = [draw for own in left.values() for entry in own for draw in entry.draws]
    rungs = _rungs(folds)
    for number, rung in enumerate(rungs, start=1):
        _fill(rung, left, ledger, labels)
        for index, own in left.items():
            if number == 1:
                for entry in own:
                    found[index].rise(entry.best()[0] if entry.error is None else 0.0)
            sound = found[index].sound(own)
            if number < len(rungs):
                ranked = sorted(sound, key=lambda entry: -entry.best()[0])
                go_on = ranked[: ceil(len(ranked) * _GO_ON)]
                found[index].pruned += len(sound) - len(go_on)
                left[index] = go_on
                search.on_trial(len(own) - len(go_on))
            else:
                found[index].settle(sound)
                search.on_trial(len(own))
    return found, tried


def _best_layers(
    fit: VectorFit, ledger: Ledger, labels: Labels, folds: Sequence[Fold], search: Search
) -> dict[int, list[Layer]]:
    """By outer fold the few layers that a linear probe finds best on its inner folds."""
    if fit.layers == 1:
        return {fold.index: [0] for fold in folds}
    probe = fit.probe()
    draws = probe.every() or ()
    probing = Ledger(probe, labels.number, search, "probe")
    entries = {fold.index: [_Entry((draw,)) for draw in draws] for fold in folds}
    for rung in _rungs(folds)[:_PROBED]:
        _fill(rung, entries, probing, labels)
    ledger.seconds += probing.seconds
    best = {}
    for index, own in entries.items():
        scores = [entry.best()[0] if entry.error is None else 0.0 for entry in own]
        ranked = sorted(range(len(own)), key=lambda place: -scores[place])
        best[index] = [own[place].draws[0].layer for place in ranked[:_LAYERS]]
    return best


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
    fits: Sequence[InnerFit],
    entries: Mapping[int, Sequence[_Entry]],
    ledger: Ledger,
    labels: Labels,
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
                    labels.classes[clips],
                    [each if isinstance(each, str) else each[index] for each in answers],
                )


def _predictions(
    draw: Draw,
    fold: Fold,
    folds: Sequence[Fold],
    ledger: Ledger,
    known: dict[Hashable, dict[int, Probabilities]],
) -> InnerPredictions:
    """What a draw says of the clips of all inner folds; `known` is what folds before had of it."""
    clips, found = [], []
    for inner in inner_fits(folds):
        if fold.index not in inner.scored:
            continue
        key = _key_of(draw), inner.train.tobytes()
        if key not in known:
            parts = list(inner.scored.values())
            said = ledger.probabilities(draw, inner.train, np.concatenate(parts))
            ends = np.cumsum([len(part) for part in parts])[:-1]
            known[key] = dict(zip(inner.scored, np.split(said, ends), strict=True))
        clips.append(inner.scored[fold.index])
        found.append(known[key][fold.index])
    return InnerPredictions(np.concatenate(clips), np.concatenate(found))


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
