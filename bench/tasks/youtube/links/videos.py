"""One row of the table of links, and how its cells are spelled."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from bench.tasks.youtube.links.ids import stripped

CATEGORIES = ("travel", "food", "art_music", "history")

Why = Literal[
    "copy of a row",
    "wrong number of cells",
    "unknown category",
    "unreadable link",
    "link with several categories",
    "title with several categories",
    "repeated link",
    "repeated title",
]

# what the page shows below the channel's name, copied into the description with it
_BELOW_CHANNEL = re.compile(r"(?:[\d.,]+\s*[KMB]? subscribers?|SUBSCRIBE|JOIN)", re.IGNORECASE)


@dataclass(frozen=True)
class Video:
    """One row of the table.

    Attributes:
        row: its number as a spreadsheet shows it; the header is row 1.
        link: the link as written.
        id: what the link says the id is; it may have lost characters, see `ids.py`.
        title: as written, trimmed.
        category: one of `CATEGORIES`; in an excluded row also anything else.
        channel: the first line of the description, None where that names no channel.
    """

    row: int
    link: str
    id: str
    title: str
    category: str
    channel: str | None

    @property
    def group(self) -> str:
        """What must not straddle train and test: the channel, or the video alone without one.

        Spellings of a channel that differ in case or space share a group: merging two channels
        costs a little data, splitting one leaks.
        """
        if self.channel is None:
            return f"video:{self.id}"
        return f"channel:{normalised(self.channel)}"


@dataclass(frozen=True)
class Excluded:
    """A row left out: the kind of reason, to be counted, and the reason in one sentence."""

    video: Video
    why: Why
    reason: str


def normalised(text: str) -> str:
    """Return a title or a channel in one spelling, whatever its case, spaces or code points."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    # folding may undo the composition
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def category_of(text: str) -> str:
    """Return a category in the spelling of `CATEGORIES`: 'Art and Music' is `art_music`.

    What is no known category comes back in the same spelling, to be named in a reason.
    """
    words = re.findall(r"[^\W_]+", text.casefold())
    return "_".join(word for word in words if word != "and")


def channel_of(description: str) -> str | None:
    """Return the first line of a description, which names the channel; None where it does not.

    Any other text on that line counts as a channel too: rows that share it are then kept on one
    side, which is the safe mistake.
    """
    lines = description.replace("\r", "\n").split("\n")
    first = next((line.strip() for line in lines if line.strip()), "")
    if not first or _BELOW_CHANNEL.fullmatch(first):
        return None
    return first


def link_key(video: Video) -> str:
    """Return what the links of one video have in common, be they damaged or whole."""
    return stripped(video.id) or video.id


def title_key(video: Video) -> str:
    """Return what the titles of one video have in common; empty where it has none."""
    return normalised(video.title)


def short(text: str, most: int = 40) -> str:
    """Return a cell for a message: one line, not too long."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
