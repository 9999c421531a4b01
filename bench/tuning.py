"""Optuna: one study per cell and outer fold. The objective never sees a test clip."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.errors import VoxgridError
from bench.features.store import FeatureView
from bench.protocols import Fold
from bench.scoring import macro_f1
from heads import FitDiverged, HeadContext
from heads import registry as head_registry

Vectors = NDArray[np.float32]
Classes = NDArray[np.int64]

# What a head may raise on a legitimate draw from its search space; the trial fails, not the cell.
_TRIAL_ERRORS = (ValueError, ArithmeticError, np.linalg.LinAlgError, FitDiverged)


class TuningError(VoxgridError):
    """No trial of a study completed."""


class BudgetSpent(VoxgridError):
    """The time budget ended before the study did; its trials are kept."""


@dataclass(frozen=True)
class FoldOutcome:
    """What one outer fold gave.

    Attributes:
        best_params: as drawn, the layer included.
        layer: the tuned layer.
        val_accuracy, val_macro_f1: of the best trial, on the validation clips.
        probabilities: of the refitted head on the test clips, (clips, classes).
        states: number of trials by final state.
        errors: reasons of failed trials.
        predict_clips_per_s: of the refitted head.
        seconds: wall time of all trials, earlier runs' included, and of the refit.
    """

    best_params: dict[str, Any]
    layer: int
    val_accuracy: float
    val_macro_f1: float
    probabilities: NDArray[np.float64]
    states: dict[str, int]
    errors: list[str]
    predict_clips_per_s: float
    seconds: float


def open_storage(path: Path) -> JournalStorage:
    """The journal of a cell's studies, made whole again after a kill.

    A process killed while appending leaves a half-written last line, which Optuna would refuse,
    and its lock. A cell is only ever tuned by one process (the run holds the results folder's
    lock), so that both can be cleared.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + ".lock").unlink(missing_ok=True)
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with path.open("r+b") as file:
                file.truncate(whole)
    # Optuna's default lock is a symbolic link, which Windows reserves to administrators
    return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path))))


