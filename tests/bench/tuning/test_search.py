"""Searches over trainings: proposed first trials, pruning and budgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial

from bench.protocols.fold import Fold
from bench.tuning.fits.base import Draw, Fit, Fitted, Indices, Labels, Request, Watch
from bench.tuning.outcomes import FoldOutcome, Validated
from bench.tuning.search import BudgetSpent, Search, open_study, recalled, study_of, tune_fold
from bench.tuning.storage import JournalStudies
from heads import Epoch, FitDiverged

FOLD = Fold(0, np.arange(4), np.arange(4, 6), np.arange(6, 8), ("a",))
LABELS = Labels(np.array([0, 1, 0, 1, 0, 1, 0, 1]), 2)
EPOCHS = 6


@dataclass(frozen=True, kw_only=True)
class Trained(Fitted):
    """Is right about so large a share of the clips asked for, the first ones."""

    share: float

    def predict(self, clips: Indices) -> np.ndarray:
        classes = LABELS.classes[clips]
        right = np.arange(len(clips)) < round(self.share * len(clips))
        return np.eye(2)[np.where(right, classes, 1 - classes)]


class Trainings(Fit):
    """Stand-in for trainings: draws two numbers, and scores epochs by one of them.

    Attributes:
        drawn: every draw, in order.
        fitted_on: the clips of every fit, in order.
        during: called before each epoch with the draw and the epoch's index.
    """

    layers = 4

    def __init__(self, during: Callable[[Draw, int], None] = lambda draw, index: None) -> None:
        self.drawn: list[tuple[Any, float]] = []
        self.fitted_on: list[list[int]] = []
        self.during = during

    def draw(self, trial: Trial, clips: int) -> Draw:
        layer = trial.suggest_int("layer", 0, 3)
        rate = trial.suggest_float("rate", 0.0, 1.0)
        self.drawn.append((layer, rate))
        return Draw(layer, {"rate": rate})

    def first(self, clips: int) -> dict[str, Any]:
        return {"layer": 2}

    def refit(self, draw: Draw, best_epoch: int | None) -> Draw:
        assert best_epoch is not None
        return Draw(draw.layer, {**draw.params, "stop": best_epoch + 1})

    def fit(self, draw: Draw, clips: Indices, seed: int, watch: Watch) -> Fitted:
        self.fitted_on.append(clips.tolist())
        if watch.validation is None:
            self.refitted = draw
            return Trained(notes=("a note", "another"), share=1.0)
        watch.folder.mkdir(parents=True)
        (watch.folder / "last.ckpt").write_text("a checkpoint")
        curve = []
        for index in range(EPOCHS):
            self.during(draw, index)
            f1 = draw.params["rate"] * (index + 1) / EPOCHS
            curve.append(Epoch(index, 1.0, 0.1, 1.0, f1, f1))
            watch.on_epoch(curve[-1])
        return Trained(
            curve=tuple(curve),
            best_epoch=EPOCHS - 1,
            notes=("a note",),
            precision="32-true",
            share=draw.params["rate"],
        )


def _search(folder: Path, trials: int) -> Search:
    return Search(trials, seed_for=lambda *names: sum(map(ord, str(names))), folder=folder)


def _tuned(folder: Path, trials: int, fit: Trainings) -> FoldOutcome:
    return tune_fold(fit, LABELS, FOLD, _storage(folder), _search(folder, trials))


def _storage(folder: Path) -> BaseStorage:
    return JournalStudies(folder).open("cell", _recall)


def _recall(study: str, trial: FrozenTrial) -> Draw | None:
    assert study == study_of(FOLD)
    return recalled(Trainings(), trial, len(FOLD.train), None)


def test_the_refit_is_on_all_but_the_test_clips_and_of_what_the_best_trial_left(
    tmp_path: Path,
) -> None:
    fit = Trainings()
    outcome = _tuned(tmp_path, 3, fit)
    assert fit.fitted_on == [[0, 1, 2, 3]] * 3 + [[0, 1, 2, 3, 4, 5]]
    assert fit.refitted.params == {"rate": outcome.best_params["rate"], "stop": EPOCHS}
    assert "stop" not in outcome.best_params


def test_many_fits_are_one_after_the_other_unless_a_solver_knows_better(tmp_path: Path) -> None:
    fit = Trainings()
    draws = [Draw(layer, {"rate": 1.0}) for layer in (1, 3)]
    watch = Watch(tmp_path / "unused")
    requests = [Request(draw, FOLD.train, 0, watch) for draw in draws]
    for draw, _ in zip(draws, fit.fit_many(requests), strict=True):
        assert fit.refitted == draw


def test_the_first_trial_is_the_proposed_one_and_the_others_are_drawn(tmp_path: Path) -> None:
    problem = Trainings()
    _tuned(tmp_path, 6, problem)
    assert problem.drawn[0][0] == 2
    assert len({layer for layer, _ in problem.drawn}) > 1
    assert len({rate for _, rate in problem.drawn}) == 6


def test_a_first_trial_that_was_killed_is_proposed_again(tmp_path: Path) -> None:
    open_study(_storage(tmp_path), "fold-0").ask()
    killed, whole = Trainings(), Trainings()
    _tuned(tmp_path, 3, killed)
    _tuned(tmp_path / "whole", 3, whole)
    assert killed.drawn == whole.drawn


def test_a_trial_worse_than_the_median_is_pruned_and_counted_as_pruned(tmp_path: Path) -> None:
    outcome = _tuned(tmp_path, 10, Trainings())
    assert outcome.states["pruned"] > 0
    assert sum(outcome.states.values()) == 10
    assert outcome.notes == ["a note", "another"]  # each once
    assert not list(tmp_path.rglob("*.ckpt"))  # whatever became of the trials


def test_a_loss_that_is_no_number_fails_its_trial_and_the_study_goes_on(tmp_path: Path) -> None:
    def diverge(draw: Draw, index: int) -> None:
        if draw.layer == 2:
            raise FitDiverged("the loss became nan in epoch 1")

    outcome = _tuned(tmp_path, 6, Trainings(diverge))
    assert outcome.states["failed"] >= 1
    assert outcome.states["complete"] >= 1
    assert set(outcome.errors) == {"FitDiverged: the loss became nan in epoch 1"}
    assert outcome.layer != 2


def test_a_budget_that_ends_in_a_training_keeps_its_checkpoint_and_draws_it_again(
    tmp_path: Path,
) -> None:
    search = replace(_search(tmp_path, 3), deadline=0.0)
    stopped = Trainings()
    study = _storage(tmp_path)
    with pytest.raises(BudgetSpent):
        tune_fold(stopped, LABELS, FOLD, study, search)
    assert not stopped.drawn  # no trial is begun after the deadline

    class Late(Search):
        def check_budget(self, words: str) -> None:
            if "epoch 3" in words:
                raise BudgetSpent(words)

    late = Late(3, seed_for=search.seed_for, folder=tmp_path)
    with pytest.raises(BudgetSpent, match="epoch 3 of a trial"):
        tune_fold(stopped, LABELS, FOLD, _storage(tmp_path), late)
    (checkpoint,) = tmp_path.rglob("*.ckpt")

    def resumes(draw: Draw, index: int) -> None:
        raise AssertionError(f"trained {draw} beside {checkpoint}")

    resumed = Trainings(resumes)
    # the same draw finds the same folder, where its checkpoint lies
    with pytest.raises(FileExistsError):
        _tuned(tmp_path, 3, resumed)
    assert resumed.drawn == stopped.drawn


def test_a_recipe_is_run_as_it_is_and_never_pruned(tmp_path: Path) -> None:
    recipe = Draw(3, {"rate": 0.25})
    problem = Trainings()
    search = replace(_search(tmp_path, 1), recipe=recipe)
    outcome = tune_fold(problem, LABELS, FOLD, _storage(tmp_path), search)
    assert not problem.drawn
    assert (outcome.layer, outcome.best_params) == (3, {"rate": 0.25})


@pytest.mark.parametrize("behind", [b"", b'{"op_code": 4, "worker_id": "late"}\n'])
def test_a_torn_line_costs_what_comes_after_it_and_nothing_else(
    tmp_path: Path, behind: bytes
) -> None:
    """Behind it stands what a worker of a killed run wrote before it noticed."""
    studies = JournalStudies(tmp_path)
    journal = studies.journal("cell")
    study = open_study(studies.open("cell", _recall), "fold-0")
    for value in (0.25, 0.5):
        trial = study.ask()
        Trainings().draw(trial, len(FOLD.train))
        trial.set_user_attr("validated", asdict(Validated(value, value)))
        study.tell(trial, value)
    kept = journal.read_bytes()
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "worker_id": "torn' + behind)
    again = open_study(studies.open("cell", _recall), "fold-0")
    assert [trial.value for trial in again.get_trials()] == [0.25, 0.5]
    assert journal.read_bytes().startswith(kept)
    assert b"torn" not in journal.read_bytes()
