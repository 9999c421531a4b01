"""A table shows every name and number whole, however narrow the terminal is."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.commands.tables import show
from tests.bench.commands.reading import words

NAMES = st.text("abz-_:./[]é", min_size=1, max_size=50).filter(lambda name: name.strip(",:"))
NUMBERS = st.floats(0, 1e9).map("{:.1f} MB".format)
PROSE = st.lists(NAMES, min_size=1, max_size=12).map(" ".join)


@given(
    st.lists(st.tuples(NAMES, NUMBERS, NUMBERS, PROSE), min_size=1, max_size=5),
    st.integers(20, 200),
)
def test_no_word_is_cut_at_any_width(rows: list[tuple[str, ...]], width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    show(console, "name|first>|second>|what it is", rows, title="A title", prose=True)
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    for row in rows:
        for cell in row:
            assert words(cell) <= words(printed)
    # a word that is longer than a line stands on one of its own
    assert all(len(line) <= width or " " not in line.strip() for line in printed.splitlines())
