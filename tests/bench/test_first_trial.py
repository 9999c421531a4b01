"""The first trial of a training is proposed; the others are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import Trial

from bench import problems
from bench.problems import Draw, Validated, Watch
from bench.protocols import Fold
from bench.tuning import Search, open_storage, open_study, tune_fold

FOLD = Fold(0, np.arange(4), np.arange(4, 6), np.arange(6, 8), ("a",))


class Proposing:
    """Draws two numbers, proposes one of them for the first trial and writes down all draws."""

    layers = 4

    def __init__(self) -> None:
        self.drawn: list[tuple[int, float]] = []

    def draw(self, trial: Trial, fold: Fold) -> Draw:
        layer = trial.suggest_int("layer", 0, 3)
        rate = trial.suggest_float("rate", 0.0, 1.0)
        self.drawn.append((layer, rate))
        return Draw(layer, {"rate": rate})

    def first(self, fold: Fold) -> dict[str, Any]:
        return {"layer": 2}

    def validate(self, draw: Draw, fold: Fold, seed: int, watch: Watch) -> Validated:
        return Validated(accuracy=0.5, macro_f1=draw.params["rate"])

    def test(
        self, draw: Draw, validated: Validated, fold: Fold, seed: int, watch: Watch
    ) -> problems.Tested:
        return problems.Tested(np.full((2, 2), 0.5), 1.0)


def _drawn(folder: Path, trials: int) -> list[tuple[int, float]]:
    problem = Proposing()
    search = Search(trials, seed_for=lambda *names: abs(hash(names)) % 2**32, folder=folder)
    tune_fold(problem, FOLD, open_storage(folder / "journal"), search)
    return problem.drawn


def test_the_first_trial_is_the_proposed_one_and_the_others_are_drawn(tmp_path: Path) -> None:
    drawn = _drawn(tmp_path, 6)
    assert drawn[0][0] == 2
    assert len({layer for layer, _ in drawn}) > 1
    assert len({rate for _, rate in drawn}) == 6


def test_a_first_trial_that_was_killed_is_proposed_again(tmp_path: Path) -> None:
    open_study(open_storage(tmp_path / "journal"), "fold-0").ask()
    assert _drawn(tmp_path, 3) == _drawn(tmp_path / "other", 3)
