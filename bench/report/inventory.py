"""`voxgrid list`: what there is, and what of it can be used on this machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from backbones import BackboneInfo
from backbones import registry as backbone_registry
from backbones import weights as backbone_weights
from bench import presets, protocols, tasks
from bench.errors import DataUnavailable, UserError
from bench.features.pooling import POOLINGS
from heads import registry as head_registry

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


def collect() -> dict[str, list[Entry]]:
    """Everything there is by kind, as JSON can hold it; never touches the network."""
    return {
        "tasks": [_task(name) for name in tasks.names()],
        "protocols": [
            {"name": p.name, "summary": p.summary, "grouped": p.grouped}
            for p in protocols.PROTOCOLS.values()
        ],
        "backbones": [_backbone(info) for info in backbone_registry.infos().values()],
        "poolings": [{"name": p.name, "summary": p.summary} for p in POOLINGS.values()],
        "heads": [asdict(info) for info in head_registry.infos()],
        "presets": [_preset(preset) for preset in presets.PRESETS.values()],
    }


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
    return "found", f"{len(task.clips)} clips"


def _backbone(info: BackboneInfo) -> Entry:
    entry = {key: _finite(value) for key, value in asdict(info).items()}
    lacking = backbone_registry.missing_extra(info)
    if lacking:
        return entry | {"state": "missing extra", "detail": lacking}
    state, detail = backbone_weights.availability(info)
    return entry | {"state": state, "detail": detail}


def _finite(value: object) -> object:
    """None for infinity, which JSON cannot hold (a backbone without a longest window)."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def render(found: Mapping[str, Sequence[Entry]]) -> None:
    """Print what `collect` found, readable from 80 columns on."""
    from rich.console import Console

    console = Console()
    _tables(console, found)
    for kind in ("tasks", "backbones"):
        for entry in found[kind]:
            if entry["state"] not in ("found", "not needed", "generated"):
                console.print(
                    f"{entry['name']}: {entry['state']}; {_without_name(entry)}",
                    markup=False,
                    highlight=False,
                    soft_wrap=True,  # a command to copy must not be cut
                )


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

    show(
        "Tasks",
        ("name", "data", "protocols", "what it is"),
        [[t["name"], t["state"], "\n".join(t["protocols"]), t["summary"]] for t in found["tasks"]],
    )
    show(
        "Backbones",
        ("name", "weights", "layers>", "params M>", "what it is; licence"),
        [
            [
                b["name"],
                b["state"],
                str(b["layers"]),
                f"{b['parameters'] / 1e6:.1f}" if b["parameters"] else "–",
                f"{b['summary']}; {b['licence']}",
            ]
            for b in found["backbones"]
        ],
    )
    for kind in ("protocols", "poolings", "heads"):
        show(
            kind.capitalize(),
            ("name", "what it is"),
            [[entry["name"], entry["summary"]] for entry in found[kind]],
        )
    show(
        "Presets: published systems, for `voxgrid run --preset`",
        ("name", "task", "backbone, head", "published; what it is"),
        [
            [p["name"], p["task"], f"{p['backbone']}\n{p['head']}", _about(p)]
            for p in found["presets"]
        ],
    )


def _about(preset: Entry) -> str:
    return f"{preset['published']}; {preset['summary']}"
