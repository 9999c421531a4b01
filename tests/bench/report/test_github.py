"""The committed leaderboard as GitHub renders it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import cmarkgfm
from cmarkgfm.cmark import Options

PAGE = Path(__file__).parents[3] / "leaderboard.md"
_MOST_LINES, _MOST_COLUMNS = 150, 8
# What Markdown stands for, and the figures, which are another one on dark pages.
_HEADINGS, _TEXT = {"h1", "h2", "h3"}, {"p", "ul", "li", "strong", "em", "code", "a"}
_TABLE = {"table", "thead", "tbody", "tr", "th", "td"}
_FIGURES = {"picture", "source", "img"}


class Rendered(HTMLParser):
    """Tags, and the number of cells in each row of each table."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.tables: list[list[int]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append(0)
        elif tag in ("td", "th"):
            self.tables[-1][-1] += 1


def test_the_committed_page_is_short_and_renders_as_meant() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= _MOST_LINES
    # raw HTML is kept, so that none but the figures' shows
    html = cmarkgfm.github_flavored_markdown_to_html(text, Options.CMARK_OPT_UNSAFE)
    page = Rendered(html)
    assert page.tags <= _HEADINGS | _TEXT | _TABLE | _FIGURES
    written = re.findall(r"^\|(?:[ :-]*\|)+$", text, re.M)
    assert len(page.tables) == len(written) >= 5
    for table in page.tables:
        assert len(set(table)) == 1
        assert table[0] <= _MOST_COLUMNS
    assert html.count("<picture>") == text.count("<picture>") == html.count("<img ")
