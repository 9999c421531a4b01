"""Searches over trainings: proposed first trials, pruning, budgets, and what is kept of folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import Trial

from backbones import Weights
from backbones import registry as backbone_registry
from bench.features.pooling import POOLINGS
from bench.planning import pairs
from bench.protocols.makers import Fold
from bench.tuning import layers, outcomes
from bench.tuning.fits import vectors as problems
from bench.tuning.fits.vectors import Draw, Validated, Watch
from bench.tuning.search import (
    BudgetSpent,
    FoldOutcome,
    Search,
    open_storage,
    open_study,
    tune_fold,
)
from heads import FitDiverged
from heads import registry as head_registry
from heads.sequences import Epoch

FOLD = Fold(0, np.arange(4), np.arange(4, 6), np.arange(6, 8), ("a",))
EPOCHS = 6


class Trainings:
    """Stand-in for trainings: draws two numbers, and scores epochs by one of them.

    Attributes:
        drawn: every draw, in order.
        during: called before each epoch with the draw and the epoch's index.
    """

    layers = 4

    def __init__(self, during: Callable[[Draw, int], None] = lambda draw, index: None) -> None:
        self.drawn: list[tuple[Any, float]] = []
        self.during = during

    def draw(self, trial: Trial, fold: Fold) -> Draw:
        layer = trial.suggest_int("layer", 0, 3)
        rate = trial.suggest_float("rate", 0.0, 1.0)
        self.drawn.append((layer, rate))
        return Draw(layer, {"rate": rate})

    def first(self, fold: Fold) -> dict[str, Any]:
        return {"layer": 2}

    def validate(self, draw: Draw, fold: Fold, seed: int, watch: Watch) -> Validated:
        watch.folder.mkdir(parents=True)
        (watch.folder / "last.ckpt").write_text("a checkpoint")
        curve = []
        for index in range(EPOCHS):
            self.during(draw, index)
            f1 = draw.params["rate"] * (index + 1) / EPOCHS
            curve.append(Epoch(index, 1.0, 0.1, 1.0, f1, f1))
            watch.on_epoch(curve[-1])
        return Validated(0.5, draw.params["rate"], EPOCHS - 1, tuple(curve), ("a note",), "32-true")

    def test(
        self, draw: Draw, validated: Validated, fold: Fold, seed: int, watch: Watch
    ) -> problems.Tested:
        return problems.Tested(np.full((2, 2), 0.5), 1.0, ("a note", "another"))


def _search(folder: Path, trials: int) -> Search:
    return Search(trials, seed_for=lambda *names: sum(map(ord, str(names))), folder=folder)


def _tuned(folder: Path, trials: int, problem: Trainings) -> FoldOutcome:
    return tune_fold(problem, FOLD, open_storage(folder / "journal"), _search(folder, trials))


def test_the_first_trial_is_the_proposed_one_and_the_others_are_drawn(tmp_path: Path) -> None:
    problem = Trainings()
    _tuned(tmp_path, 6, problem)
    assert problem.drawn[0][0] == 2
    assert len({layer for layer, _ in problem.drawn}) > 1
    assert len({rate for _, rate in problem.drawn}) == 6


def test_a_first_trial_that_was_killed_is_proposed_again(tmp_path: Path) -> None:
    open_study(open_storage(tmp_path / "journal"), "fold-0").ask()
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
    study = open_storage(tmp_path / "journal")
    with pytest.raises(BudgetSpent):
        tune_fold(stopped, FOLD, study, search)
    assert not stopped.drawn  # no trial is begun after the deadline

    class Late(Search):
        def check_budget(self, words: str) -> None:
            if "epoch 3" in words:
                raise BudgetSpent(words)

    late = Late(3, seed_for=search.seed_for, folder=tmp_path)
    with pytest.raises(BudgetSpent, match="epoch 3 of a trial"):
        tune_fold(stopped, FOLD, open_storage(tmp_path / "journal"), late)
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
    outcome = tune_fold(problem, FOLD, open_storage(tmp_path / "journal"), search)
    assert not problem.drawn
    assert (outcome.layer, outcome.best_params) == (3, {"rate": 0.25})


def test_the_outcome_of_a_fold_is_read_back_as_it_was(tmp_path: Path) -> None:
    outcome = _tuned(tmp_path, 4, Trainings())
    file = outcomes.path(tmp_path, 0, 4)
    outcomes.save(file, outcome)
    found = outcomes.load(file)
    assert found is not None
    np.testing.assert_array_equal(found.tested.probabilities, outcome.tested.probabilities)
    assert replace(found, tested=outcome.tested) == outcome
    assert found.tested.notes == outcome.tested.notes


@given(cut=st.integers(min_value=0))
def test_a_damaged_outcome_counts_as_none(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("outcome")
    file = outcomes.path(folder, 0, 1)
    outcomes.save(file, _tuned(folder, 1, Trainings()))
    content = file.read_bytes()
    file.write_bytes(content[: cut % len(content)])
    assert outcomes.load(file) is None


@given(
    name=st.sampled_from([n for n, i in backbone_registry.infos().items() if i.trainable]),
    seconds=st.floats(1.0, 1e6),
    gigabytes=st.floats(0.01, 100.0),
)
def test_kept_layers_are_spread_evenly_and_fit_the_disk(
    name: str, seconds: float, gigabytes: float
) -> None:
    from bench.features.frames import frames_bytes

    info = backbone_registry.infos()[name]
    kept = layers.kept(info, Weights("pretrained"), seconds, gigabytes)
    assert list(kept) == sorted(set(kept))
    assert set(kept) <= set(range(info.layers))
    assert frames_bytes(info, seconds, 1) * len(kept) <= gigabytes * 1e9 * 1.001
    steps = set(np.diff(kept))
    assert not steps or max(steps) - min(steps) <= 1
    if frames_bytes(info, seconds, info.layers) <= gigabytes * 1e9:
        assert kept == tuple(range(info.layers))


@pytest.mark.parametrize("pooling", list(POOLINGS))
@pytest.mark.parametrize("head", [info.name for info in head_registry.infos()])
@pytest.mark.parametrize("backbone", list(backbone_registry.infos()))
def test_a_pair_either_has_a_head_class_or_a_reason(backbone: str, pooling: str, head: str) -> None:
    info = backbone_registry.infos()[backbone]
    reason = pairs.skip(info, pooling, head)
    if reason is None:
        kind = pairs.wants(pooling, head)
        assert head_registry.get(head, kind).wants == kind
        assert kind != "backbone" or info.trainable
    else:
        assert head in reason
        assert ": use " in reason


@pytest.mark.parametrize("behind", [b"", b'{"op_code": 4, "worker_id": "late"}\n'])
def test_a_torn_line_costs_what_comes_after_it_and_nothing_else(
    tmp_path: Path, behind: bytes
) -> None:
    """Behind it stands what a worker of a killed run wrote before it noticed."""
    journal = tmp_path / "journal"
    study = open_study(open_storage(journal), "fold-0")
    for value in (0.25, 0.5):
        study.tell(study.ask(), value)
    kept = journal.read_bytes()
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "worker_id": "torn' + behind)
    again = open_study(open_storage(journal), "fold-0")
    assert [trial.value for trial in again.get_trials()] == [0.25, 0.5]
    assert journal.read_bytes().startswith(kept)
    assert b"torn" not in journal.read_bytes()
