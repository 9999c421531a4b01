"""Optuna: one study per cell and outer fold. The objective never sees a test clip."""

from __future__ import annotations

import math
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FixedTrial, FrozenTrial, Trial, TrialState, create_trial
from pydantic import TypeAdapter

from bench.errors import VoxgridError, place
from bench.features.key import digest
from bench.plugins import HEADS
from bench.protocols.fold import Fold
from bench.scoring import macro_f1
from bench.tuning.fits.base import Draw, Fit, Labels, Watch
from bench.tuning.outcomes import FINITE, FoldOutcome, Tested, Validated
from heads import Epoch, FitDiverged, OutOfMemory

# What a head may raise on a legitimate draw from its search space; the trial fails, not the cell.
TRIAL_ERRORS = (ValueError, ArithmeticError, np.linalg.LinAlgError, FitDiverged, OutOfMemory)
# By the name of its study; see `recalled`.
Recall = Callable[[str, FrozenTrial], Draw | None]
# The first trials and epochs say too little to stop a trial for being worse than the median.
_UNPRUNED_TRIALS = 2
_UNPRUNED_EPOCHS = 2


class TuningError(VoxgridError):
    """No trial of a study completed."""


class BudgetSpent(VoxgridError):
    """The time budget ended before the study did; its trials are kept."""


@dataclass(frozen=True)
class _Kept:
    """What a study keeps of a trial that has ended, beside what it drew."""

    validated: Validated | None = None
    error: str | None = None


# Read what `asdict` and JSON made of one; what has numbers of its own type is in a tuple, since the
# type alone would keep its own settings.
_VALIDATED = TypeAdapter(Validated)
_KEPT = TypeAdapter(tuple[_Kept, dict[int, float]], config=FINITE)


def verify(storage: BaseStorage, recall: Recall) -> None:
    """Read all that a search would go on from; `recall` draws again what a trial drew.

    Raises:
        Exception: something there is not what this search leaves, whatever it makes Optuna raise.
    """
    for study in storage.get_all_studies():
        if study.directions != [StudyDirection.MAXIMIZE]:
            raise ValueError("its best trial is another than ours")
        for trial in storage.get_all_trials(study._study_id, deepcopy=False):
            kept, _ = _KEPT.validate_python((trial.user_attrs, trial.intermediate_values))
            _seconds(trial)
            drawn = recall(study.study_name, trial)
            if trial.state == TrialState.COMPLETE:
                if drawn is None or kept.validated is None or trial.value is None:
                    raise ValueError("a trial lacks what it gave")
                if not math.isfinite(trial.value):
                    raise ValueError("a trial gave no number")
                epochs, best = kept.validated.curve, kept.validated.best_epoch
                if best is not None and not 0 <= best < len(epochs):
                    raise ValueError("its best epoch is none of its epochs")


def recalled(fit: Fit, trial: FrozenTrial, clips: int, recipe: Draw | None) -> Draw | None:
    """What a trial of a fit on so many clips drew; None where it was killed before it had.

    A study says with which values, and what they mean is asked of the search space anew.

    Raises:
        ValueError: it drew them from another search space.
    """
    # refuses a value out of its range
    create_trial(params=trial.params, distributions=trial.distributions, value=0.0)
    again = FixedTrial(trial.params)
    try:
        drawn = recipe or fit.draw(cast(Trial, again), clips)
    except ValueError:
        drawn = None
    if again.distributions != trial.distributions:
        raise ValueError("it drew from another search space")
    return drawn


def study_of(fold: Fold) -> str:
    """Name of the study of an outer fold."""
    return f"fold-{fold.index}"


