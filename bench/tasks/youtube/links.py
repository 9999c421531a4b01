"""One row of the table of links: the spelling of its cells, and the id in its link.

An id may have lost characters: which search result, if any, is provably the video meant?
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.printable import printable
from bench.tasks.youtube.statuses import ItemError

CATEGORIES = ("travel", "food", "art_music", "history")

# what the scraper handed to `str.strip`, which takes it for a set of characters
STRIPPED = "https://www.youtube.com/watch?v="
LENGTH = 11

_ID = re.compile(r"[A-Za-z0-9_-]+")
_IN_URL = re.compile(
    r"(?:(?:^|[?&])v=|(?i:youtu\.be/|youtube(?:-nocookie)?\.com/(?:embed|shorts|live|v)/))"
    r"([^?&#/\s]*)"
)
# what the page shows below the channel's name, copied into the description with it
_BELOW_CHANNEL = re.compile(r"(?:[\d.,]+\s*[KMB]? subscribers?|SUBSCRIBE|JOIN)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Video:
    """One row of the table."""

    row: int  # as a spreadsheet shows it; the header is row 1
    left: str  # what the link has of the id; it may have lost characters
    category: str  # one of `CATEGORIES`; in an excluded row also anything else
    title: str
    channel: str | None = None  # first line of the description; None where that names no channel
    link: str = ""  # as written


@dataclass(frozen=True)
class Found:
    """A video on the site; None is what the site does not say."""

    id: str
    title: str | None = None
    channel: str | None = None
    duration: float | None = None  # in seconds; a live stream has none
    channel_id: str | None = None
    info: Mapping[str, Any] = field(default_factory=dict, compare=False)  # all that yt-dlp says


def from_link(link: str) -> str:
    """Return the id in a link (`…watch?v=ID&t=10s`, `youtu.be/ID`, an id alone) as it is there.

    Of a text that looks like none of these, itself comes back, so that a message can show it.
    """
    text = link.strip()
    if match := _IN_URL.search(text):
        return match[1]
    return re.split(r"[?&#]", text, maxsplit=1)[0] or text


def stripped(text: str) -> str:
    """Do to a text what the scraper did to each link."""
    return text.strip(STRIPPED)


def intact(id: str) -> bool:
    """Whether an id has all of its 11 characters: nothing can have been stripped then."""
    return len(id) == LENGTH and _ID.fullmatch(id) is not None


def repairable(left: str) -> bool:
    """Whether a text is what stripping may leave of an id, and some of the id is left.

    Not so where it begins or ends with a character that the scraper cannot have left there.
    """
    return 0 < len(left) < LENGTH and _ID.fullmatch(left) is not None and stripped(left) == left


def could_be(candidate: str, left: str) -> bool:
    """Whether a candidate is an id of which the scraper leaves exactly this."""
    return intact(candidate) and stripped(candidate) == left


def repair(left: str, candidates: Iterable[Found]) -> Found:
    """Return the only candidate that can be the video whose id lost characters.

    Only the id decides. Of `n` characters left, one id in 64^11 / ((12 - n) * 14^(11 - n)) fits
    by chance: one in 20 million for a single character, one in 9 * 10^10 for four. Titles and
    channels are shared, translated and changed.

    Raises:
        ItemError: none fits, or several different ids do; or what is left is empty, or cannot be
            left by stripping.
    """
    by_id = {candidate.id: candidate for candidate in candidates}
    fitting = [id for id in by_id if repairable(left) and could_be(id, left)]
    if len(fitting) == 1:
        return by_id[fitting[0]]
    if fitting:
        reason = f"the ids {' and '.join(fitting)} both fit what is left of it"
    else:
        found = "1 video" if len(by_id) == 1 else f"{len(by_id)} videos"
        reason = f"no id fits what is left of it; a search for the title found {found}"
    raise ItemError("not repaired", reason)


_LONGEST_TITLE = 1000


def plain_title(text: str) -> str:
    """Return a title or a channel in one spelling, whatever its case, spaces or code points."""
    # to put thousands of accents in order takes as long as their number squared
    folded = unicodedata.normalize("NFKC", text[:_LONGEST_TITLE]).casefold()
    # folding may undo the composition
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def category_of(text: str) -> str:
    """Return a category, known or not, in the spelling of `CATEGORIES`: 'Art and Music' too."""
    words = re.findall(r"[^\W_]+", text.casefold())
    return "_".join(word for word in words if word != "and")


def channel_of(description: str) -> str | None:
    """Return the first line of a description, which names the channel; None where it does not.

    Any other text there counts as a channel too: rows that share it stay on one side.
    """
    lines = (line.strip() for line in description.replace("\r", "\n").split("\n"))
    first = next((line for line in lines if line), "")
    return None if not first or _BELOW_CHANNEL.fullmatch(first) else first


def short(text: str, most: int = 40) -> str:
    """Return a cell for a message: one printable line, not too long."""
    line = printable(" ".join(text[: 2 * most].split()))
    return line if len(line) <= most else line[: most - 1] + "…"