def open_study(storage: JournalStorage, name: str) -> optuna.Study:
    """A study to go on with: trials a killed process left running are marked as failed."""
    study = optuna.create_study(
        study_name=name, storage=storage, direction="maximize", load_if_exists=True
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
class Problem:
    """Features and labels of a task, shared by the folds of a cell.

    Attributes:
        features: vectors of all clips, by layer and pooling.
        classes: class index of every clip, (clips,).
        n_classes: number of classes.
        pooling: name of the pooling.
        head: name of the head.
        threads: for fitting.
    """

    features: FeatureView
    classes: Classes
    n_classes: int
    pooling: str
    head: str
    threads: int

    def model(self, params: dict[str, Any], seed: int) -> Pipeline:
        """Standardisation and head; both are fitted on training clips only."""
        head = head_registry.create(self.head, params, random_state=seed, n_jobs=self.threads)
        return make_pipeline(StandardScaler(), head)

    def context(self, layer: int, clips: int) -> HeadContext:
        """What a search space may depend on."""
        width = self.features.vectors(layer, self.pooling).shape[1]
        return HeadContext(clips=clips, features=width, classes=self.n_classes)

    def probabilities(self, model: Pipeline, vectors: Vectors) -> NDArray[np.float64]:
        """Class probabilities (clips, n_classes), zero for classes absent from training."""
        out = np.zeros((len(vectors), self.n_classes))
        out[:, model.classes_] = model.predict_proba(vectors)
        return out


def tune_fold(
    problem: Problem,
    fold: Fold,
    storage: JournalStorage,
    *,
    trials: int,
    seed_for: Callable[..., int],
    deadline: float | None,
    on_trial: Callable[[int], None],
) -> FoldOutcome:
    """Tune on train → validation, refit on both, predict the test clips once.

    Args:
        problem: features, labels, pooling and head.
        fold: indices into the task's clips.
        storage: where the study lives; an unfinished one goes on to `trials` in total.
        trials: total of trials, earlier runs' included.
        seed_for: seed from names; the sampler is seeded anew per trial, so that an interrupted
            study draws what an uninterrupted one would have drawn.
        deadline: `time.time()` at which to stop, or None.
        on_trial: called with the number of newly known trials.

    Raises:
        TuningError: every trial failed.
        BudgetSpent: the deadline passed; run again to go on.
    """
    study = open_study(storage, f"fold-{fold.index}")
    done = finished_trials(study)
    on_trial(len(done))
    while len(done) < trials:
        if deadline is not None and time.time() > deadline:
            raise BudgetSpent(f"budget spent after {len(done)} of {trials} trials")
        study.sampler = _sampler(seed_for(fold.index, "sampler", len(done)))
        trial = study.ask()
        _run_trial(study, trial, problem, fold, seed_for(fold.index, "fit"))
        done = finished_trials(study)
        on_trial(1)
    complete = [t for t in done if t.state == TrialState.COMPLETE]
    errors = [t.user_attrs["error"] for t in done if "error" in t.user_attrs]
    if not complete:
        raise TuningError(f"all {len(done)} trials of fold {fold.index} failed: {errors[-1]}")
    best = study.best_trial
    refitting = time.perf_counter()
    probabilities, speed = _test_once(problem, fold, best, seed_for(fold.index, "fit"))
    return FoldOutcome(
        best_params=best.params,
        layer=best.params.get("layer", 0),
        val_accuracy=best.user_attrs["val_accuracy"],
        val_macro_f1=float(best.values[0]),
        probabilities=probabilities,
        states={
            "complete": len(complete),
            "pruned": sum(t.state == TrialState.PRUNED for t in done),
            "failed": len(errors),
        },
        errors=errors,
        predict_clips_per_s=speed,
        seconds=sum(_seconds(t) for t in done) + time.perf_counter() - refitting,
    )


def _seconds(trial: FrozenTrial) -> float:
    return trial.duration.total_seconds() if trial.duration is not None else 0.0


def _sampler(seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # With the default of 10 random starts a study of 10 trials would be a random search. The
        # number is fixed, so that a study extended to more trials is the study of that total.
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, multivariate=True)


def _run_trial(study: optuna.Study, trial: Trial, problem: Problem, fold: Fold, seed: int) -> None:
    train, validation = fold.train, fold.validation
    layer = _suggest_layer(trial, problem.features.layers)
    vectors = problem.features.vectors(layer, problem.pooling)
    context = problem.context(layer, len(train))
    params = head_registry.get(problem.head).suggest(trial, context)
    trial.set_user_attr("params", params)
    try:
        model = problem.model(params, seed).fit(vectors[train], problem.classes[train])
        predicted = problem.probabilities(model, vectors[validation]).argmax(axis=1)
    except _TRIAL_ERRORS as error:
        trial.set_user_attr("error", f"{type(error).__name__}: {error}")
        study.tell(trial, state=TrialState.FAIL)
        return
    truth = problem.classes[validation]
    trial.set_user_attr("val_accuracy", float(np.mean(predicted == truth)))
    study.tell(trial, macro_f1(truth, predicted, problem.n_classes))


def _suggest_layer(trial: Trial, layers: int) -> int:
    return trial.suggest_int("layer", 0, layers - 1) if layers > 1 else 0


def _test_once(
    problem: Problem, fold: Fold, best: FrozenTrial, seed: int
) -> tuple[NDArray[np.float64], float]:
    fitted_on = np.concatenate([fold.train, fold.validation])
    vectors = problem.features.vectors(best.params.get("layer", 0), problem.pooling)
    params = best.user_attrs["params"]
    model = problem.model(params, seed).fit(vectors[fitted_on], problem.classes[fitted_on])
    began = time.perf_counter()
    probabilities = problem.probabilities(model, vectors[fold.test])
    return probabilities, len(fold.test) / (time.perf_counter() - began)
