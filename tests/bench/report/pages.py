"""What a page shows, taken from its Markdown."""

from __future__ import annotations

import re
from pathlib import Path

from bench.records import store as records
from bench.records.schema import Record
from bench.report.leaderboard import Leaderboard


def store(results: Path, *found: Record) -> None:
    for record in found:
        records.write(results, record)


def render(results: Path) -> str:
    """The pages of a results folder, the leaderboard beside it first, then the others."""
    made = Leaderboard.of(results, results.parent / "leaderboard.md")
    return "\n".join(text for path, text in made.texts().items() if path in made.pages)


def main_page(results: Path) -> str:
    """The leaderboard alone, but for the line that leads to other pages."""
    page = results.parent / "leaderboard.md"
    text = Leaderboard.of(results, page).texts()[page]
    return re.sub(r"\nMore: .*\n", "", text)


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next of its level or above."""
    level, start = re.search(rf"^(#+) {re.escape(heading)}.*\n", text, re.M), None
    assert level is not None, f"no heading '{heading}' in:\n{text}"
    start = level.end()
    after = re.search(rf"^#{{1,{len(level[1])}}} ", text[start:], re.M)
    return text[start : start + after.start()] if after else text[start:]


def rows(text: str) -> list[list[str]]:
    """Body cells of the first table in a text."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
