"""How tests read what commands print."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WIDTHS = (40, 60, 80, 120)
DOCS = Path(__file__).parents[3] / "docs" / "json.md"


def strict(text: str) -> Any:
    """What one JSON document holds; `NaN` and `Infinity` are none."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def document(text: str) -> Any:
    """What `--json` printed: one document, of which every key is described."""
    found = strict(text)
    described = DOCS.read_text(encoding="utf-8")
    for key in {*_keys(found)}:
        assert f"`{key}`" in described, key
    return found


def _keys(found: Any) -> Iterator[str]:
    if isinstance(found, list):
        for each in found:
            yield from _keys(each)
    elif isinstance(found, dict):
        for key, value in found.items():
            yield key
            if key != "protocols":  # whose keys are names
                yield from _keys(value)


def words(printed: str) -> set[str]:
    """The words, names and numbers of a page, whatever its layout."""
    return {word.strip(",:") for word in re.split(r"[\s─]+", printed)} - {""}
