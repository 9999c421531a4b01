"""Ids that lost characters: which search result, if any, is provably the video meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Literal, Protocol, get_args

from bench.tasks.youtube.links.ids import STRIPPED, could_be, intact, repairable
from bench.tasks.youtube.links.videos import Video, normalised

__all__ = [
    "Candidate",
    "Outcome",
    "Repair",
    "RepairRow",
    "RepairTable",
    "Search",
    "choose",
    "could_be",
    "intact",
    "repair",
]

Outcome = Literal["intact", "repaired", "none fits", "several fit"]


@dataclass(frozen=True)
class Candidate:
    """A video that a search found.

    Attributes:
        id: its id.
        title: None where the search does not say it.
        channel: None where the search does not say it.
        duration: in seconds; None for a live stream, or where the search does not say it.
    """

    id: str
    title: str | None = None
    channel: str | None = None
    duration: float | None = None


class Search(Protocol):
    """Finds videos by title."""

    def __call__(self, title: str) -> Sequence[Candidate]:
        """Return what is found, best first; nothing where nothing is."""
        ...


@dataclass(frozen=True)
class Repair:
    """What became of one id.

    Attributes:
        left: the id as the table has it.
        outcome: what was decided.
        id: the id to use; None unless `intact` or `repaired`.
        candidate: the one that fits, where it is the only one.
        fitting: ids of all candidates that fit.
        candidates: how many different ids were looked at.
    """

    left: str
    outcome: Outcome
    id: str | None = None
    candidate: Candidate | None = None
    fitting: tuple[str, ...] = ()
    candidates: int = 0

    @property
    def lost(self) -> tuple[str, str]:
        """The characters given back before and after what was left."""
        if self.id is None:
            return "", ""
        front = 0 if self.outcome == "intact" else len(self.id) - len(self.id.lstrip(STRIPPED))
        return self.id[:front], self.id[front + len(self.left) :]


def choose(left: str, candidates: Iterable[Candidate]) -> Repair:
    """Decide which candidate is the video whose id lost characters.

    Only the id decides. Of `n` characters left, one id in 64^11 / ((12 - n) * 14^(11 - n)) fits
    by chance: one in 20 million for a single character, one in 9 * 10^10 for four. Titles and
    channels are shared, translated and changed.

    Args:
        left: the id as the table has it.
        candidates: what a search for the title found; the same id twice counts once.

    Returns:
        `intact` where nothing was lost, whatever the candidates; `repaired` where exactly one id
        fits; `none fits`, also for a `left` that says nothing (empty) or that stripping cannot
        leave; `several fit` where different ids do: then none of them is taken.
    """
    if intact(left):
        return Repair(left, "intact", left)
    by_id: dict[str, Candidate] = {}
    for candidate in candidates:
        by_id.setdefault(candidate.id, candidate)
    fitting = tuple(id for id in by_id if repairable(left) and could_be(id, left))
    if not fitting:
        return Repair(left, "none fits", candidates=len(by_id))
    if len(fitting) > 1:
        return Repair(left, "several fit", fitting=fitting, candidates=len(by_id))
    return Repair(left, "repaired", fitting[0], by_id[fitting[0]], fitting, len(by_id))


@dataclass(frozen=True)
class RepairRow:
    """One video's id before and after, and the evidence, in plain values.

    Attributes:
        row: the row of the table.
        left: the id as the table has it.
        id: the id to use, or None.
        outcome: what was decided, see `choose`.
        lost_front: characters given back at the front.
        lost_back: characters given back at the back.
        candidates: how many different ids were looked at.
        fitting: ids of all that fit.
        title: in the table.
        found_title: of the candidate taken.
        title_similarity: of the two, 0 to 1; None without a candidate or its title.
        channel: in the table.
        found_channel: of the candidate taken.
        channel_similarity: of the two, 0 to 1; None where either is unknown.
        duration: of the candidate taken, in seconds.
    """

    row: int
    left: str
    id: str | None
    outcome: Outcome
    lost_front: str
    lost_back: str
    candidates: int
    fitting: tuple[str, ...]
    title: str
    found_title: str | None
    title_similarity: float | None
    channel: str | None
    found_channel: str | None
    channel_similarity: float | None
    duration: float | None


@dataclass(frozen=True)
class RepairTable:
    """What became of the ids of a table, one row per video."""

    rows: tuple[RepairRow, ...]

    def ids(self) -> dict[int, str]:
        """Return the id to use by row of the table; videos without one are left out."""
        return {row.row: row.id for row in self.rows if row.id is not None}

    def counts(self) -> Mapping[Outcome, int]:
        """Return how many videos had each outcome, none left out."""
        found = Counter(row.outcome for row in self.rows)
        return {outcome: found[outcome] for outcome in get_args(Outcome)}

    def records(self) -> list[dict[str, object]]:
        """Return the rows as plain values that a table file can hold."""
        return [asdict(row) | {"fitting": list(row.fitting)} for row in self.rows]


def repair(video: Video, search: Search) -> RepairRow:
    """Look for a video's id where it lost characters, and note the evidence.

    Args:
        video: of a table; nothing is searched for where its id is intact.
        search: finds candidates by title; what it raises is passed on.
    """
    found = choose(video.id, () if intact(video.id) else search(video.title))
    lost_front, lost_back = found.lost
    taken = found.candidate
    found_title = taken.title if taken else None
    found_channel = taken.channel if taken else None
    return RepairRow(
        row=video.row,
        left=video.id,
        id=found.id,
        outcome=found.outcome,
        lost_front=lost_front,
        lost_back=lost_back,
        candidates=found.candidates,
        fitting=found.fitting,
        title=video.title,
        found_title=found_title,
        title_similarity=_similarity(video.title, found_title),
        channel=video.channel,
        found_channel=found_channel,
        channel_similarity=_similarity(video.channel, found_channel),
        duration=taken.duration if taken else None,
    )


def _similarity(a: str | None, b: str | None) -> float | None:
    if not a or not b:
        return None
    return round(SequenceMatcher(None, normalised(a), normalised(b), autojunk=False).ratio(), 4)
