"""`voxgrid list`: what there is, and what of it can be used on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic_core import from_json, to_json

from backbones import weights
from backbones.extras import missing_extra
from bench import paths, tasks
from bench.commands import tables
from bench.commands.check import broken_plugins
from bench.commands.shell import completion, echo
from bench.errors import DataUnavailable, UserError, nearest
from bench.plugins import BACKBONES, HEADS

if TYPE_CHECKING:
    from bench.config.presets import Preset
    from bench.tasks.entry import Entry as TaskEntry

Entry = dict[str, Any]

# what `state` may say, and how it is printed
_STYLES = {
    "found": "green",
    "not needed": "green",
    "generated": "green",
    "missing": "yellow",
    "missing extra": "yellow",
    "broken": "red",
}
# A table is a title, the heads of its columns (> for numbers) and what of an entry is in each.
_Table = tuple[str, str, str]
_PLAIN = ("name|what it is", "{name}|{summary}")
_TABLES: dict[str, list[_Table]] = {
    "tasks": [("Tasks", "name|data|protocols|what it is", "{name}|{state}|{protocols}|{summary}")],
    "protocols": [("Protocols", *_PLAIN)],
    "backbones": [
        (
            "Backbones",
            "name|weights|layers>|params M>|what it is",
            "{name}|{state}|{layers}|{millions}|{summary}",
        ),
    ],
    "poolings": [("Poolings", *_PLAIN)],
    "heads": [("Heads", *_PLAIN)],
    "presets": [
        (
            "Presets: published systems, for `voxgrid run --preset`",
            "name|task|head|published; what it is, on which backbone",
            "{name}|{task}|{head}|{published}; {summary}; {backbone}",
        ),
    ],
}
# where a kind is listed alone, there is room for more
_ALONE: dict[str, list[_Table]] = {
    **_TABLES,
    "backbones": [
        (
            "Backbones",
            "name|weights|layers>|width>|Hz>|frames/s>|params M>",
            "{name}|{state}|{layers}|{width}|{hertz}|{frame_rate:g}|{millions}",
        ),
        ("Licences, and where they come from", "name|licence|origin", "{name}|{licence}|{package}"),
    ],
    "heads": [
        ("Heads", "name|reads|what it is; origin", "{name}|{reads}|{summary}; {package}"),
    ],
}


def list_(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="tasks, protocols, backbones, poolings, heads or presets; or all.",
            autocompletion=completion(lambda: _TABLES),
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on standard output.")] = False,
) -> None:
    """List tasks, protocols, backbones, poolings and heads, and what is available here."""
    found = collect(kind)
    if as_json:
        echo(json.dumps(found, indent=1))
    else:
        render(found)


def collect(kind: str | None = None) -> dict[str, list[Entry]]:
    """Entries by kind (all, or one), as JSON can hold them; never touches the network.

    Under `broken` are the plugins that were left out.

    Raises:
        UserError: there is no such kind; the message offers the nearest.
    """
    # imported here, for they take a second that no other command should wait
    from bench.config.presets import all_presets
    from bench.features.pooling import POOLINGS
    from bench.protocols.table import PROTOCOLS

    if kind is not None and kind not in _TABLES:
        raise UserError(f"there is no list of '{kind}': {nearest(kind, _TABLES)}")
    broken = [
        {"kind": f"{of}s", "name": name, "reason": reason} for of, name, reason in broken_plugins()
    ]
    listings: dict[str, Callable[[], list[Entry]]] = {
        "tasks": lambda: [_task(name) for name in tasks.names()],
        "protocols": lambda: [
            {"name": p.name, "summary": p.summary, "grouped": p.grouped} for p in PROTOCOLS.values()
        ],
        "backbones": lambda: [_backbone(name) for name in BACKBONES.names()],
        "poolings": lambda: [{"name": p.name, "summary": p.summary} for p in POOLINGS.values()],
        "heads": lambda: [_head(name) for name in HEADS.names()],
        "presets": lambda: [_preset(preset) for preset in all_presets().values()],
    }
    wanted = list(_TABLES) if kind is None else [kind]
    found = {each: listings[each]() for each in wanted}
    return found | {"broken": [entry for entry in broken if entry["kind"] in wanted]}


def _preset(preset: Preset) -> Entry:
    told = ("name", "summary", "task", "protocols", "backbone", "poolings", "head", "params")
    return {
        **preset.model_dump(mode="json", include={*told, "crop_seconds"}),
        "published": str(preset.published),
        "measured_on": preset.published.measured_on,
    }


def _task(name: str) -> Entry:
    entry = tasks.find(name)
    state, detail = _task_state(entry)
    return {
        "name": name,
        "summary": entry.summary,
        "protocols": list(entry.protocols),
        "group": entry.group,
        "state": state,
        "detail": detail,
        "origin": tasks.TASKS.origin(name),
    }


def _task_state(entry: TaskEntry) -> tuple[str, str]:
    if entry.sample:
        return "generated", ""  # resolving would write its clips, and listing writes nothing
    try:
        task = tasks.resolve(entry.name, allow_download=False)
    except DataUnavailable as error:
        return "missing", paths.missing_folder("VOXGRID_DATA") or str(error)
    except UserError as error:
        return "broken", str(error)
    return "found", f"{len(task.clips)} clips"


def _backbone(name: str) -> Entry:
    info = BACKBONES.get(name).info
    # a backbone without a longest window says infinity, which JSON cannot hold
    entry = from_json(to_json(info, inf_nan_mode="null"))
    lacking = missing_extra(info)
    state, detail = ("missing extra", lacking) if lacking else weights.availability(info)
    if state == "missing":
        detail = paths.missing_folder("VOXGRID_WEIGHTS") or detail
    return {**entry, "origin": BACKBONES.origin(name), "state": state, "detail": detail}


def _head(name: str) -> Entry:
    entry = asdict(HEADS.info(name))
    return entry | {"reads": sorted(HEADS.get(name)), "origin": HEADS.origin(name)}


def render(found: Mapping[str, Sequence[Entry]]) -> None:
    """Print what `collect` found, readable from 40 columns on."""
    from bench.terminal import Terminal

    console = Terminal()
    kinds = [kind for kind in _TABLES if kind in found]
    for kind in kinds:
        for title, heads, cells in (_ALONE if len(kinds) == 1 else _TABLES)[kind]:
            rows = [
                [cell.format_map(_shown(entry)) for cell in cells.split("|")]
                for entry in found[kind]
            ]
            prose = not heads.endswith(">")
            tables.show(console, heads, rows, title=title, prose=prose, styles=_STYLES)
    lines = [
        f"{entry['name']}: {entry['state']}; {entry['detail'].removeprefix(entry['name'] + ': ')}"
        for kind in ("tasks", "backbones")
        for entry in found.get(kind, ())
        if _STYLES[entry["state"]] != "green"
    ]
    for entry in found.get("broken", ()):
        lines.append(f"{entry['name']} ({entry['kind']}): left out; {entry['reason']}")
    for line in lines:
        tables.say(console, line, whole=True)


def _shown(entry: Entry) -> Entry:
    """An entry with lists as lines, parameters in millions and the package it comes with."""
    lines = {key: "\n".join(v) for key, v in entry.items() if key in ("protocols", "reads")}
    parameters = entry.get("parameters")
    millions = f"{parameters / 1e6:.1f}" if parameters else "–"
    _, bracket, package = str(entry.get("origin")).rpartition("(")
    package = package.removesuffix(")") if bracket else "voxgrid"
    hertz = "file's" if entry.get("own_rate") else entry.get("sample_rate")
    return entry | lines | {"millions": millions, "package": package, "hertz": hertz}
