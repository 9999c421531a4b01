"""Optuna: one study per cell and outer fold. The objective never sees a test clip."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from bench.errors import VoxgridError
from bench.features.store import digest
from bench.protocols.fold import Fold
from bench.tuning.fits.vectors import Draw, Layer, Problem, Tested, Validated, Watch
from heads import FitDiverged, OutOfMemory
from heads.sequences import Epoch

# What a head may raise on a legitimate draw from its search space; the trial fails, not the cell.
_TRIAL_ERRORS = (ValueError, ArithmeticError, np.linalg.LinAlgError, FitDiverged, OutOfMemory)
# The first trials and epochs say too little to stop a trial for being worse than the median.
_UNPRUNED_TRIALS = 2
_UNPRUNED_EPOCHS = 2


class TuningError(VoxgridError):
    """No trial of a study completed."""


class BudgetSpent(VoxgridError):
    """The time budget ended before the study did; its trials are kept."""


@dataclass(frozen=True)
class FoldOutcome:
    """What one outer fold gave.

    Attributes:
        best_params: as drawn, the layer included; the whole recipe where nothing was tuned.
        layer: the tuned layer, or `weighted`.
        validated: what the best trial gave on the validation clips.
        tested: what its refit gave on the test clips.
        states: number of trials by final state.
        errors: reasons of failed trials.
        notes: of the trials and the refit, each once.
        seconds: wall time of all trials, earlier runs' included, and of the refit's last run.
    """

    best_params: dict[str, Any]
    layer: Layer
    validated: Validated
    tested: Tested
    states: dict[str, int]
    errors: list[str]
    notes: list[str]
    seconds: float

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Of the refitted head on the test clips, (clips, classes)."""
        return self.tested.probabilities


def open_storage(path: Path) -> JournalStorage:
    """The journal of a cell's studies, made whole again after a kill.

    A process killed while appending leaves a half-written line, which Optuna would refuse, and its
    lock. Workers that notice the end of their parent a moment later may have written behind that
    line, so that the journal is kept up to the first line that is not whole: trials noted after it
    are run again. A cell is only ever tuned by one process (the run holds the results folder's
    lock), so that both can be cleared.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + ".lock").unlink(missing_ok=True)
    if path.exists():
        content = path.read_bytes()
        whole = sum(map(len, takewhile(_is_whole, content.splitlines(keepends=True))))
        if whole < len(content):
            with path.open("r+b") as file:
                file.truncate(whole)
    # Optuna's default lock is a symbolic link, which Windows reserves to administrators
    return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n")


def open_study(storage: JournalStorage, name: str) -> optuna.Study:
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
        on_trial: called with the number of newly known trials.
        on_epoch: called with the fold's index, the trial's (None for the refit) and the epoch.
    """

    trials: int
    seed_for: Callable[..., int]
    folder: Path
    deadline: float | None = None
    recipe: Draw | None = None
    on_trial: Callable[[int], None] = lambda count: None
    on_epoch: Callable[[int, int | None, Epoch], None] = lambda fold, trial, epoch: None

    def check_budget(self, words: str) -> None:
        """Stop where the deadline has passed.

        Raises:
            BudgetSpent: saying after what.
        """
        if self.deadline is not None and time.time() > self.deadline:
            raise BudgetSpent(f"budget spent after {words}")


