"""How tests read what commands print."""

from __future__ import annotations

import json
import re
from typing import Any

WIDTHS = (40, 60, 80, 120)


def strict(text: str) -> Any:
    """What one JSON document holds; `NaN` and `Infinity` are none."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def words(printed: str) -> set[str]:
    """The words, names and numbers of a page, whatever its layout."""
    return {word.strip(",:") for word in re.split(r"[\s─]+", printed)} - {""}
