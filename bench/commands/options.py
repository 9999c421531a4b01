"""The options of `voxgrid run` and `voxgrid plan`: one for every setting of a run, made from it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, get_origin

import typer

from bench.commands.shell import completion
from bench.config.settings import Setting, choices, settings_of
from bench.config.spec import RunSpec, load

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Read this instead of ./grid.toml.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output; see docs/json.md.")
]


# Types of settings that are numbers, and what help calls them.
_NUMBERS: dict[Any, str] = {int: "INTEGER", float: "FLOAT"}


def parameter(setting: Setting) -> inspect.Parameter:
    """The parameter of a command that typer makes a setting's option from; None is not given."""
    kind: Any = setting.field.annotation
    number = _NUMBERS.get(kind)
    if get_origin(kind) is tuple:
        kind = list[str]
    elif kind not in (bool, Path):
        kind = str  # of numbers too: what is none is refused as in the file
    option = typer.Option(
        "/".join(setting.flags),
        help=setting.field.description,
        metavar=number,
        autocompletion=completion(lambda: _values(setting)) if kind in (str, list[str]) else None,
    )
    return inspect.Parameter(
        setting.option,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _values(setting: Setting) -> Iterable[str]:
    """What a setting may be, as far as that can be listed; never imports torch."""
    # imported here, for only a shell that completes a word waits for them
    from bench import tasks
    from bench.config.presets import all_presets
    from bench.features.pooling import POOLINGS
    from bench.plugins import BACKBONES, HEADS
    from bench.protocols.table import PROTOCOLS

    listed: dict[str, Callable[[], Iterable[str]]] = {
        "tasks": tasks.names,
        "protocols": lambda: PROTOCOLS,
        "backbones": BACKBONES.names,
        "poolings": lambda: POOLINGS,
        "heads": HEADS.names,
        "preset": all_presets,
        "device": lambda: ("cpu", "cuda"),
    }
    return listed.get(setting.key, lambda: choices(setting.field.annotation))()


def given(values: dict[str, Any]) -> dict[str, Any]:
    """What the command line gave (by option; None and empty lists are not), as `load` takes it."""
    tables: dict[str, Any] = {}
    for setting in settings_of(RunSpec):
        value = values[setting.option]
        if setting.field.annotation in _NUMBERS and value is not None:
            with suppress(ValueError):
                value = int(value) if setting.field.annotation is int else float(value)
        if value is not None and value != []:
            table = tables.setdefault(setting.table, {}) if setting.table else tables
            table[setting.key] = tuple(value) if isinstance(value, list) else value
    return tables


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every setting, and call it with the run they make.

    Its own options are its keyword-only parameters, of which `config` is the file named, if any.
    """
    mine = inspect.signature(command, eval_str=True).parameters.values()
    own = [each for each in mine if each.kind is each.KEYWORD_ONLY]

    @functools.wraps(command)
    def wrapped(**values: Any) -> None:
        more = {each.name: values[each.name] for each in own}
        command(load(values["config"], given(values)), **more)

    parameters = [*map(parameter, settings_of(RunSpec)), *own]
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
    return wrapped
