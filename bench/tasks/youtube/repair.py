"""Ids that lost characters: which search result, if any, is provably the video meant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.tasks.youtube.links import could_be, repairable


@dataclass(frozen=True)
class Candidate:
    """A video that a search found; None is what the search does not say."""

    id: str
    title: str | None = None
    channel: str | None = None
    duration: float | None = None  # in seconds; a live stream has none


@dataclass(frozen=True)
class NotRepaired:
    """No candidate is the video, or several may be."""

    reason: str


def repair(left: str, candidates: Iterable[Candidate]) -> Candidate | NotRepaired:
    """Decide which candidate is the video whose id lost characters.

    Only the id decides. Of `n` characters left, one id in 64^11 / ((12 - n) * 14^(11 - n)) fits
    by chance: one in 20 million for a single character, one in 9 * 10^10 for four. Titles and
    channels are shared, translated and changed.

    Args:
        left: the id as the table has it.
        candidates: what a search for the title found; the same id twice counts once.

    Returns:
        The only one that fits. None is taken where several different ids do, nor where what is
        left is empty or cannot be left by stripping.
    """
    by_id: dict[str, Candidate] = {}
    for candidate in candidates:
        by_id.setdefault(candidate.id, candidate)
    fitting = [id for id in by_id if repairable(left) and could_be(id, left)]
    if len(fitting) == 1:
        return by_id[fitting[0]]
    if fitting:
        return NotRepaired(f"the ids {' and '.join(fitting)} both fit what is left of it")
    found = "1 video" if len(by_id) == 1 else f"{len(by_id)} videos"
    return NotRepaired(f"no id fits what is left of it; a search for the title found {found}")
