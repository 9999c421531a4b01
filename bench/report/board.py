"""Leaderboards: real tasks and generated clips share no table, and each kind has a board."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.records.schema import Record
from bench.records.store import Folder
from bench.report.beside import Beside
from bench.report.select import older
from bench.report.speeds import fastest

# Beside the records. A sample task's name begins with it, but is longer.
_SAMPLE = "sample"
_PAGE = "leaderboard.md"


@dataclass(frozen=True)
class Board:
    """A leaderboard and what it is of.

    Attributes:
        page: where it lies; links of a page are relative to its folder.
        folder: where its CSV and its further pages lie.
        records: those of its tasks.
        beside: what its rows are read beside.
        older: of an older state of the data, which take no part.
    """

    page: Path
    folder: Path
    records: tuple[Record, ...]
    beside: Beside
    older: tuple[Record, ...] = ()


class Boards(NamedTuple):
    """Those of a results folder."""

    real: Board
    sample: Board

    @classmethod
    def of(cls, results: Path, page: Path, found: Folder) -> Boards:
        """The board of real tasks, at the page that is asked for, and that of generated clips."""

        def board(page: Path, folder: Path, sample: bool) -> Board:
            every = [each for each in found.records if each.sample == sample]
            past = older(every)
            left = {str(each.cell) for each in past}
            own = tuple(fastest([each for each in every if str(each.cell) not in left]))
            return Board(page, folder, own, Beside.of(results, own), tuple(past))

        folder = results / _SAMPLE
        return cls(board(page, results, False), board(folder / _PAGE, folder, True))
