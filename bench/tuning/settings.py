"""Settings of a head that are drawn without a look at any score."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.samplers import QMCSampler

from heads import Head, HeadContext


@dataclass(frozen=True)
class Setting:
    """What to try: parameters of a head, on one of a few layers.

    Attributes:
        share: in [0, 1]; which of the layers, the best first: see `Setting.rank`.
        params: what `Head.suggest` returned.
    """

    share: float
    params: dict[str, Any]

    def rank(self, layers: int) -> int:
        """Which of so many layers: the first one for half of the settings, and so on."""
        rank, left = 0, 0.5
        while rank < layers - 1 and self.share >= 1 - left:
            rank, left = rank + 1, left / 2
        return rank


def quasi_random(head: type[Head], context: HeadContext, count: int) -> tuple[Setting, ...]:
    """Settings that cover a search space evenly, the same on every machine and in every run.

    A longer list begins with the shorter one. Sobol's sequence of Optuna's `QMCSampler`; of the
    first setting, and of parameters that have no order, values are random ones of a fixed seed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = QMCSampler(scramble=True, seed=0, warn_independent_sampling=False)
    study = optuna.create_study(sampler=sampler)
    settings = []
    for _ in range(count):
        trial = study.ask()
        settings.append(Setting(trial.suggest_float("share", 0, 1), head.suggest(trial, context)))
        study.tell(trial, 0.0)
    return tuple(settings)
