"""What yt-dlp's flat search answers, read into candidates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from bench.tasks.youtube.ids import intact
from bench.tasks.youtube.repair import Candidate


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
        Candidate(id, _text(entry, "title"), _channel(entry), _duration(entry.get("duration")))
        for entry in entries
        if isinstance(entry, Mapping) and (id := _text(entry, "id")) and intact(id)
    )


def _text(entry: Mapping[str, object], key: str) -> str | None:
    value = entry.get(key)
    return value.strip() or None if isinstance(value, str) else None


def _channel(entry: Mapping[str, object]) -> str | None:
    return _text(entry, "channel") or _text(entry, "uploader")


def _duration(value: object) -> float | None:
    # a live stream has none, and bool is an int to Python
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value > 0 else None