def open_study(storage: BaseStorage, name: str) -> optuna.Study:
    """A study to go on with: trials a killed process left running are marked as failed."""
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(_UNPRUNED_TRIALS, _UNPRUNED_EPOCHS),
    )
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that count towards the total: interrupted ones do not."""
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or "error" in trial.user_attrs
    ]


@dataclass(frozen=True)
class Search:
    """How the folds of a cell are tuned.

    Attributes:
        trials: total per study, earlier runs' included.
        seed_for: seed from names; the sampler is seeded anew per trial, so that an interrupted
            study draws what an uninterrupted one would have drawn.
        folder: for checkpoints and outcomes of finished folds.
        deadline: `time.time()` at which to stop, or None.
        recipe: what to run instead of drawing from the search space.
        seeds: how often the refit is made, each time with another seed.
        on_trial: called with the number of newly known trials.
        on_epoch: called with the fold's index, the trial's (None for the refit) and the epoch.
    """

    trials: int
    seed_for: Callable[..., int]
    folder: Path
    deadline: float | None = None
    recipe: Draw | None = None
    seeds: int = 1
    on_trial: Callable[[int], None] = lambda count: None
    on_epoch: Callable[[int, int | None, Epoch], None] = lambda fold, trial, epoch: None

    def check_budget(self, words: str) -> None:
        """Stop where the deadline has passed.

        Raises:
            BudgetSpent: saying after what.
        """
        if self.deadline is not None and time.time() > self.deadline:
            raise BudgetSpent(f"budget spent after {words}")


def tune_fold(
    fit: Fit, labels: Labels, fold: Fold, storage: BaseStorage, search: Search
) -> FoldOutcome:
    """Tune on train → validation, refit on both, predict the test clips once.

    An unfinished study in the storage goes on to `search.trials` in total.

    Raises:
        TuningError: every trial failed.
        BudgetSpent: the deadline passed; run again to go on.
    """
    study = open_study(storage, study_of(fold))
    done = finished_trials(study)
    search.on_trial(len(done))
    while len(done) < search.trials:
        search.check_budget(f"{len(done)} of {search.trials} trials")
        first = {} if done else fit.first(len(fold.train))
        study.sampler = _sampler(search.seed_for(fold.index, "sampler", len(done)), first)
        _run_trial(study, fit, labels, fold, search, len(done))
        done = finished_trials(study)
        search.on_trial(1)
    return _outcome(study, fit, fold, search)


def _outcome(study: optuna.Study, fit: Fit, fold: Fold, search: Search) -> FoldOutcome:
    """What the best trial of a study says of the test clips."""
    done = finished_trials(study)
    complete = [t for t in done if t.state == TrialState.COMPLETE]
    errors = [t.user_attrs["error"] for t in done if "error" in t.user_attrs]
    if not complete:
        reason = errors[-1] if errors else "all were pruned"
        raise TuningError(f"all {len(done)} trials of fold {fold.index} failed: {reason}")
    best = study.best_trial
    draw = recalled(fit, best, len(fold.train), search.recipe)
    assert draw is not None  # a trial that is complete has drawn
    validated = _VALIDATED.validate_python(best.user_attrs["validated"])
    notes = [note for t in complete for note in t.user_attrs["validated"]["notes"]]
    outcome = refitted(fit, draw, fold, search, validated)
    return replace(
        outcome,
        best_params=draw.params if search.recipe else best.params,
        states={
            "complete": len(complete),
            "pruned": sum(t.state == TrialState.PRUNED for t in done),
            "failed": len(errors),
        },
        errors=errors,
        notes=list(dict.fromkeys([*notes, *outcome.notes])),
        seconds=sum(map(_seconds, done)) + outcome.seconds,
    )


def refitted(fit: Fit, draw: Draw, fold: Fold, search: Search, validated: Validated) -> FoldOutcome:
    """What the chosen draw says of the test clips, which are predicted here and once.

    The outcome tells of this one fit; what was searched before is for the caller to add.
    """
    began = time.perf_counter()
    tested, *again = (
        _test(fit, fit.refit(draw, validated.best_epoch), fold, search, seed)
        for seed in range(search.seeds)
    )
    return FoldOutcome(
        best_params={**fit.said(draw.layer), **draw.params},
        layer=draw.layer,
        validated=validated,
        tested=tested,
        states={"complete": 1, "pruned": 0, "failed": 0},
        errors=[],
        notes=list(tested.notes),
        seconds=time.perf_counter() - began,
        again=[each.probabilities for each in again],
    )


def _validate(
    fit: Fit, labels: Labels, draw: Draw, fold: Fold, seed: int, watch: Watch
) -> Validated:
    """Fit on the training clips and score on the validation clips."""
    fitted = fit.fit(draw, fold.train, seed, watch)
    predicted = fitted.predict(fold.validation).argmax(axis=1)
    truth = labels.classes[fold.validation]
    return Validated(
        accuracy=float(np.mean(predicted == truth)),
        macro_f1=macro_f1(truth, predicted),
        best_epoch=fitted.best_epoch,
        curve=fitted.curve,
        notes=fitted.notes,
        precision=fitted.precision,
        live=fitted.live,
    )


def _test(fit: Fit, draw: Draw, fold: Fold, search: Search, seed: int) -> Tested:
    """Fit on training and validation clips and predict the test clips, once."""
    again = () if seed == 0 else (seed,)

    def follow(epoch: Epoch) -> None:
        search.on_epoch(fold.index, None, epoch)
        search.check_budget(f"epoch {epoch.index + 1} of the refit, from where it goes on")

    name = "-".join(["refit", _mark(draw), *map(str, again)])
    watch = Watch(search.folder / f"fold-{fold.index}" / name, on_epoch=follow)
    clips = np.concatenate([fold.train, fold.validation])
    fitted = fit.fit(draw, clips, search.seed_for(fold.index, "fit", *again), watch)
    began = time.perf_counter()
    probabilities = fitted.predict(fold.test)
    return Tested(probabilities, len(fold.test) / (time.perf_counter() - began), fitted.notes)


def _seconds(trial: FrozenTrial) -> float:
    """Wall time of a trial; of one that was resumed, at least that of all its epochs."""
    lasted = trial.duration.total_seconds() if trial.duration is not None else 0.0
    curve = trial.user_attrs.get("validated", {}).get("curve", ())
    return max(lasted, sum(epoch["seconds"] for epoch in curve))


def _sampler(seed: int, fixed: dict[str, Any]) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # With the default of 10 random starts a study of 10 trials would be a random search. The
        # number is fixed, so that a study extended to more trials is the study of that total.
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, multivariate=True)
        return optuna.samplers.PartialFixedSampler(fixed, sampler) if fixed else sampler


def _run_trial(
    study: optuna.Study, fit: Fit, labels: Labels, fold: Fold, search: Search, position: int
) -> None:
    trial = study.ask()

    def follow(epoch: Epoch) -> None:
        search.on_epoch(fold.index, position, epoch)
        search.check_budget(f"epoch {epoch.index + 1} of a trial, from where it goes on")
        if epoch.validation_macro_f1 is not None:
            trial.report(epoch.validation_macro_f1, epoch.index)
            # a recipe is not searched for, so nothing is better than it
            if search.recipe is None and trial.should_prune():
                raise optuna.TrialPruned

    draw = search.recipe or fit.draw(trial, len(fold.train))
    # a killed trial is drawn again with the same position and draw, and finds its checkpoint
    folder = search.folder / f"fold-{fold.index}" / f"trial-{position}-{_mark(draw)}"
    watch = Watch(folder, fold.validation, follow)
    try:
        found = _validate(fit, labels, draw, fold, search.seed_for(fold.index, "fit"), watch)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except TRIAL_ERRORS as error:
        trial.set_user_attr("error", told(error))
        study.tell(trial, state=TrialState.FAIL)
    else:
        trial.set_user_attr("validated", asdict(found))
        study.tell(trial, found.macro_f1)
    shutil.rmtree(folder, ignore_errors=True)


def told(error: Exception) -> str:
    """Why a trial failed, with the place in a head of another package."""
    return f"{type(error).__name__}: {error}{place(error, *HEADS.origins(), ours=False)}"


def _mark(draw: Draw) -> str:
    return digest(asdict(draw))[:12]
