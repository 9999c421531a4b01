"""One cell, tuned and tested in a worker."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial

import numpy as np
import optuna
from threadpoolctl import threadpool_limits

from bench.config.grid import Cell
from bench.errors import crashes_of
from bench.executors.base import Worker
from bench.plugins import BACKBONES, HEADS
from bench.protocols.fold import Fold
from bench.tuning import outcomes
from bench.tuning.every import tune_every
from bench.tuning.fits.base import Draw, Fits, Labels
from bench.tuning.search import FoldOutcome, Search, recalled, study_of, tune_fold
from bench.tuning.storage import StudyStore
from heads import Epoch


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
        name: of the cell in the study store: its address, and a mark of what decides its scores,
            so that no study goes on with other features or folds.
        classes: class index of each clip.
        trials: total per study.
        seed: the run's.
        recipe: what to run instead of drawing trials, or None.
        every: whether every setting of the head is tried on inner folds, instead of some drawn.
    """

    cell: Cell
    name: str
    fits: Fits
    classes: tuple[int, ...]
    n_classes: int
    folds: tuple[Fold, ...]
    trials: int
    seed: int
    studies: StudyStore
    recipe: Draw | None = None
    every: bool = False

    def __call__(self, worker: Worker) -> CellOutcome:
        """Run the cell. Folds an earlier run finished are not run again.

        Raises:
            TuningError: no trial of a fold completed.
            BudgetSpent: the deadline passed; finished trials are kept.
            StorageError: a finished fold cannot be kept.
        """
        with crashes_of("", lambda: [*HEADS.origins(), *BACKBONES.origins()]):
            return self._run(worker)

    def _run(self, worker: Worker) -> CellOutcome:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        labels = Labels(np.array(self.classes, dtype=np.int64), self.n_classes)
        fit = self.fits.open(self.cell, labels, worker.threads)
        clips = {study_of(fold): len(fold.train) for fold in self.folds}
        storage = self.studies.open(
            self.name, lambda study, trial: recalled(fit, trial, clips[study], self.recipe)
        )
        folder = self.studies.folder(self.name)
        search = Search(
            trials=self.trials,
            seed_for=partial(self.cell.seed, self.seed),
            folder=folder,
            deadline=worker.deadline,
            recipe=self.recipe,
            on_trial=lambda count: worker.emit(TrialsKnown(self.cell, count)),
            on_epoch=lambda *what: worker.emit(EpochKnown(self.cell, *what)),
        )
        files = {fold.index: outcomes.path(folder, fold.index, self.trials) for fold in self.folds}
        found = {
            fold.index: outcomes.load(files[fold.index], (len(fold.test), self.n_classes))
            for fold in self.folds
        }
        wanted = [fold for fold in self.folds if found[fold.index] is None]
        search.on_trial(self.trials * (len(self.folds) - len(wanted)))
        with threadpool_limits(worker.threads):
            if self.every:
                made = tune_every(fit, labels, self.folds, wanted, storage, search)
            else:
                made = (tune_fold(fit, labels, fold, storage, search) for fold in wanted)
            for fold, outcome in zip(wanted, made, strict=True):
                outcomes.save(files[fold.index], outcome)
                shutil.rmtree(folder / f"fold-{fold.index}", ignore_errors=True)
                found[fold.index] = outcome
        return CellOutcome(tuple(o for o in found.values() if o), fit.layers, worker.threads)
