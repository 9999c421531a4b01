"""The options of `voxgrid run` and `voxgrid plan`: one for every setting of a run, made from it."""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bench.config.spec import RunSpec, load

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Read this instead of ./grid.toml.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output; see docs/json.md.")
]
ResultsOption = Annotated[Path | None, typer.Option(help="Folder of the records.")]
# What a switch is called where it is off, if that is not `no-` and its name.
_OFF = {"download": "offline"}


@dataclass(frozen=True)
class Setting:
    """One setting of a run as an option.

    Its name on the command line is the key, in the singular where it may be repeated, after its
    table where another table has the same key.
    """

    table: str | None  # of `grid.toml`, None at the top
    key: str  # its name there
    option: str  # with underscores
    field: FieldInfo  # its type and description

    @property
    def parameter(self) -> inspect.Parameter:
        """The parameter of a command that typer makes the option from; None is not given."""
        dashed = self.option.replace("_", "-")
        kind: Any = self.field.annotation
        names = [f"--{dashed}"]
        if kind is bool:
            names = [f"--{dashed}/--{_OFF.get(self.key, f'no-{dashed}')}"]
        elif get_origin(kind) is tuple:
            kind = list[str]
        elif kind not in (int, float, Path):
            kind = str
        option = typer.Option(*names, help=self.field.description)
        return inspect.Parameter(
            self.option,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind | None, option],
        )


def settings() -> list[Setting]:
    """Every setting of a run, in the order of `RunSpec`."""
    found = list(_fields())
    keys = Counter(key for _, key, _ in found)
    return [
        Setting(table, key, _option(table if keys[key] > 1 else None, key, field), field)
        for table, key, field in found
    ]


def _option(table: str | None, key: str, field: FieldInfo) -> str:
    name = key.removesuffix("s") if get_origin(field.annotation) is tuple else key
    return f"{table}_{name}" if table else name


def _fields() -> Iterator[tuple[str | None, str, FieldInfo]]:
    for name, field in RunSpec.model_fields.items():
        table = field.annotation
        if isinstance(table, type) and issubclass(table, BaseModel):
            yield from ((name, key, own) for key, own in table.model_fields.items())
        else:
            yield None, name, field


def given(values: dict[str, Any]) -> dict[str, Any]:
    """What the command line gave (by option; None and empty lists are not), as `load` takes it."""
    tables: dict[str, Any] = {}
    for setting in settings():
        value = values[setting.option]
        if value is not None and value != []:
            table = tables.setdefault(setting.table, {}) if setting.table else tables
            table[setting.key] = tuple(value) if isinstance(value, list) else value
    return tables


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every setting, and call it with the run they make.

    Its own options are its keyword-only parameters; one called `config` is told which file was
    named.
    """
    mine = inspect.signature(command, eval_str=True).parameters
    more = {name: each for name, each in mine.items() if each.kind is each.KEYWORD_ONLY}

    @functools.wraps(command)
    def wrapped(*, config: Path | None, **values: Any) -> None:
        known = {"config": config, **values}
        command(load(config, given(values)), **{name: known[name] for name in more})

    own = inspect.Parameter(
        "config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ConfigOption
    )
    listed = {setting.option: setting.parameter for setting in settings()}
    parameters = [*{**listed, **more, "config": own}.values()]
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
    return wrapped
