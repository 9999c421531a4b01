"""Where a section of a file begins and ends, as tables tell it."""

from __future__ import annotations

import math

import pandas as pd

from bench.errors import UserError


def section(
    found: str, start: str, end: str, duration: str = ""
) -> tuple[float, float | None] | None:
    """Seconds where a section begins and ends, None being the file's end; None of a whole file.

    Times are seconds, or `h:m:s`. Without a start a duration says nothing: it is the file's.

    Args:
        found: the table and line, for errors.

    Raises:
        UserError: one is no time, or the end is not behind the start.
    """
    begin = _seconds(found, "start", start)
    last = _seconds(found, "end", end)
    if last is None and begin is not None:
        length = _seconds(found, "duration", duration)
        last = None if length is None else begin + length
    if not begin and last is None:
        return None
    begin = begin or 0.0
    if last is not None and last <= begin:
        raise UserError(f"{found}: the section ends at {last:g} s, and begins at {begin:g} s")
    return begin, last


def told(section: tuple[float, float | None] | None) -> list[str]:
    """Start and end as text that `section` reads."""
    start, end = section or (None, None)
    return ["" if time is None else repr(time) for time in (start, end)]


def _seconds(found: str, what: str, text: str) -> float | None:
    text = text.strip()
    if not text or text in ("NaT", "-1"):  # what audformat and Kaldi call a file's end
        return None
    try:
        value = pd.to_timedelta(text).total_seconds() if ":" in text else float(text)
    except ValueError as error:
        raise UserError(f"{found}: {what} '{text}' is no number of seconds") from error
    if not math.isfinite(value) or value < 0:
        raise UserError(f"{found}: {what} '{text}' is no time in a file")
    return value
