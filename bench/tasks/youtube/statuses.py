"""What became of a video's sound, and what the words of YouTube and yt-dlp mean for it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Literal, get_args

from pydantic import TypeAdapter

from bench.errors import VoxgridError
from bench.printable import printable

Status = Literal[
    "ok",
    "not repaired",
    "unavailable",
    "private",
    "removed",
    "age-restricted",
    "geo-blocked",
    "members only",
    "live",
    "no sound",
    "too large",
    "too slow",
    "not audio",
    "refused",
    "blocked",
    "failed",
    "not tried",
]

# The others are tried again by the next run: the network, the site's mood of the hour or this
# machine's means brought them about.
STATUSES: tuple[Status, ...] = get_args(Status)
FINAL = frozenset(STATUSES) - {"not tried", "failed", "blocked", "too slow"}

_MOST = 200  # characters of a reason

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_PREFIX = re.compile(r"^(?:\s*ERROR:\s*)?(?:\[[\w:+.-]+\]\s*)?(?:[\w-]{11}:\s+)?")
# where yt-dlp stops saying what happened and begins to say what to do about yt-dlp
_ADVICE = re.compile(
    r"[;,.]?\s*(?:please report this issue on\b|confirm you are on the latest version|"
    r"(?:Use|Pass|See)\s+--?\w|Use --cookies|Also see\s+https|See\s+https?://|"
    r"For more information, refer to|It is recommended to use `|"
    r"\(caused by\b).*",
    re.IGNORECASE | re.DOTALL,
)

_TEXTS = TypeAdapter(dict[Status, list[str]]).validate_python(
    tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
)
_REASONS: dict[Status, re.Pattern[str]] = {
    status: re.compile("|".join(texts), re.IGNORECASE) for status, texts in _TEXTS.items()
}


class ItemError(VoxgridError):
    """One video's sound is not to be had, now or ever; its message is the reason alone."""

    def __init__(
        self, status: Status, reason: str, passing: bool = False, retry_after: float | None = None
    ):
        super().__init__(cleaned(reason))
        self.status: Status = status  # to note for the video, unless asking again helps
        # whether to ask anew; broken connections and the like yt-dlp has tried again by itself
        self.passing = passing
        self.retry_after = retry_after  # seconds that the server asks to wait first


class Stopped(VoxgridError):
    """Something was ended because a stop was asked for; nothing is said about the video."""


def status_of(text: str) -> Status | None:
    """Return what a sentence of YouTube's means; None where it is not known."""
    return next((status for status, pattern in _REASONS.items() if pattern.search(text)), None)


def cleaned(text: str) -> str:
    """Return a message of yt-dlp as one short line that only says what happened."""
    # single blanks, as a long row of them would be looked at again from each
    line = _PREFIX.sub("", " ".join(_ANSI.sub("", text).split()), count=1)
    line = printable(_ADVICE.sub("", line).strip(" .;,:")) or "no reason given"
    return line if len(line) <= _MOST else line[: _MOST - 1] + "…"