def tune_fold(problem: Problem, fold: Fold, storage: JournalStorage, search: Search) -> FoldOutcome:
    """Tune on train → validation, refit on both, predict the test clips once.

    Args:
        problem: clips, labels, pooling and head.
        fold: indices into the task's clips.
        storage: where the study lives; an unfinished one goes on to `search.trials` in total.
        search: how to.

    Raises:
        TuningError: every trial failed.
        BudgetSpent: the deadline passed; run again to go on.
    """
    study = open_study(storage, f"fold-{fold.index}")
    done = finished_trials(study)
    search.on_trial(len(done))
    while len(done) < search.trials:
        search.check_budget(f"{len(done)} of {search.trials} trials")
        first = {} if done else problem.first(fold)
        study.sampler = _sampler(search.seed_for(fold.index, "sampler", len(done)), first)
        _run_trial(study, problem, fold, search, len(done))
        done = finished_trials(study)
        search.on_trial(1)
    complete = [t for t in done if t.state == TrialState.COMPLETE]
    errors = [t.user_attrs["error"] for t in done if "error" in t.user_attrs]
    if not complete:
        reason = errors[-1] if errors else "all were pruned"
        raise TuningError(f"all {len(done)} trials of fold {fold.index} failed: {reason}")
    best = study.best_trial
    draw, validated = _draw_of(best), _validated_of(best)
    refitting = time.perf_counter()
    seed = search.seed_for(fold.index, "fit")
    tested = problem.test(draw, validated, fold, seed, _refit(search, fold, draw))
    notes = [note for t in done for note in t.user_attrs.get("notes", ())] + [*tested.notes]
    return FoldOutcome(
        best_params=draw.params if search.recipe else best.params,
        layer=draw.layer,
        validated=validated,
        tested=tested,
        states={
            "complete": len(complete),
            "pruned": sum(t.state == TrialState.PRUNED for t in done),
            "failed": len(errors),
        },
        errors=errors,
        notes=list(dict.fromkeys(notes)),
        seconds=sum(_seconds(t) for t in done) + time.perf_counter() - refitting,
    )


def _seconds(trial: FrozenTrial) -> float:
    """Wall time of a trial; of one that was resumed, at least that of all its epochs."""
    lasted = trial.duration.total_seconds() if trial.duration is not None else 0.0
    return max(lasted, sum(epoch["seconds"] for epoch in trial.user_attrs.get("curve", ())))


def _sampler(seed: int, fixed: dict[str, Any]) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # With the default of 10 random starts a study of 10 trials would be a random search. The
        # number is fixed, so that a study extended to more trials is the study of that total.
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, multivariate=True)
        return optuna.samplers.PartialFixedSampler(fixed, sampler) if fixed else sampler


def _run_trial(
    study: optuna.Study, problem: Problem, fold: Fold, search: Search, position: int
) -> None:
    trial = study.ask()
    draw = search.recipe or problem.draw(trial, fold)
    trial.set_user_attr("layer", draw.layer)
    trial.set_user_attr("params", draw.params)
    # a killed trial is drawn again with the same position and draw, and finds its checkpoint
    folder = search.folder / f"fold-{fold.index}" / f"trial-{position}-{_mark(draw)}"
    watch = Watch(folder, _follower(trial, fold, search, position))
    try:
        found = problem.validate(draw, fold, search.seed_for(fold.index, "fit"), watch)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except _TRIAL_ERRORS as error:
        trial.set_user_attr("error", f"{type(error).__name__}: {error}")
        study.tell(trial, state=TrialState.FAIL)
    else:
        for name, value in asdict(found).items():
            trial.set_user_attr(name, value)
        study.tell(trial, found.macro_f1)
    shutil.rmtree(folder, ignore_errors=True)


def _mark(draw: Draw) -> str:
    return digest({"layer": draw.layer, "params": draw.params})[:12]


def _follower(trial: Trial, fold: Fold, search: Search, position: int) -> Callable[[Epoch], None]:
    def follow(epoch: Epoch) -> None:
        search.on_epoch(fold.index, position, epoch)
        search.check_budget(f"epoch {epoch.index + 1} of a trial, from where it goes on")
        if epoch.validation_macro_f1 is not None:
            trial.report(epoch.validation_macro_f1, epoch.index)
            # a recipe is not searched for, so nothing is better than it
            if search.recipe is None and trial.should_prune():
                raise optuna.TrialPruned

    return follow


def _refit(search: Search, fold: Fold, draw: Draw) -> Watch:
    def follow(epoch: Epoch) -> None:
        search.on_epoch(fold.index, None, epoch)
        search.check_budget(f"epoch {epoch.index + 1} of the refit, from where it goes on")

    return Watch(search.folder / f"fold-{fold.index}" / f"refit-{_mark(draw)}", follow)


def _draw_of(trial: FrozenTrial) -> Draw:
    return Draw(trial.user_attrs["layer"], trial.user_attrs["params"])


def _validated_of(trial: FrozenTrial) -> Validated:
    attrs = trial.user_attrs
    return Validated(
        accuracy=attrs["accuracy"],
        macro_f1=attrs["macro_f1"],
        best_epoch=attrs["best_epoch"],
        curve=tuple(Epoch(**epoch) for epoch in attrs["curve"]),
        notes=tuple(attrs["notes"]),
        precision=attrs["precision"],
        live=attrs["live"],
    )
