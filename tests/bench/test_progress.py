"""Durations a person can read, and how a run stands: a bar on terminals, lines elsewhere."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from bench.progress import Reporter, Standing, duration

HALF = Standing(3, 126, 60.0, 60.0, True, "tune ravdess on xlsr", "epoch 3")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "<1 s"), (75, "75 s"), (600, "10 min"), (5400, "1 h 30 min"), (7199, "2 h 0 min")],
)
def test_durations_read_as_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize("kind", ["file", "dumb"])
def test_without_a_terminal_that_redraws_a_run_says_again_and_again_how_it_stands(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb" if kind == "dumb" else "xterm")
    console = Console(file=io.StringIO(), force_terminal=kind == "dumb", width=80)
    with Reporter(console).whole(lambda: HALF, every=0.02):
        time.sleep(0.3)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) > 3
    words = "[3/126] 50.0 %, 0:01:00, left 0:01:00 ?: tune ravdess on xlsr; epoch 3"
    assert set(lines) == {words}


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_on_a_terminal_the_figures_beside_the_bar_are_whole(width: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width, _environ={})
    with Reporter(console).whole(lambda: HALF):
        console.print("a line above")
    assert isinstance(console.file, io.StringIO)
    drawn = " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", " ", console.file.getvalue()).split())
    assert "[3/126] 50.0 %, 0:01:00, left 0:01:00 ?" in drawn
    assert "tune ravdess on xlsr" in drawn
    assert "a line above" in drawn


def test_the_time_left_of_a_phase_is_that_of_the_pace_so_far_without_what_was_there() -> None:
    console = Console(file=io.StringIO())
    with Reporter(console).phase("scan (clips)", 10) as phase:
        phase.at(4, 10)  # of an earlier run
        assert str(phase.standing()) == "[4/10] 0.0 %, 0:00:00"
        time.sleep(0.05)
        phase.at(7, 10)
        half = phase.standing()
        assert (half.share, half.left) == (pytest.approx(0.5), pytest.approx(half.elapsed))
        phase(3)
        assert (phase.standing().share, phase.standing().left) == (1.0, 0.0)


def test_a_run_with_nothing_to_do_stands_at_its_end() -> None:
    assert Standing(0, 0, 0.0, 0.0, False, "").share == 1.0
