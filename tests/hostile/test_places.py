"""Every place where a path, a size or a text from outside enters is known, with its door.

`places.toml` lists them by door. A function that begins to read, write, remove or unpack something
is in no list and fails here, as does a list that names one which no longer does.
"""

from __future__ import annotations

import ast
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_LISTS = tomllib.loads((Path(__file__).parent / "places.toml").read_text(encoding="utf-8"))
CALLS, DOORS = frozenset(_LISTS["calls"]), _LISTS["doors"]


def called(node: ast.Call) -> set[str]:
    """The name of what is called, alone and after the module's."""
    function = node.func
    if isinstance(function, ast.Name):
        return {function.id}
    if not isinstance(function, ast.Attribute):
        return set()
    owner = function.value
    return {function.attr} | (
        {f"{owner.id}.{function.attr}"} if isinstance(owner, ast.Name) else set()
    )


def places(tree: ast.AST, name: str) -> Iterator[str]:
    """Functions, with their classes, in which something is called that counts."""
    for child in ast.iter_child_nodes(tree):
        own = name
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            own = f"{name}.{child.name}" if name[-1] != ":" else f"{name}{child.name}"
        if isinstance(child, ast.Call) and called(child) & CALLS:
            yield own
        yield from places(child, own)


def found() -> set[str]:
    return {
        place
        for package in ("bench", "backbones", "heads")
        for path in sorted((ROOT / package).rglob("*.py"))
        for place in places(
            ast.parse(path.read_text(encoding="utf-8")), f"{path.relative_to(ROOT).as_posix()}:"
        )
    }


def test_every_place_is_listed_once_behind_its_door() -> None:
    listed = Counter(place for door in DOORS.values() for place in door["places"])
    assert all(door["door"].strip() for door in DOORS.values())
    assert [place for place, times in listed.items() if times > 1] == []
    assert sorted(found() - listed.keys()) == []
    assert sorted(listed.keys() - found()) == []


def test_a_new_place_is_found() -> None:
    source = (
        "class A:\n    def f(self):\n        return [np.load(p) for p in q.glob('*')]\nx = f()\n"
    )
    assert set(places(ast.parse(source), "m.py:")) == {"m.py:A.f"}
