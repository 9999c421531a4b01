"""YouTube ids as the table writes them: whole, or with both ends eaten by its scraper."""

from __future__ import annotations

import re

# what the scraper handed to `str.strip`, which takes it for a set of characters
STRIPPED = "https://www.youtube.com/watch?v="
LENGTH = 11

_ID = re.compile(r"[A-Za-z0-9_-]+")
_IN_URL = re.compile(
    r"(?:(?:^|[?&])v=|(?i:youtu\.be/|youtube(?:-nocookie)?\.com/(?:embed|shorts|live|v)/))"
    r"([^?&#/\s]*)"
)


def from_link(link: str) -> str:
    """Return the id a link holds, as it is written there.

    Args:
        link: a link (`…watch?v=ID&t=10s`, `youtu.be/ID`), or an id alone.

    Returns:
        The id without further parameters; the trimmed text itself where it looks like neither,
        so that a message can show it.
    """
    text = link.strip()
    match = _IN_URL.search(text)
    if match is not None:
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

    Args:
        left: the id as the table has it.

    Returns:
        False for an intact id, for an empty one (nothing says which video it was), and for one
        that begins or ends with a character that the scraper cannot have left there.
    """
    return 0 < len(left) < LENGTH and _ID.fullmatch(left) is not None and stripped(left) == left


def could_be(candidate: str, left: str) -> bool:
    """Whether a candidate is an id of which the scraper leaves exactly this.

    That is the same as: the candidate holds `left`, and every character before and after it
    belongs to the stripped set, while the ends of `left` do not. An id made of the set alone
    leaves the empty text, so it is one of many that could be `''`. An 11-character `left` is
    only matched by itself, and only where the scraper could have left it.

    Args:
        candidate: an id, e.g. from a search.
        left: the id as the table has it.
    """
    return intact(candidate) and stripped(candidate) == left
