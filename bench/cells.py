"""One cell, tuned and tested in a worker process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from threadpoolctl import threadpool_limits

from bench.executors import Emit
from bench.features.store import FeatureSet
from bench.grid import Cell
from bench.protocols import Fold
from bench.tuning import FoldOutcome, Problem, open_storage, tune_fold


@dataclass(frozen=True)
class FeatureSource:
    """Where a cell's vectors are: enough to open the feature set in another process.

    Attributes:
        root: folder of the feature cache.
        settings: key settings of the feature set.
        clips: sha256 of the decoded samples, in the order of the labels.
    """

    root: Path
    settings: Mapping[str, Any]
    clips: tuple[str, ...]


@dataclass(frozen=True)
class TrialsKnown:
    """Progress event: so many more trials of a cell are done."""

    cell: Cell
    trials: int


@dataclass(frozen=True)
class CellOutcome:
    """What a cell gave: one outcome per fold; `threads` are those it was fitted with."""

    folds: tuple[FoldOutcome, ...]
    layers: int
    threads: int

    @property
    def seconds(self) -> float:
        """Wall time of all trials and refits."""
        return sum(fold.seconds for fold in self.folds)


@dataclass(frozen=True)
class CellJob:
    """Tunes and tests one cell; picklable.

    Attributes:
        cell: which one.
        source: its vectors.
        classes: class index of each clip.
        n_classes: number of classes.
        folds: outer folds, as indices into the clips.
        trials: total per study.
        seed: the run's seed.
        journal: file of the cell's studies.
        deadline: `time.time()` to stop at, or None.
        threads: for fitting.
    """

    cell: Cell
    source: FeatureSource
    classes: tuple[int, ...]
    n_classes: int
    folds: tuple[Fold, ...]
    trials: int
    seed: int
    journal: Path
    deadline: float | None
    threads: int

    def __call__(self, emit: Emit) -> CellOutcome:
        """Run the cell.

        Raises:
            TuningError: no trial of a fold completed.
            BudgetSpent: the deadline passed; finished trials are kept.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        features = FeatureSet(self.source.root, self.cell.backbone, self.source.settings)
        view = features.view(self.source.clips)
        problem = Problem(
            features=view,
            classes=np.array(self.classes, dtype=np.int64),
            n_classes=self.n_classes,
            pooling=self.cell.pooling,
            head=self.cell.head,
            threads=self.threads,
        )
        storage = open_storage(self.journal)
        with threadpool_limits(self.threads):
            folds = tuple(
                tune_fold(
                    problem,
                    fold,
                    storage,
                    trials=self.trials,
                    seed_for=partial(self.cell.seed, self.seed),
                    deadline=self.deadline,
                    on_trial=lambda count: emit(TrialsKnown(self.cell, count)),
                )
                for fold in self.folds
            )
        return CellOutcome(folds, view.layers, self.threads)
