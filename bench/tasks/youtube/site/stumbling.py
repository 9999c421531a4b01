"""What yt-dlp trips over in one video's odd data ends that video, not the whole fetch."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from yt_dlp.utils import YoutubeDLError

_OURS = __name__.partition(".")[0]
_THEIRS = YoutubeDLError.__module__.partition(".")[0]


class Stumbled(YoutubeDLError):
    """Code of yt-dlp raised what it should not have, such as a TypeError."""


@contextmanager
def stumbling() -> Iterator[None]:
    """Call yt-dlp within this block.

    A site changes, and an extractor finds None where a text was: that is an AttributeError, a
    LookupError, a TypeError or a ValueError, which yt-dlp lets through. What code of ours raises
    when yt-dlp calls it back is a bug of ours, and stays what it is.

    Raises:
        Stumbled: one of the four was raised within yt-dlp.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        if _innermost(error) != _THEIRS:
            raise
        raise Stumbled(f"{type(error).__name__}: {error}") from error


def _innermost(error: BaseException) -> str:
    """Return whose code was at work, yt-dlp's or ours; it may have called others meanwhile."""
    found = _OURS
    for frame, _ in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package in (_OURS, _THEIRS):
            found = package
    return found
