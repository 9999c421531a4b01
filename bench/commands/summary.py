"""What `voxgrid run` ends with: the best rows of its leaderboards, where they lie, what is next."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.config.grid import Cell
    from bench.records.schema import Record
    from bench.report.leaderboard import Leaderboard
    from bench.terminal import Terminal

_BEST = 5
# Of the leaderboard's tables; with those of a row in one, it fits a terminal of 80 columns.
_NAMES, _FIGURES = ("backbone", "pooling", "head"), ("macro-F1 %>", "minutes per hour of audio>")
_HEADS = "row|macro-F1 %>|minutes/hour>"
_READ = (
    "Minutes are what computing takes for an hour of audio. The best of many by test score is a "
    "little lucky."
)
_PLAN = "what of the grid is done, and what is left?"


def show(made: Leaderboard, cells: Collection[Cell], plan: str) -> None:
    """Print it.

    Args:
        made: with the results of the run.
        cells: of the run, but those that were skipped.
        plan: the command that tells what is left.
    """
    from bench.commands.documents import groups
    from bench.commands.tables import say
    from bench.terminal import Terminal

    console = Terminal()
    found = False
    for kind, own in groups(made.found.records):
        if any(record.cell in cells for record in own):
            found = True
            _best(console, made, kind, own, cells)
    samples = sorted({record.task for record in made.boards.sample.records} & _tasks(cells))
    read = _READ if found else "No cell of this run has a result."
    say(console, f"{read} See {_where(made, cells)}. Next:")
    say(console, f"  {plan}  # {_PLAN}", whole=True)
    for line in _real_clips(samples):
        say(console, f"  {line}")


def _best(
    console: Terminal, made: Leaderboard, kind: str, own: Sequence[Record], cells: Collection[Cell]
) -> None:
    """The best of the rows of a task, protocol and kind, and the best one of the run."""
    from bench.commands.tables import say, show
    from bench.report.select import machines
    from bench.report.tables.ranking import values

    numbered = list(enumerate(own, start=1))
    shown = numbered[:_BEST]
    if not any(record.cell in cells for _, record in shown):
        shown[-1] = next(each for each in numbered if each[1].cell in cells)
    first = own[0]
    warned = ["generated clips"] * first.sample + [f"leaks {first.group}s"] * first.folding.leaks
    about = f" ({', '.join(warned)})" if warned else ""
    named = ", ".join([first.task, first.protocol, *({kind} - {"tuned"})])
    letters = machines(record for _, record in shown)
    board = made.boards.sample if first.sample else made.boards.real
    beside = replace(board.beside, letters=letters)
    rows = []
    for number, record in shown:
        name = ", ".join(values(record, _NAMES, beside))
        preset = f"{record.preset}: " if record.preset is not None else ""
        rows.append([f"{number}. {preset}{name}", *values(record, _FIGURES, beside)])
    say(console, f"Best of {len(own)}, {named}{about}:")
    show(console, _HEADS, rows)
    if len(letters) > 1:
        say(console, "; ".join(f"{letter}: {machine}" for machine, letter in letters.items()))


def _where(made: Leaderboard, cells: Collection[Cell]) -> str:
    """The pages that tell of the run, or the leaderboard where none does."""
    tasks = _tasks(cells)
    own = [board.page for board in made.boards if any(r.task in tasks for r in board.records)]
    return " and ".join(map(str, own or [made.path]))


def _tasks(cells: Collection[Cell]) -> set[str]:
    return {cell.task for cell in cells}


def _real_clips(samples: Collection[str]) -> Iterator[str]:
    """How to run on the clips that sample tasks stand for."""
    from bench import tasks
    from bench.errors import VoxgridError

    for name in tasks.names():
        twin = tasks.find(name).twin
        if twin not in samples:
            continue
        try:
            tasks.resolve(name)
        except VoxgridError as error:
            yield f"instead of {twin}: {error}"
        else:
            yield f"voxgrid run --task {name}  # instead of {twin}: its clips are on this machine"
