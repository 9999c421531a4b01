"""What a run is doing, how far it is and how long it will still take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterable

from bench.config.grid import Cell
from bench.features.extract import AudioDone
from bench.planning import estimate, starts
from bench.planning.plan import BackbonePlan, Plan, Ready, ReadyBackbone
from bench.progress import Standing
from bench.run.pace import Pace
from bench.tuning.cell import EpochKnown, TrialsKnown

OnEvent = Callable[[object], None]


class Watch:
    """Hears of what a run does and compares it with what the plan expected.

    Args:
        plan: what is to be run.
        workers: most cells at once.
    """

    def __init__(self, plan: Plan, workers: int) -> None:
        self._pace = Pace()
        self._cells = {cell.cell for row in plan.rows() for cell in row.ready}
        self._ended: set[Cell] = set()
        self._expected: dict[Cell, float] = {}
        self._doing = self._detail = ""
        known = estimate.history(plan.spec)
        for row in plan.rows():
            times = estimate.times(row, known, workers)
            for phase, seconds in times.starts.items():
                self._pace.add((_of(row), phase), phase, seconds)
            if row.encoder is not None:
                # a shard is heard of when it is whole
                shards = math.ceil(
                    row.encoder.pending_seconds / row.encoder.extraction.shard_seconds
                )
                self._pace.add(_of(row), row.encoder.name, times.extraction, shards)
            for cell, seconds in zip(row.ready, times.tuning, strict=True):
                place = None if cell.reads == "vectors" else cell.cell.backbone
                kind = (cell.cell.task, cell.cell.head, cell.reads, place)
                self._pace.add(cell.cell, kind, seconds, _steps(cell), times.workers)
                self._expected[cell.cell] = seconds.seconds

    def longest_first(self, cells: Iterable[Ready]) -> list[Ready]:
        """In the order in which the last of them leave the fewest workers idle."""
        return sorted(cells, key=lambda cell: -self._expected[cell.cell])

    def standing(self) -> Standing:
        """How far the run is."""
        left, guessed = self._pace.left()
        return Standing(
            len(self._ended & self._cells),
            len(self._cells),
            self._pace.elapsed,
            left,
            guessed,
            self._doing,
            self._detail,
        )

    def extracting(self, row: BackbonePlan, backbone: ReadyBackbone) -> OnEvent:
        """Audio passes through a backbone from now on; returns what hears of it."""
        doing = f"extract {row.folded.task.name} through {backbone.name}"
        alive = self._begun(row, _extract(row), doing)

        def on_event(event: object) -> None:
            if isinstance(event, AudioDone):
                alive()
                self._pace.heard(_of(row), event.seconds / backbone.pending_seconds)

        return on_event

    def tuning(self, row: BackbonePlan) -> OnEvent:
        """The cells of a backbone are tuned from now on; returns what hears of it."""
        steps = {cell.cell: _steps(cell) for cell in row.ready}
        doing = f"tune {row.folded.task.name} on {row.backbone.name}"
        alive = self._begun(row, estimate.TUNE_START, doing)

        def on_event(event: object) -> None:
            if isinstance(event, TrialsKnown):
                alive()
                share = event.trials / steps[event.cell]
                # several at once are those of an earlier run
                self._pace.heard(event.cell, share, measured=event.trials <= 1)
            elif isinstance(event, EpochKnown):
                self._detail = _in_words(event)

        return on_event

    def ended(self, cell: Cell) -> str:
        """A cell has ended, however it did; returns its number in the whole run, as `[1/9]`."""
        self._pace.ended(cell)
        self._ended.add(cell)
        self._detail = ""
        return f"[{len(self._ended & self._cells)}/{len(self._cells)}]"

    def dropped(self, cells: Iterable[Cell]) -> None:
        """Cells are not to be run after all."""
        self._cells.difference_update(cells)

    def over(self, row: BackbonePlan) -> None:
        """Nothing more of a row is to come, however it ended."""
        cells = [cell.cell for cell in row.ready]
        self._ended.update(cells)
        phases = [(_of(row), phase) for phase in (_extract(row), estimate.TUNE_START)]
        for key in (*phases, _of(row), *cells):
            self._pace.ended(key)

    def _begun(self, row: BackbonePlan, phase: str, doing: str) -> Callable[[], None]:
        """Processes start; returns what is to be called at each sign of life from them."""
        self._doing, began = doing, time.perf_counter()
        waiting: set[Hashable] = {(_of(row), phase)}
        self._pace.heard((_of(row), phase))

        def alive() -> None:
            if waiting:
                self._pace.heard(waiting.pop(), 1.0)
                starts.remember(phase, time.perf_counter() - began)

        return alive


def _of(row: BackbonePlan) -> tuple[str, str]:
    """What the extraction for a row is called."""
    return row.folded.task.name, row.backbone.name


def _extract(row: BackbonePlan) -> str:
    return estimate.EXTRACT_START.format(row.backbone.name)


def _steps(cell: Ready) -> int:
    """How often a cell is heard of: at each trial, and when its last refit ends."""
    return cell.job.trials * len(cell.job.folds) + 1


def _in_words(event: EpochKnown) -> str:
    """An epoch on one line."""
    what = "refit" if event.trial is None else f"trial {event.trial + 1}"
    epoch = event.epoch
    words = (
        f"{event.cell}: fold {event.fold + 1}, {what}, epoch {epoch.index + 1} "
        f"({epoch.seconds:.0f} s): loss {epoch.train_loss:.3f}"
    )
    if epoch.validation_macro_f1 is not None:
        words += f", validation macro-F1 {epoch.validation_macro_f1:.3f}"
    return words
