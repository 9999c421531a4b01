"""Durations a person can read."""

from __future__ import annotations

import pytest

from bench.progress import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "<1 s"), (75, "75 s"), (600, "10 min"), (5400, "1 h 30 min"), (7199, "2 h 0 min")],
)
def test_durations_read_as_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
