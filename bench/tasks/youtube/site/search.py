"""What yt-dlp's flat search answers, read into candidates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from bench.tasks.youtube.links.ids import intact
from bench.tasks.youtube.links.repair import Candidate


def candidates(result: Mapping[str, object] | None) -> tuple[Candidate, ...]:
    """Read the videos out of a flat search result.

    Args:
        result: what `extract_info("ytsearch5:…", download=False)` returns under `extract_flat`;
            None where yt-dlp was told to ignore errors and met one.

    Returns:
        The videos in the order of the result. Entries without a video's id (channels and
        playlists, entries that could not be read) are left out; of an entry with one, all else
        may be missing.
    """
    entries = result.get("entries") if result is not None else None
    if not isinstance(entries, Iterable) or isinstance(entries, str | Mapping):
        return ()
    return tuple(
        Candidate(id, text_of(entry, "title"), _channel(entry), positive(entry.get("duration")))
        for entry in entries
        if isinstance(entry, Mapping) and (id := text_of(entry, "id")) and intact(id)
    )


def text_of(entry: Mapping[str, object], key: str) -> str | None:
    """Return a trimmed text of an info dict; None where it is missing, empty or no text."""
    value = entry.get(key)
    return value.strip() or None if isinstance(value, str) else None


def _channel(entry: Mapping[str, object]) -> str | None:
    return text_of(entry, "channel") or text_of(entry, "uploader")


def positive(value: object) -> float | None:
    """Return a duration or size that yt-dlp says; None where it does not."""
    # a live stream has none, and bool is an int to Python
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value > 0 else None
