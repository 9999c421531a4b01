"""Searches on inner folds, for heads on vectors: what is tried does not depend on any score.

All outer folds of a cell are searched together, since two of them share the fits without both. A
head with a short list of settings tries all of it on every layer, or on the best of a fusion. Of
others, settings that cover their space are tried on the layers that a linear probe finds best, and
run a race: those that lose on the first inner folds are not fitted on the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from math import ceil
from typing import Any, Literal

import numpy as np

from bench.protocols.fold import Fold
from bench.scoring import macro_f1
from bench.tuning.fits.base import Draw, Labels
from bench.tuning.fits.fusion import FusionFit
from bench.tuning.fits.vectors import VectorFit
from bench.tuning.ledger import Ledger, inner_fits
from bench.tuning.outcomes import FoldOutcome, InnerPredictions, Tried, Validated
from bench.tuning.probing import Choice, best_layers, candidates
from bench.tuning.scored import Best, Entry, fill, highest, rungs
from bench.tuning.search import Search, TuningError, refitted

# Of settings in a race, those that go on from the first inner folds, and from those that follow.
GO_ON = (0.16, 0.3)
# Of fewer values one always lies at an end.
_FEW = 3


@dataclass(eq=False)
class _Found:
    """How the search of an outer fold stands.

    Attributes:
        complete: settings that were scored on all inner folds; `pruned` are those that lost before.
        errors: why settings failed.
        curve, by_layer: as of `Tried`.
    """

    best: Best | None = None
    complete: int = 0
    pruned: int = 0
    errors: list[str] = field(default_factory=list)
    curve: list[float] = field(default_factory=list)
    by_layer: list[float] = field(default_factory=list)

    def settle(self, entries: Sequence[Entry], labels: Labels) -> None:
        """These were scored on all inner folds."""
        sound = self.sound(entries)
        for entry in sound:
            best = entry.best(labels)
            if self.best is None or best.score > self.best.score:
                self.best = best
        self.complete += len(sound)

    def sound(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those that have not failed; the others are noted."""
        self.errors += [entry.error for entry in entries if entry.error is not None]
        return [entry for entry in entries if entry.error is None]

    def rise(self, score: float) -> None:
        """One more point of the curve."""
        self.curve.append(max(score, self.curve[-1] if self.curve else score))


@dataclass(frozen=True, eq=False)
class _Searched:
    """What a search of several outer folds gave.

    Attributes:
        found: by outer fold.
        tried: all draws.
        how: as of `Tried`; `count` is how many settings there were for each fold.
        seconds: wall time of all fits.
    """

    found: dict[int, _Found]
    tried: list[Draw]
    how: Literal["every", "best", "race"]
    count: int
    seconds: float

    def chosen(self, fold: Fold) -> tuple[Draw, InnerPredictions]:
        """The best draw of a fold, and what it said of the clips of its inner folds."""
        own = self.found[fold.index]
        if own.best is None:
            raise TuningError(
                f"all {self.count} settings of fold {fold.index} failed: {own.errors[-1]}"
            )
        return own.best.draw, own.best.of(np.concatenate(fold.inner))


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
    searched = _search(fit, labels, folds, search)
    for fold in wanted:
        own, (draw, inner) = searched.found[fold.index], searched.chosen(fold)
        outcome = refitted(fit, draw, fold, search, _validated(inner, labels))
        yield replace(
            outcome,
            inner=inner,
            tried=Tried(
                searched.how,
                searched.count,
                len(fold.inner),
                own.curve,
                *_at_the_ends(draw, searched.tried),
                own.by_layer if searched.how == "every" else [],
            ),
            states={
                "complete": own.complete,
                "pruned": own.pruned,
                "failed": searched.count - own.complete - own.pruned,
            },
            errors=own.errors,
            seconds=searched.seconds / len(folds) + outcome.seconds,
        )


def choose(
    fit: VectorFit, labels: Labels, fold: Fold, search: Search
) -> tuple[Draw, InnerPredictions]:
    """What the search of one fold settles on, and what it said of the clips of inner folds.

    Raises:
        TuningError: every setting failed.
        BudgetSpent: the deadline passed; run again to go on.
        StorageError: what was found cannot be kept.
    """
    return _search(fit, labels, [fold], search).chosen(fold)


def _search(fit: VectorFit, labels: Labels, folds: Sequence[Fold], search: Search) -> _Searched:
    ledger = Ledger(fit, labels.number, search, "head")
    among, probing = candidates(fit, labels, folds, search)
    how: Literal["every", "best", "race"] = "race"
    grid = fit.grid()
    if grid is not None:
        how = "best" if isinstance(fit, FusionFit) else "every"
        found, tried = _every(grid, among, ledger, labels, folds, search)
        count = len(grid) * max(map(len, among.values()))
    else:
        among, seconds = best_layers(fit, among, labels, folds, search)
        found, tried = _race(fit, among, ledger, labels, folds, search)
        count, probing = search.trials, probing + seconds
    return _Searched(found, tried, how, count, ledger.seconds + probing)


def _every(
    grid: Sequence[dict[str, Any]],
    among: Choice,
    ledger: Ledger,
    labels: Labels,
    folds: Sequence[Fold],
    search: Search,
) -> tuple[dict[int, _Found], list[Draw]]:
    """Every setting on all inner folds, layer by layer, and all that was tried."""
    found = {fold.index: _Found() for fold in folds}
    draws: list[Draw] = []
    for layers in zip(*among.values(), strict=True):
        entries = {
            index: [Entry.of(Draw(layer, setting)) for setting in grid]
            for index, layer in zip(among, layers, strict=True)
        }
        fill(inner_fits(folds), entries, ledger)
        for index, tried in entries.items():
            found[index].settle(tried, labels)
            found[index].by_layer.append(max(entry.score(labels) for entry in tried))
            found[index].rise(found[index].by_layer[-1])
            draws += [entry.draws[0] for entry in tried]
        search.on_trial(len(grid) * len(folds))
    return found, draws


def _race(
    fit: VectorFit,
    among: Choice,
    ledger: Ledger,
    labels: Labels,
    folds: Sequence[Fold],
    search: Search,
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
        for index, layers in among.items()
    }
    first, *later = rungs(folds)
    left = {
        index: [Entry(own[:1] if later else own, own) for own in tried]
        for index, tried in every.items()
    }
    fill(first, left, ledger)
    for index, tried in left.items():
        for entry in tried:
            found[index].rise(entry.score(labels))
    for rung, share in zip(later, chain(GO_ON, repeat(GO_ON[-1])), strict=False):
        for index, tried in left.items():
            sound = found[index].sound(tried)
            left[index] = highest(sound, ceil(share * len(sound)), labels)
            found[index].pruned += len(sound) - len(left[index])
            search.on_trial(len(tried) - len(left[index]))
        if rung is later[0] and any(len(own) > 1 for tried in every.values() for own in tried):
            left = {i: [Entry(e.variants, e.variants) for e in own] for i, own in left.items()}
            fill(first, left, ledger)
        fill(rung, left, ledger)
    for index, tried in left.items():
        found[index].settle(tried, labels)
        search.on_trial(len(tried))
    return found, [draw for tried in every.values() for own in tried for draw in own]


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
