"""No text from outside gives a terminal commands, turns a line around or hides another."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.commands import tables
from bench.errors import crashes_of, raised, said
from bench.printable import printable, printable_lines
from bench.progress import Reporter
from bench.terminal import Terminal
from tests.conftest import Voxgrid

# clears the screen; names the window; turns the line around; ends it; is no UTF-8
EVIL = "a\x1b[2Jb\x1b]0;title\x07c\u202ed\re\x9bf\udce9"
SHOWN = r"a\x1b[2Jb\x1b]0;title\x07c\u202ed\re\x9bf\udce9"

COMMANDS = set("\x1b\x07\u202e\r\x9b\udce9")


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_printable_stays_and_all_else_becomes_a_code(text: str) -> None:
    shown = printable(text)
    assert not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in shown)
    assert printable(shown) == shown
    assert printable_lines(text).split("\n") == [printable(line) for line in text.split("\n")]
    shown.encode("utf-8")
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    "text", ["é ü 日本語 → – “x” 👩‍🚀", "नमस्ते क्‍ष", "no\N{NO-BREAK SPACE}break"]
)
def test_words_of_any_script_are_left_alone(text: str) -> None:
    assert printable(text) == text


def drawn(*things: object, width: int = 300) -> str:
    file = io.StringIO()
    terminal = Terminal(file=file, force_terminal=True, color_system="standard", width=width)
    for thing in things:
        terminal.print(thing)
    return file.getvalue()


def test_a_terminal_shows_codes_whatever_they_stand_in() -> None:
    table = Table(title=Text(EVIL))
    table.add_column(Text(EVIL))
    table.add_row(Text(EVIL, style="bold red"))
    found = drawn(table, Text(EVIL))
    assert found.count(r"a\x1b[2Jb\x1b]0;ti") == 4
    for own in ("\x1b[1m", "\x1b[1;31m", "\x1b[0m"):
        found = found.replace(own, "")
    assert not set(found) & COMMANDS


def test_a_terminal_keeps_its_own_colours_and_bars() -> None:
    found = drawn(Text("word", style="bold red"), ProgressBar(1.0, 0.5, width=10))
    assert "\x1b[1;31mword\x1b[0m" in found
    assert "\\x1b" not in found


@pytest.mark.parametrize("width", [30, 300])
def test_tables_sentences_and_progress_are_no_way_around(width: int) -> None:
    file = io.StringIO()
    terminal = Terminal(file=file, width=width)
    tables.show(terminal, "head|of>", [[EVIL, EVIL]], title=EVIL)
    tables.say(terminal, EVIL)
    Reporter(terminal).say(EVIL)
    found = file.getvalue()
    assert not set(found) & COMMANDS
    assert "x1b" in found


def test_an_unknown_key_of_a_settings_file_is_shown_in_codes(voxgrid: Voxgrid, tmp_path) -> None:
    (tmp_path / "grid.toml").write_text('"\\u001b]0;title\\u0007" = 1\n')
    done = voxgrid("plan")
    assert done.returncode == 2
    assert r"grid.toml has an unknown key '\x1b]0;title\x07'" in done.stderr
    assert "\x1b" not in done.stderr


class Speechless(Exception):
    def __str__(self) -> str:
        raise KeyError("words")


class Unusual(BaseException):
    """As of a library whose panics derive from no Exception."""


@pytest.mark.parametrize("error", [Speechless(), Unusual("odd\nwords"), SystemExit(3)])
def test_any_exception_of_other_people_becomes_one_of_ours(error: BaseException) -> None:
    with (
        pytest.raises(Exception, match="plugin did: ") as caught,
        crashes_of("plugin did: ", lambda: ["plugin"]),
    ):
        raise error
    assert "\n" not in str(caught.value)


def test_what_an_error_says_is_one_line_of_bounded_length() -> None:
    assert said(ValueError(EVIL + "\n  and more")).startswith(SHOWN.replace(r"\r", " "))
    assert len(said(ValueError("x" * 10**7))) < 2000
    assert said(Speechless()) == "it cannot say what: KeyError"
    assert raised(Unusual()) == "Unusual: "
