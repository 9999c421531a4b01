"""One cell, tuned and tested in a worker process."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import optuna
from threadpoolctl import threadpool_limits

from bench.config.grid import Cell
from bench.executors.local import Emit
from bench.features.store import FeatureSet
from bench.protocols.fold import Fold
from bench.tuning import outcomes
from bench.tuning.fits.vectors import Classes, Draw, Problem, VectorProblem
from bench.tuning.search import FoldOutcome, Search, open_storage, tune_fold
from heads.sequences import Epoch


class ProblemSource(Protocol):
    """Makes a cell's problem in the worker process; picklable."""

    def open(self, cell: Cell, classes: Classes, n_classes: int, threads: int) -> Problem:
        """The problem.

        Args:
            cell: which one.
            classes: class index of every clip, (clips,).
            n_classes: number of classes.
            threads: for fitting.
        """
        ...


@dataclass(frozen=True)
class VectorSource:
    """Where a cell's vectors are: enough to open the feature set in another process.

    Attributes:
        root: folder of the feature cache.
        settings: key settings of the feature set.
        clips: sha256 of the decoded samples, in the order of the labels.
    """

    root: Path
    settings: Mapping[str, Any]
    clips: tuple[str, ...]

    def open(self, cell: Cell, classes: Classes, n_classes: int, threads: int) -> VectorProblem:
        """The problem of a head on pooled vectors."""
        features = FeatureSet(self.root, cell.backbone, self.settings)
        view = features.view(self.clips)
        return VectorProblem(view, classes, n_classes, cell.pooling, cell.head, threads)


@dataclass(frozen=True)
class TrialsKnown:
    """Progress event: so many more trials of a cell are done."""

    cell: Cell
    trials: int


@dataclass(frozen=True)
class EpochKnown:
    """Progress event: one more epoch of a trial (None: of the refit) of a fold is done."""

    cell: Cell
    fold: int
    trial: int | None
    epoch: Epoch


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
        source: makes its problem.
        classes: class index of each clip.
        n_classes: number of classes.
        folds: outer folds, as indices into the clips.
        trials: total per study.
        seed: the run's seed.
        journal: file of the cell's studies; checkpoints lie in a folder beside it.
        deadline: `time.time()` to stop at, or None.
        threads: for fitting.
        recipe: what to run instead of drawing trials, or None.
    """

    cell: Cell
    source: ProblemSource
    classes: tuple[int, ...]
    n_classes: int
    folds: tuple[Fold, ...]
    trials: int
    seed: int
    journal: Path
    deadline: float | None
    threads: int
    recipe: Draw | None = None

    @property
    def folder(self) -> Path:
        """Where checkpoints and outcomes of finished folds lie until the cell is finished."""
        return self.journal.with_suffix("")

    def __call__(self, emit: Emit) -> CellOutcome:
        """Run the cell. Folds an earlier run finished are not run again.

        Raises:
            TuningError: no trial of a fold completed.
            BudgetSpent: the deadline passed; finished trials are kept.
            StorageError: a finished fold cannot be kept.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        classes = np.array(self.classes, dtype=np.int64)
        problem = self.source.open(self.cell, classes, self.n_classes, self.threads)
        storage = open_storage(self.journal)
        search = Search(
            trials=self.trials,
            seed_for=partial(self.cell.seed, self.seed),
            folder=self.folder,
            deadline=self.deadline,
            recipe=self.recipe,
            on_trial=lambda count: emit(TrialsKnown(self.cell, count)),
            on_epoch=lambda *what: emit(EpochKnown(self.cell, *what)),
        )
        folds = []
        with threadpool_limits(self.threads):
            for fold in self.folds:
                file = outcomes.path(self.folder, fold.index, self.trials)
                outcome = outcomes.load(file)
                if outcome is None:
                    outcome = tune_fold(problem, fold, storage, search)
                    outcomes.save(file, outcome)
                    shutil.rmtree(self.folder / f"fold-{fold.index}", ignore_errors=True)
                else:
                    search.on_trial(self.trials)
                folds.append(outcome)
        return CellOutcome(tuple(folds), problem.layers, self.threads)
