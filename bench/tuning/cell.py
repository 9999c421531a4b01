"""One cell, tuned and tested in a worker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import optuna
from threadpoolctl import threadpool_limits

from bench.config.grid import Cell
from bench.errors import crashes_of
from bench.executors.base import Worker
from bench.machine import hardware
from bench.plugins import BACKBONES, HEADS
from bench.protocols.fold import Fold
from bench.tuning import outcomes
from bench.tuning.fits.base import Draw, Fit, Fits, Labels
from bench.tuning.fits.vectors import VectorFit
from bench.tuning.inner import tune_inner
from bench.tuning.outcomes import FoldOutcome
from bench.tuning.search import Search, recalled, study_of, tune_fold
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
    """What a cell gave: one outcome per fold; `threads` and `hardware` it was fitted with."""

    folds: tuple[FoldOutcome, ...]
    layers: int
    threads: int
    hardware: str

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
        trials: total per fold.
        seed: the run's.
        recipe: what to run instead of drawing trials, or None.
        seeds: how often each refit is made.
        device: where trials and refits run; heads on vectors and frames leave accelerators alone.
        inner: whether settings are searched on inner folds; see `bench.tuning.inner`.
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
    inner: bool = False
    seeds: int = 1
    device: str = "cpu"

    def __call__(self, worker: Worker) -> CellOutcome:
        """Run the cell. Folds an earlier run finished are not run again.

        Raises:
            TuningError: no trial of a fold completed.
            BudgetSpent: the deadline passed; finished trials are kept.
            StorageError: a finished fold cannot be kept.
        """
        with (
            self.studies.held(self.name, worker.deadline),
            crashes_of("", lambda: [*HEADS.origins(), *BACKBONES.origins()]),
        ):
            return self._run(worker)

    def _run(self, worker: Worker) -> CellOutcome:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        labels = Labels(np.array(self.classes, dtype=np.int64), self.n_classes)
        fit = self.fits.open(self.cell, labels, worker.threads)
        folder = self.studies.folder(self.name)
        search = Search(
            trials=self.trials,
            seed_for=partial(self.cell.seed, self.seed),
            folder=folder,
            deadline=worker.deadline,
            recipe=self.recipe,
            seeds=self.seeds,
            on_trial=lambda count: worker.emit(TrialsKnown(self.cell, count)),
            on_epoch=lambda *what: worker.emit(EpochKnown(self.cell, *what)),
        )
        files = {
            fold.index: outcomes.path(folder, fold.index, self.trials, self.seeds)
            for fold in self.folds
        }
        found = {
            fold.index: outcomes.load(files[fold.index], fold, self.n_classes)
            for fold in self.folds
        }
        wanted = [fold for fold in self.folds if found[fold.index] is None]
        with threadpool_limits(worker.threads):
            for fold, outcome in zip(wanted, self._tuned(fit, labels, wanted, search), strict=True):
                outcomes.save(files[fold.index], outcome)
                shutil.rmtree(folder / f"fold-{fold.index}", ignore_errors=True)
                found[fold.index] = outcome
        folds = tuple(outcome for outcome in found.values() if outcome)
        return CellOutcome(folds, fit.layers, worker.threads, hardware(self.device))

    def _tuned(
        self, fit: Fit, labels: Labels, wanted: Sequence[Fold], search: Search
    ) -> Iterator[FoldOutcome]:
        if self.inner:
            assert isinstance(fit, VectorFit)
            yield from tune_inner(fit, labels, self.folds, wanted, search)
            return
        search.on_trial(self.trials * (len(self.folds) - len(wanted)))
        clips = {study_of(fold): len(fold.train) for fold in self.folds}
        storage = self.studies.open(
            self.name, lambda study, trial: recalled(fit, trial, clips[study], self.recipe)
        )
        for fold in wanted:
            yield tune_fold(fit, labels, fold, storage, search)
