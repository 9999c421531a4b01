"""Ids that lost characters: which search result, if any, is provably the video meant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.tasks.youtube.links import could_be, repairable
from bench.tasks.youtube.statuses import ItemError


@dataclass(frozen=True)
class Candidate:
    """A video that a search found; None is what the search does not say."""

    id: str
    title: str | None = None
    channel: str | None = None
    duration: float | None = None  # in seconds; a live stream has none


def repair(left: str, candidates: Iterable[Candidate]) -> Candidate:
    """Return the only candidate that can be the video whose id lost characters.

    Only the id decides. Of `n` characters left, one id in 64^11 / ((12 - n) * 14^(11 - n)) fits
    by chance: one in 20 million for a single character, one in 9 * 10^10 for four. Titles and
    channels are shared, translated and changed.

    Args:
        left: the id as the table has it.
        candidates: what a search for the title found; the same id twice counts once.

    Raises:
        ItemError: none fits, or several different ids do; or what is left is empty, or cannot be
            left by stripping.
    """
    by_id: dict[str, Candidate] = {}
    for candidate in candidates:
        by_id.setdefault(candidate.id, candidate)
    fitting = [id for id in by_id if repairable(left) and could_be(id, left)]
    if len(fitting) == 1:
        return by_id[fitting[0]]
    if fitting:
        reason = f"the ids {' and '.join(fitting)} both fit what is left of it"
        raise ItemError("not repaired", reason)
    found = "1 video" if len(by_id) == 1 else f"{len(by_id)} videos"
    reason = f"no id fits what is left of it; a search for the title found {found}"
    raise ItemError("not repaired", reason)
