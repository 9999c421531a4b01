"""The options of `voxgrid run` and `voxgrid plan`: one for every setting of a run, made from it."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, get_origin

import typer
from pydantic import ValidationError

from bench.commands.shell import completion
from bench.config.own import OwnData
from bench.config.settings import Setting, choices, settings_of
from bench.config.spec import RunSpec, load
from bench.errors import UserError

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Read this instead of ./grid.toml.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output; see docs/json.md.")
]


# Settings of one's own data.
_OWN = [
    Setting("data", key, key, field)
    for key, field in OwnData.model_fields.items()
    if field.description is not None
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
    if (own := own_data(values)) is not None:
        if "tasks" in tables:
            raise UserError(f"your data in {values['path']} is the task: leave out --task")
        tables |= {"tasks": (own[0],), "data": dict([own])}
    return tables


def own_parameters(*, wanted: bool) -> list[inspect.Parameter]:
    """The argument that is the path of one's own data, and the options of how it is read."""
    path = typer.Argument(
        help="Your own data: a table, or a folder; see `voxgrid data`.", show_default=False
    )
    name = typer.Option("--name", help="Of one's own data: its name; by default its folder's.")
    kinds = {"path": Annotated[str if wanted else str | None, path]}
    kinds["name"] = Annotated[str | None, name]
    made = [
        inspect.Parameter(
            key,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if wanted and key == "path" else None,
            annotation=kind,
        )
        for key, kind in kinds.items()
    ]
    return made + list(map(parameter, _OWN))


def own_data(values: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Name and settings of one's own data, as the command line gave them; None without a path.

    Raises:
        UserError: options of one's own data, and no path.
    """
    given_ = {s.key: values[s.option] for s in _OWN if values[s.option] is not None}
    if values["path"] is None:
        if extra := next((s for s in _OWN if s.key in given_), None):
            raise UserError(
                f"{extra.flags[extra.key == 'groups']} is of your own data: name its path too, as "
                "in `voxgrid run ./mydata`"
            )
        return None
    path = Path(values["path"])
    if not path.exists() and values["path"] in _tasks():
        raise UserError(f"there is nothing at {path}; the task of that name is --task {path}")
    return values["name"] or _name(path), {"path": path, **given_}


def with_own_data(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command options of how one's own data are read, as its first parameter `given`."""
    mine = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    options = own_parameters(wanted=False)[1:]

    @functools.wraps(command)
    def wrapped(*positional: Any, **values: Any) -> None:
        values = signature.bind(*positional, **values).arguments
        command({each.name: values.pop(each.name, None) for each in options}, **values)

    parameters = [*mine, *options]
    signature = inspect.Signature(parameters)
    wrapped.__signature__ = signature  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
    return wrapped


def as_own_data(path: str, given_: dict[str, Any]) -> tuple[str, OwnData]:
    """Name and settings of one's own data at a path.

    Raises:
        UserError: an option cannot be read.
    """
    found = own_data({"path": path, **given_})
    assert found is not None  # the path is there
    try:
        return found[0], OwnData.model_validate(found[1])
    except ValidationError as error:
        first = error.errors()[0]
        reason = first.get("ctx", {}).get("error") or first["msg"]
        raise UserError(f"{path}: {reason}") from error


def _tasks() -> list[str]:
    from bench import tasks

    return tasks.names()


def _name(path: Path) -> str:
    """What data at a path are called: as the folder, or as the table in a folder of its own."""
    whole = path.expanduser().resolve()
    plain = re.sub(r"[^a-z0-9._-]+", "-", (whole.stem if whole.is_file() else whole.name).lower())
    return plain.strip("._-")[:64] or "own"


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

    options = map(parameter, settings_of(RunSpec))
    parameters = [*own_parameters(wanted=False), *options, *own]
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in parameters}
    return wrapped
