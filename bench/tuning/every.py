"""A search that tries every setting of a head, scored on inner folds.

Nothing is drawn: the settings are the same for every outer fold and no score decides what is tried,
so that another processor tries the same, and two outer folds share the fits without both of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from itertools import groupby

import numpy as np
from optuna.storages import BaseStorage
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from bench.protocols.fold import Fold
from bench.scoring import macro_f1
from bench.tuning.fits.base import Classes, Draw, Fit, Fitted, Indices, Labels, Request, Watch
from bench.tuning.search import (
    TRIAL_ERRORS,
    FoldOutcome,
    Search,
    Validated,
    finished_trials,
    open_study,
    outcome_of,
    study_of,
    told,
)


@dataclass(frozen=True, eq=False)
class _InnerFit:
    """Clips to fit on, and by outer fold the clips that the fit is scored on for it."""

    train: Indices
    scored: dict[int, Indices] = field(default_factory=dict)


@dataclass(eq=False)
class _Pooled:
    """What a draw said of the validation clips of an outer fold's inner folds so far.

    Attributes:
        truth, predicted: classes (clips,), one array per inner fold.
        error: why a fit failed; the trial fails with it.
    """

    truth: list[Classes] = field(default_factory=list)
    predicted: list[Classes] = field(default_factory=list)
    error: str | None = None


def tune_every(
    fit: Fit,
    labels: Labels,
    folds: Sequence[Fold],
    wanted: Sequence[Fold],
    storage: BaseStorage,
    search: Search,
) -> Iterator[FoldOutcome]:
    """Try every setting for the wanted ones of a cell's folds, then refit and test fold by fold.

    The objective is the macro-F1 over the predictions of all inner folds together. A layer is
    finished for all folds before the next begins; an unfinished study goes on with its next layer.

    Raises:
        TuningError: every setting failed.
        BudgetSpent: the deadline passed; run again to go on.
    """
    every = fit.every() or ()
    fits = _inner_fits(folds)
    studies = {fold.index: open_study(storage, study_of(fold)) for fold in wanted}
    for number, (_, group) in enumerate(groupby(every, key=lambda draw: draw.layer)):
        draws = list(group)
        behind = number * len(draws)
        open_ = [f for f in wanted if len(finished_trials(studies[f.index])) < behind + len(draws)]
        search.on_trial(len(draws) * (len(wanted) - len(open_)))
        if not open_:
            continue
        search.check_budget(f"{number} layers of {len(every) // len(draws)}")
        began = time.perf_counter()
        pooled = _predicted(fit, labels, draws, fits, [fold.index for fold in open_], search)
        each = timedelta(seconds=time.perf_counter() - began) / (len(draws) * len(open_))
        for fold in open_:
            study = studies[fold.index]
            # of a layer that a kill cut short, those that are not kept yet
            done = len(finished_trials(study)) - behind
            for draw, found in list(zip(draws, pooled[fold.index], strict=True))[done:]:
                study.add_trial(_trial(fit, draw, found, each, len(fold.train)))
            search.on_trial(len(draws))
    for fold in wanted:
        outcome = outcome_of(studies[fold.index], fit, fold, search)
        count = len(fold.inner)
        where = f"{count} inner folds" if count > 1 else "the validation part"
        told = f"every one of {len(every)} settings was tried, and scored on {where}"
        yield replace(outcome, notes=[told, *outcome.notes])


def _inner_fits(folds: Sequence[Fold]) -> list[_InnerFit]:
    """The fits of all inner folds; those on the same clips are one."""
    found: dict[bytes, _InnerFit] = {}
    for fold in folds:
        for scored in fold.inner:
            train = np.setdiff1d(fold.rest, scored)
            found.setdefault(train.tobytes(), _InnerFit(train)).scored[fold.index] = scored
    return list(found.values())


def _predicted(
    fit: Fit,
    labels: Labels,
    draws: Sequence[Draw],
    fits: Sequence[_InnerFit],
    folds: Sequence[int],
    search: Search,
) -> dict[int, list[_Pooled]]:
    """What each draw of a layer says of the validation clips, by outer fold."""
    pooled = {fold: [_Pooled() for _ in draws] for fold in folds}
    watch = Watch(search.folder / "inner")
    seed = search.seed_for("inner", "fit")
    for inner in fits:
        asked = {fold: clips for fold, clips in inner.scored.items() if fold in pooled}
        if not asked:
            continue
        clips = np.concatenate(list(asked.values()))
        ends = np.cumsum([len(part) for part in asked.values()])[:-1]
        requests = [Request(draw, inner.train, seed, watch) for draw in draws]
        for position, said in enumerate(_said(fit, requests, clips)):
            if isinstance(said, str):
                for fold in asked:
                    pooled[fold][position].error = said
                continue
            for (fold, own), part in zip(asked.items(), np.split(said, ends), strict=True):
                pooled[fold][position].truth.append(labels.classes[own])
                pooled[fold][position].predicted.append(part)
    return pooled


def _said(fit: Fit, requests: Sequence[Request], clips: Indices) -> Iterator[Classes | str]:
    """The class of each clip (clips,) by every fit, or why it failed; one failure ends no other."""
    done = 0
    while done < len(requests):
        try:
            for fitted in fit.fit_many(requests[done:]):
                done += 1
                yield _classes(fitted, clips)
        except TRIAL_ERRORS as error:
            done += 1
            yield told(error)


def _classes(fitted: Fitted, clips: Indices) -> Classes | str:
    try:
        return fitted.predict(clips).argmax(axis=1)
    except TRIAL_ERRORS as error:
        return told(error)


def _trial(fit: Fit, draw: Draw, pooled: _Pooled, lasted: timedelta, clips: int) -> FrozenTrial:
    """A finished trial, as if Optuna had drawn it."""
    given = {"layer": draw.layer, **draw.params}
    fixed = FixedTrial(given)
    fit.draw(fixed, clips)  # type: ignore[arg-type]
    space = fixed.distributions
    params = {name: given[name] for name in space}
    if pooled.error is not None:
        trial = create_trial(
            state=TrialState.FAIL,
            params=params,
            distributions=space,
            user_attrs={"error": pooled.error},
        )
    else:
        truth, predicted = np.concatenate(pooled.truth), np.concatenate(pooled.predicted)
        found = Validated(float(np.mean(truth == predicted)), macro_f1(truth, predicted))
        trial = create_trial(
            value=found.macro_f1,
            params=params,
            distributions=space,
            user_attrs={"validated": asdict(found)},
        )
    assert trial.datetime_complete is not None
    trial.datetime_start = trial.datetime_complete - lasted
    return trial
