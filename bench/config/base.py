"""What settings of a run have in common: frozen, strict, and refused where nobody knows the key."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from bench.paths import expanded

_COMMA = re.compile(r",(?![^\[]*\])")


def _of_a_file_system(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("no path has a character of code 0")
    return expanded(path)


# Of a path, as text too; `~` is the home folder.
FilePath = Annotated[Path, Field(strict=False), AfterValidator(_of_a_file_system)]


class Settings(BaseModel):
    """Settings that belong together."""

    # strict: numbers and switches are not guessed
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _names_are_apart(cls, value: Any, info: ValidationInfo) -> Any:
        """Names once each, also where commas join them."""
        kind = cls.model_fields[str(info.field_name)].annotation
        if get_origin(kind) is not tuple or not isinstance(value, list | tuple):
            return value
        if not all(isinstance(each, str) for each in value):
            return tuple(value)  # of which one is refused
        # an address keeps its commas, and so do layers in brackets
        apart = ([each] if ":" in each else _COMMA.split(each) for each in value)
        return tuple(dict.fromkeys(name.strip() for name in chain(*apart)))
