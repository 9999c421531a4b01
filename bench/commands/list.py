"""`voxgrid list`: what there is, and what of it can be used on this machine."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from backbones import BackboneInfo
from backbones import registry as backbone_registry
from backbones import weights as backbone_weights
from bench import tasks
from bench.commands import checking
from bench.config import presets
from bench.errors import DataUnavailable, UserError, nearest
from bench.features.pooling import POOLINGS
from bench.protocols import makers as protocols
from bench.tasks import plugins as task_plugins
from heads import HeadInfo
from heads import registry as head_registry

Entry = dict[str, Any]

_KINDS = ("tasks", "protocols", "backbones", "poolings", "heads", "presets")
_PLURALS: dict[checking.Kind, str] = {"backbone": "backbones", "head": "heads", "task": "tasks"}

# what `state` may say, and how it is printed
_STYLES = {
    "found": "green",
    "not needed": "green",
    "generated": "green",
    "missing": "yellow",
    "missing extra": "yellow",
    "broken": "red",
}


def collect(kind: str | None = None) -> dict[str, list[Entry]]:
    """What there is by kind, as JSON can hold it; never touches the network.

    Args:
        kind: `tasks`, `protocols`, `backbones`, `poolings`, `heads` or `presets`; None for all.

    Returns:
        A list of entries by kind; under `broken` the plugins that were left out.

    Raises:
        UserError: unknown kind (says which was meant).
    """
    if kind is not None and kind not in _KINDS:
        raise UserError(f"there is no list of '{kind}': {nearest(kind, list(_KINDS))}")
    with warnings.catch_warnings():
        # the listing itself says what was left out
        for category in (
            backbone_registry.PluginWarning,
            head_registry.PluginWarning,
            task_plugins.PluginWarning,
        ):
            warnings.simplefilter("ignore", category)
        names = checking.names()
    broken = [
        {"kind": _PLURALS[of], "name": name, "reason": reason}
        for of, failures in checking.broken().items()
        for name, reason in failures.items()
    ]
    listings: dict[str, Callable[[], list[Entry]]] = {
        "tasks": lambda: [_task(name) for name in names["task"]],
        "protocols": lambda: [
            {"name": p.name, "summary": p.summary, "grouped": p.grouped}
            for p in protocols.PROTOCOLS.values()
        ],
        "backbones": lambda: [_backbone(info) for info in backbone_registry.infos().values()],
        "poolings": lambda: [{"name": p.name, "summary": p.summary} for p in POOLINGS.values()],
        "heads": lambda: [_head(info) for info in head_registry.infos()],
        "presets": lambda: [_preset(preset) for preset in presets.all_presets().values()],
    }
    wanted = _KINDS if kind is None else (kind,)
    found = {each: listings[each]() for each in wanted}
    return found | {"broken": [entry for entry in broken if entry["kind"] in wanted]}


def _preset(preset: presets.Preset) -> Entry:
    return {
        "name": preset.name,
        "summary": preset.summary,
        "task": preset.task,
        "protocols": list(preset.protocols),
        "backbone": preset.backbone,
        "poolings": list(preset.poolings),
        "head": preset.head,
        "params": dict(preset.params),
        "crop_seconds": preset.crop_seconds,
        "published": str(preset.published),
        "measured_on": preset.published.measured_on,
    }


def _task(name: str) -> Entry:
    entry = tasks.find(name)
    state, detail = _task_state(name)
    return {
        "name": name,
        "summary": entry.summary,
        "protocols": list(entry.protocols),
        "group": entry.group,
        "state": state,
        "detail": detail,
        "origin": tasks.origin(name),
    }


def _task_state(name: str) -> tuple[str, str]:
    if name.startswith("sample-"):
        return "generated", ""  # resolving would write its clips, and listing writes nothing
    try:
        task = tasks.resolve(name, allow_download=False)
    except DataUnavailable as error:
        return "missing", str(error)
    except UserError as error:
        return "broken", str(error)
    # a plugin may raise anything, even exit, and the other tasks have to be listed
    except (Exception, SystemExit) as error:  # noqa: BLE001
        return "broken", f"{type(error).__name__}: {error}"
    return "found", f"{len(task.clips)} clips"


def _backbone(info: BackboneInfo) -> Entry:
    entry = {key: _as_json(value) for key, value in asdict(info).items()}
    entry["origin"] = backbone_registry.origin(info.name)
    lacking = backbone_registry.missing_extra(info)
    if lacking:
        return entry | {"state": "missing extra", "detail": lacking}
    state, detail = backbone_weights.availability(info)
    return entry | {"state": state, "detail": detail}


def _head(info: HeadInfo) -> Entry:
    classes = [head_registry.get(info.name, kind) for kind in head_registry.reads(info.name)]
    return asdict(info) | {
        "reads": sorted(cls.reads for cls in classes),
        "versions": {cls.reads: cls.version for cls in classes},
        "origin": head_registry.origin(info.name),
    }


def _as_json(value: object) -> object:
    """None for infinity (a backbone without a longest window), and lists for tuples."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value


