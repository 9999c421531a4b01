"""Who speaks: read from paths by a pattern, or guessed from file names and never taken unasked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bench.clips import shortened
from bench.config.own import pattern
from bench.errors import UserError
from bench.tasks.own.rows import Found, Row

_SEPARATORS = "_-."
_NAMED = 3


@dataclass(frozen=True)
class Guess:
    """A pattern that would give speakers, each of several clips.

    Attributes:
        pattern: as `--speaker` takes it.
        speakers: in order.
        words: where they are, such as `the name up to '_'`.
    """

    pattern: str
    speakers: tuple[str, ...]
    words: str


def named(found: Found, text: str) -> Found:
    """The same rows, with the speakers that a pattern finds in their paths.

    Raises:
        UserError: a path does not fit.
    """
    rows = []
    for row in found.rows:
        speaker = _speaker(found, row, text)
        if speaker is None:
            raise UserError(
                f"--speaker '{text}' finds no speaker in '{_relative(found, row)}': write a "
                "pattern that fits every file, or a table with a column 'speaker'"
            )
        rows.append(row.of(speaker))
    return replace(found, rows=tuple(rows), read=found.read | {"group": f"pattern '{text}'"})


def guesses(found: Found) -> list[Guess]:
    """Patterns that may name speakers: folders first, then what names begin with."""
    return [guess for text, words in _tries(found) if (guess := _guess(found, text, words))]


def _tries(found: Found) -> Iterator[tuple[str, str]]:
    # below a folder per class, or below the folder of the table
    yield "{speaker}/*", "the folder"
    for separator in _SEPARATORS:
        yield f"{{speaker}}{separator}*", f"the name up to '{separator}'"
    for separator in _SEPARATORS:
        yield f"*{separator}{{speaker}}", f"the name from the last '{separator}'"


def _guess(found: Found, text: str, words: str) -> Guess | None:
    speakers = [_speaker(found, row, text) for row in found.rows]
    if None in speakers:
        return None
    counts = Counter(speaker for speaker in speakers if speaker is not None)
    labels = {row.label for row in found.rows}
    # of fewer there is no group to keep apart, and of many most have one clip
    if len(counts) < 2 or min(counts.values()) < 2 or set(counts) == labels:
        return None
    return Guess(text, tuple(sorted(counts)), words)


def _speaker(found: Found, row: Row, text: str) -> str | None:
    expression, parts = pattern(text)
    relative = _relative(found, row)
    if not parts:
        match = expression.search(relative)
    else:
        own = relative.rpartition(".")[0].split("/")
        match = expression.fullmatch("/".join(own[-parts:])) if len(own) >= parts else None
    return match["speaker"] or None if match else None


def _relative(found: Found, row: Row) -> str:
    try:
        return row.path.relative_to(found.root).as_posix()
    except ValueError:
        return row.path.as_posix()


def told(guesses_: Sequence[Guess]) -> str:
    """The guesses in words, with the option that takes the first."""
    if not guesses_:
        return "no pattern of file names looks like speakers"
    first = guesses_[0]
    return (
        f"{len(first.speakers)} speakers from {first.words}? ({shortened(first.speakers, _NAMED)}) "
        f"then add --speaker '{first.pattern}'"
    )
