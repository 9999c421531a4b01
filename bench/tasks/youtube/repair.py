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
    """A video that a search found; None is what the search does not say."""

    id: str
    title: str | None = None
    channel: str | None = None
    duration: float | None = None  # in seconds; a live stream has none


@dataclass(frozen=True)
class Repair:
    """What became of one damaged id, and the evidence, in plain values."""

    row: int  # of the table
    left: str  # the id as the table has it
    id: str | None  # the one to use
    outcome: Outcome  # see `repair`
    lost_front: str  # characters given back
    lost_back: str
    candidates: int  # different ids looked at
    fitting: tuple[str, ...]  # all ids that fit
    title: str  # in the table
    found_title: str | None  # of the candidate taken
    title_similarity: float | None  # 0 to 1
    channel: str | None  # in the table
    found_channel: str | None  # of the candidate taken
    channel_similarity: float | None  # 0 to 1
    duration: float | None  # of the candidate taken, in seconds

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
        `repaired` where one id fits; `none fits`, also where what is left is empty or cannot be
        left by stripping; `several fit` where different ids do: then none of them is taken.
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
