"""Text from outside on its way to a person: what moves a cursor or turns a line is written out."""

from __future__ import annotations

import unicodedata

# Of a plugin's message or a file's, a longer one is a page that hides what came before it.
_LONGEST = 20_000
# Format characters that belong into words: joiners of scripts and of emoji.
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


def printable(text: str) -> str:
    """Text that a terminal shows as it stands; line breaks and tabs stay.

    Control characters, among them the one that begins a terminal's commands, marks that reverse
    the direction of a line, and surrogates become escapes, such as `\\x1b`.
    """
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… ({len(text) - _LONGEST} more characters)"
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in "\n\t" or character in _JOINERS:
        return character
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
        return character.encode("unicode_escape", "surrogatepass").decode("ascii")
    return character
