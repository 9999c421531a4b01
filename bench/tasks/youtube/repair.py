"""Ids that lost characters: which search result, if any, is provably the video meant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from bench.tasks.youtube.links import STRIPPED, Video, could_be, normalised, repairable

Outcome = Literal["repaired", "none fits", "several fit"]


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


@dataclass(frozen=True)
class Repair:
    """What became of one damaged id, and the evidence, in plain values.

    Attributes:
        row: the row of the table.
        left: the id as the table has it.
        id: the id to use, or None.
        outcome: what was decided, see `repair`.
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

    @property
    def why_not(self) -> str:
        """Why no id was given back, in words."""
        if self.outcome == "several fit":
            return f"the ids {' and '.join(self.fitting)} both fit what is left of it"
        found = "1 video" if self.candidates == 1 else f"{self.candidates} videos"
        return f"no id fits what is left of it; a search for the title found {found}"


def repair(video: Video, candidates: Iterable[Candidate]) -> Repair:
    """Decide which candidate is the video whose id lost characters.

    Only the id decides. Of `n` characters left, one id in 64^11 / ((12 - n) * 14^(11 - n)) fits
    by chance: one in 20 million for a single character, one in 9 * 10^10 for four. Titles and
    channels are shared, translated and changed.

    Args:
        video: of a table, its id damaged.
        candidates: what a search for its title found; the same id twice counts once.

    Returns:
        `repaired` where exactly one id fits; `none fits`, also where what is left says nothing
        (empty) or cannot be left by stripping; `several fit` where different ids do: then none
        of them is taken.
    """
    left = video.id
    by_id: dict[str, Candidate] = {}
    for candidate in candidates:
        by_id.setdefault(candidate.id, candidate)
    fitting = tuple(id for id in by_id if repairable(left) and could_be(id, left))
    taken = by_id[fitting[0]] if len(fitting) == 1 else Candidate("")
    front = len(taken.id) - len(taken.id.lstrip(STRIPPED))
    return Repair(
        row=video.row,
        left=left,
        id=taken.id or None,
        outcome="repaired" if taken.id else "several fit" if fitting else "none fits",
        lost_front=taken.id[:front],
        lost_back=taken.id[front + len(left) :],
        candidates=len(by_id),
        fitting=fitting,
        title=video.title,
        found_title=taken.title,
        title_similarity=_similarity(video.title, taken.title),
        channel=video.channel,
        found_channel=taken.channel,
        channel_similarity=_similarity(video.channel, taken.channel),
        duration=taken.duration,
    )


def _similarity(a: str | None, b: str | None) -> float | None:
    if not a or not b:
        return None
    return round(SequenceMatcher(None, normalised(a), normalised(b), autojunk=False).ratio(), 4)
