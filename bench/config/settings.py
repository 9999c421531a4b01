"""Settings of a run as people meet them: keys of `grid.toml`, options, and what each may be."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from bench.config.own import OwnData
from bench.errors import nearest

# Settings by name, table by table, as TOML holds them.
Layer = Mapping[str, Any]

# What no file may say, and what to do with it.
OF_ONE_RUN = {
    "control": "give it as --control",
    "preset": "give it as --preset",
    "quick": "give it as --quick",
    "replace": "give it as --replace",
    "shard": "give it as --shard",
    "named": "leave it out",
}
# What a switch is called where it is off, if that is not `no-` and its name.
_OFF = {"download": "offline"}
_NAMES = 'a list of names, as in ["one", "another"]'
_BOUNDS = {"ge": "of {} or more", "gt": "above {}", "le": "and at most {}"}
_LONGEST = 60


@dataclass(frozen=True)
class Setting:
    """One setting of a run.

    Its name on the command line is the key, in the singular where it may be repeated, after its
    table where another table has the same key.
    """

    table: str | None  # of `grid.toml`, None at the top
    key: str  # its name there
    option: str  # with underscores
    field: FieldInfo  # its type and description

    @property
    def name(self) -> str:
        """Table and key, as in `sample.trials`."""
        return f"{self.table}.{self.key}" if self.table else self.key

    @property
    def flags(self) -> tuple[str, ...]:
        """What it is on the command line; of a switch, on and off."""
        dashed = self.option.replace("_", "-")
        if self.field.annotation is not bool:
            return (f"--{dashed}",)
        return f"--{dashed}", f"--{_OFF.get(self.key, f'no-{dashed}')}"

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        kind: Any = self.field.annotation
        values = list(choices(kind))
        if values:
            return " or ".join(values)
        if get_origin(kind) is tuple:
            return _NAMES
        bounds = [
            words.format(getattr(each, name))
            for each in self.field.metadata
            for name, words in _BOUNDS.items()
            if hasattr(each, name)
        ]
        words = {bool: "true or false", int: "a whole number", float: "a finite number"}
        example = f', as in "{self.field.examples[0]}"' if self.field.examples else ""
        return " ".join([words.get(kind, f"text in quotes{example}"), *bounds])


def choices(kind: Any) -> Iterator[str]:
    """The values of a type that is one of a few words, or None; of another type none."""
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    else:
        for each in get_args(kind):
            yield from choices(each)


def settings_of(model: type[BaseModel]) -> list[Setting]:
    """Every setting of a run, in the order of its fields; what has no description is none."""
    found: list[tuple[str | None, str, FieldInfo]] = []
    for key, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += [(key, *own) for own in kind.model_fields.items()]
        elif field.description is not None:
            found.append((None, key, field))
    keys = Counter(key for _, key, _ in found)
    settings = []
    for table, key, field in found:
        name = key.removesuffix("s") if get_origin(field.annotation) is tuple else key
        option = f"{table}_{name}" if table and keys[key] > 1 else name
        settings.append(Setting(table, key, option, field))
    return settings


def flatten(layer: Layer) -> dict[str, Any]:
    """Settings by table and key in one name, as in `sample.trials`."""
    flat: dict[str, Any] = {}
    for key, value in layer.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{own}": each for own, each in value.items()}
        else:
            flat[key] = value
    return flat


def explain(
    error: ValidationError, settings: Sequence[Setting], given: Layer, file: Path, text: str
) -> str:
    """The first of the errors, in a sentence that names the place, what is there and what may be.

    Settings that were not `given` by the command line are from a file of this text.
    """
    first = error.errors()[0]
    path = [part for part in first["loc"] if isinstance(part, str)]
    name = ".".join(path[:2])[:_LONGEST]
    known = {setting.name: setting for setting in settings}
    place = f"{file}{_line(text, path[:2])}"
    if path[:1] == ["data"]:
        return _of_data(first, path, given, place)
    if first["type"] == "extra_forbidden":
        return f"{place} has an unknown key '{name}'; {_meant(path, known)}"
    whole = Counter(setting.table for setting in settings)
    if name in whole:
        return f"{place}: '{name}' is a table of settings: begin it with [{name}]"
    setting, value = known[name], first["input"]
    subject = setting.flags[0] if name in flatten(given) else f"{place}: '{name}'"
    if first["type"] == "value_error":
        return f"{subject}: {first['ctx']['error']}"
    return f"{subject} is {_shown(value)}, and must be {setting.allowed}"


def _of_data(first: ErrorDetails, path: Sequence[str], given: Layer, place: str) -> str:
    """What is wrong with the settings of one's own data."""
    name = ".".join(path)[:_LONGEST]
    if first["type"] == "extra_forbidden":
        return f"{place} has an unknown key '{name}'; {nearest(path[-1], OwnData.model_fields)}"
    if first["type"] == "missing":
        return f"{place}: '{name}' is missing; say where your data are"
    if first["type"] == "value_error":
        said = first["ctx"]["error"]
        if path[2:] and path[1] in given.get("data", {}):
            return f"--{path[2].replace('_', '-')}: {said}"
        return f"{place}: '{name}': {said}"
    if not path[2:]:
        return f"{place}: your data stand in a table of settings: begin it with [data.NAME]"
    setting = Setting("data", path[2], path[2], OwnData.model_fields[path[2]])
    return f"{place}: '{name}' is {_shown(first['input'])}, and must be {setting.allowed}"


def _meant(path: Sequence[str], known: Mapping[str, Setting]) -> str:
    """Which key was meant by an unknown one, or which table it belongs to."""
    key, table = path[:2][-1], path[0] if path[1:] else None
    elsewhere = [setting.table for setting in known.values() if setting.key == key]
    if elsewhere:
        homes = " or ".join(f"below [{home}]" if home else "above all tables" for home in elsewhere)
        return f"it belongs {homes}"
    every = {setting.key for setting in known.values() if setting.table == table}
    return nearest(key, every - OF_ONE_RUN.keys())


def _line(text: str, path: Sequence[str]) -> str:
    """The line of a file that a key is on, in words; none where it cannot be told."""
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if head := re.match(r"\s*\[\s*([\w-]+)\s*\]", line):
            found, table = head[1], f"{head[1]}."
        elif key := re.match(r"\s*[\"']?([\w.-]+)[\"']?\s*=", line):
            found = f"{table}{key[1]}"
        else:
            continue
        if found == ".".join(path):
            return f", line {number}"
    return ""


def _shown(value: object) -> str:
    """A value as TOML has it, of a long one its beginning."""
    text = str(value) if isinstance(value, float) else json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
