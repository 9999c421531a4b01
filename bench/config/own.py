"""Settings of one's own data: where the recordings are, and how their labels are read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, field_validator

from bench.config.base import FilePath, Settings

# Of a task, and so of folders and files.
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class OwnData(Settings):
    """A table or folder of labelled recordings.

    Attributes:
        path: a table (CSV, TSV, parquet, JSON lines), a folder with one, a folder per class, a
            Kaldi directory, or a database of audformat.
    """

    path: Annotated[FilePath, Field(validate_default=True)]
    file_column: Annotated[
        str | None, Field(description="Of one's own table: the column of audio files.")
    ] = None
    label_column: Annotated[
        str | None, Field(description="Of one's own table: the column of labels.")
    ] = None
    group_column: Annotated[
        str | None,
        Field(description="Of one's own table: the column of speakers, or of other groups."),
    ] = None
    speaker: Annotated[
        str | None,
        Field(
            description="Of one's own data: where a file's path names its speaker, as in "
            "'{speaker}_*', '{speaker}/*' or a regular expression, 're:(?P<speaker>..)-'.",
        ),
    ] = None
    groups: Annotated[
        bool,
        Field(
            description="Of one's own data: whether speakers (or other groups) are known; without, "
            "figures are too good.",
        ),
    ] = True
    drop_small: Annotated[
        bool, Field(description="Of one's own data: leave out classes that are too small.")
    ] = False

    @classmethod
    def of(cls, arguments: Sequence[str]) -> OwnData:
        """What `arguments` said; what follows `--name` is the task's."""
        path, *words = arguments
        found: dict[str, object] = {"path": path}
        given = iter(words)
        for word in given:
            key = word.removeprefix("--").replace("-", "_")
            if word == "--no-groups":
                found["groups"] = False
            elif word == "--drop-small":
                found["drop_small"] = True
            else:
                found[key] = next(given)
        found.pop("name", None)
        return cls.model_validate(found)

    @property
    def arguments(self) -> list[str]:
        """What says the same on the command line."""
        words = [str(self.path)]
        for key in ("file_column", "label_column", "group_column", "speaker"):
            if (value := getattr(self, key)) is not None:
                words += [f"--{key.replace('_', '-')}", value]
        switches = {"--no-groups": not self.groups, "--drop-small": self.drop_small}
        return words + [flag for flag, on in switches.items() if on]

    @field_validator("speaker")
    @classmethod
    def _pattern_can_be_read(cls, value: str | None) -> str | None:
        if value is not None:
            pattern(value)
        return value


def pattern(text: str) -> tuple[re.Pattern[str], int]:
    """A regular expression for the end of a path without its suffix, and how many parts that has.

    In a pattern `{speaker}` is the speaker, `*` and `?` are any characters but `/`. A regular
    expression, after `re:`, is looked for anywhere in the whole path (0 parts).

    Raises:
        ValueError: it names no speaker, or is no regular expression.
    """
    if text.startswith("re:"):
        try:
            found = re.compile(text.removeprefix("re:"))
        except re.error as error:
            raise ValueError(f"'{text}' is no regular expression: {error}") from error
        if "speaker" not in found.groupindex:
            raise ValueError(f"'{text}' names no speaker: write its part as (?P<speaker>…)")
        return found, 0
    if text.count("{speaker}") != 1:
        raise ValueError(f"'{text}' has no {{speaker}}: write for example '{{speaker}}_*'")
    words = {"{speaker}": "(?P<speaker>[^/]+?)", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\{speaker\}|\*|\?)", text.strip("/"))
    return (
        re.compile("".join(words.get(part, re.escape(part)) for part in parts)),
        text.strip("/").count("/") + 1,
    )