def render(found: Mapping[str, Sequence[Entry]]) -> None:
    """Print what `collect` found, readable from 80 columns on."""
    from rich.console import Console

    console = Console()

    def say(line: str) -> None:
        # a command to copy must not be cut
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    _tables(console, found)
    for kind in ("tasks", "backbones"):
        for entry in found.get(kind, ()):
            if entry["state"] not in ("found", "not needed", "generated"):
                say(f"{entry['name']}: {entry['state']}; {_without_name(entry)}")
    for entry in found.get("broken", ()):
        say(f"{entry['name']} ({entry['kind']}): left out; {entry['reason']}")


def _without_name(entry: Entry) -> str:
    return str(entry["detail"]).removeprefix(f"{entry['name']}: ")


def _tables(console: Any, found: Mapping[str, Sequence[Entry]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            table.add_column(
                column.removesuffix(">"),
                justify="right" if column.endswith(">") else "left",
                no_wrap=column != columns[-1],  # only the description may wrap
                overflow="fold",
            )
        for row in rows:
            table.add_row(*(Text(value, style=_STYLES.get(value, "")) for value in row))
        console.print(table)

    alone = sum(kind in found for kind in _KINDS) == 1
    for kind in _KINDS:
        if kind not in found:
            continue
        for title, columns, cells in (_ALONE if alone else _LAYOUTS)[kind]:
            show(title, columns, [cells(entry) for entry in found[kind]])


def _task_row(task: Entry) -> list[str]:
    return [task["name"], task["state"], "\n".join(task["protocols"]), task["summary"]]


def _backbone_row(backbone: Entry) -> list[str]:
    return [
        backbone["name"],
        backbone["state"],
        str(backbone["layers"]),
        _millions(backbone),
        f"{backbone['summary']}; {backbone['licence']}",
    ]


def _backbone_sizes(backbone: Entry) -> list[str]:
    return [
        backbone["name"],
        backbone["state"],
        str(backbone["layers"]),
        str(backbone["width"]),
        str(backbone["sample_rate"]),
        f"{backbone['frame_rate']:g}",
        _millions(backbone),
    ]


def _backbone_origin(backbone: Entry) -> list[str]:
    return [backbone["name"], backbone["licence"], _place(backbone)]


def _place(entry: Entry) -> str:
    """The package that a plugin comes with."""
    _, bracket, package = str(entry["origin"]).rpartition("(")
    return package.removesuffix(")") if bracket else "voxgrid"


def _millions(backbone: Entry) -> str:
    return f"{backbone['parameters'] / 1e6:.1f}" if backbone["parameters"] else "–"


def _plain_row(entry: Entry) -> list[str]:
    return [entry["name"], entry["summary"]]


def _head_row(head: Entry) -> list[str]:
    return [head["name"], "\n".join(head["reads"]), f"{head['summary']}; {_place(head)}"]


def _preset_row(preset: Entry) -> list[str]:
    return [
        preset["name"],
        preset["task"],
        f"{preset['backbone']}\n{preset['head']}",
        f"{preset['published']}; {preset['summary']}",
    ]


# title, columns (> for numbers), and the cells of an entry
_Layout = tuple[str, tuple[str, ...], Callable[[Entry], list[str]]]
# the tables of each kind
_LAYOUTS: dict[str, tuple[_Layout, ...]] = {
    "tasks": (("Tasks", ("name", "data", "protocols", "what it is"), _task_row),),
    "protocols": (("Protocols", ("name", "what it is"), _plain_row),),
    "backbones": (
        (
            "Backbones",
            ("name", "weights", "layers>", "params M>", "what it is; licence"),
            _backbone_row,
        ),
    ),
    "poolings": (("Poolings", ("name", "what it is"), _plain_row),),
    "heads": (("Heads", ("name", "what it is"), _plain_row),),
    "presets": (
        (
            "Presets: published systems, for `voxgrid run --preset`",
            ("name", "task", "backbone, head", "published; what it is"),
            _preset_row,
        ),
    ),
}
# where a kind is listed alone, there is room for more
_ALONE: dict[str, tuple[_Layout, ...]] = {
    **_LAYOUTS,
    "backbones": (
        (
            "Backbones",
            ("name", "weights", "layers>", "width>", "Hz>", "frames/s>", "params M>"),
            _backbone_sizes,
        ),
        ("Licences, and where they come from", ("name", "licence", "origin"), _backbone_origin),
    ),
    "heads": (("Heads", ("name", "fitted on", "what it is; origin"), _head_row),),
}
