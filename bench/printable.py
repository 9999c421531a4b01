"""Text from outside on its way to a person: what moves a cursor or turns a line is written out."""

from __future__ import annotations

import unicodedata

# Format characters that belong into words: joiners of scripts and of emoji.
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


def printable(text: str) -> str:
    r"""One line that any file or terminal takes as it stands.

    Control characters, among them the one that begins a terminal's commands, marks that reverse
    the direction of a line, and bytes that are no UTF-8 become codes, such as `\x1b`.
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


def printable_lines(text: str) -> str:
    """The same of a text of several lines."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _shown(character: str) -> str:
    plain = character.isprintable() or character in _JOINERS
    if plain or unicodedata.category(character) in ("Zs", "Cn", "Co"):
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def no_formula(text: str) -> str:
    """A cell of a table for spreadsheets too, which run what begins like a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
