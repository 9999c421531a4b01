"""Presets: published systems as frozen recipes, to be run as they are and compared with.

The systems are data, in `presets.toml` beside this file; here they are read and checked.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bench.errors import UserError, nearest

_ABOVE = "above "


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _percent(share: str) -> str:
    """A published share in percent with the digits it was published with."""
    above = _ABOVE if share.startswith(_ABOVE) else ""
    return f"{above}{Decimal(share.removeprefix(_ABOVE)).scaleb(2):f}"


# In percent, such as `76` or `above 70`; the file holds shares, such as "0.76" or "above 0.70".
Percent = Annotated[str, BeforeValidator(_percent)]


Figure = Literal["accuracy", "macro_f1", "precision", "recall"]


class Published(_Strict):
    """What the authors report, in percent, and of which clips as far as that is known."""

    measured_on: str
    figures: dict[Figure, Percent]

    def __str__(self) -> str:
        words = {"macro_f1": "macro-F1"}
        return ", ".join(
            f"{words.get(name, name)} {value} %" for name, value in self.figures.items()
        )


class Preset(_Strict):
    """One published system.

    Attributes:
        name: as on the command line, in records and in paths.
        summary: one line for `voxgrid list`.
        task: what it was published on.
        protocols: the one nearest to how it was published, then those that keep groups apart.
        backbone: its last layer is read or cut at.
        poolings: one row each.
        params: constructor parameters of the head; the pooling, seed and threads are the cell's.
        crop_seconds: how much of the beginning of a clip training reads; None: what the
            configuration says. Of no effect on heads that read vectors, which are of all the sound
            of a clip.
        undocumented: what is not documented, and what is done here.
        differs: what is done differently here on purpose.
    """

    name: str
    summary: str
    task: str
    protocols: tuple[str, ...]
    backbone: str
    poolings: tuple[str, ...]
    head: str
    published: Published
    params: dict[str, bool | int | float | str]
    crop_seconds: Annotated[float, Field(gt=0)] | None = None
    undocumented: tuple[str, ...] = ()
    differs: tuple[str, ...] = ()


@cache
def all_presets() -> Mapping[str, Preset]:
    """Every preset by its name, in the order of the file."""
    text = resources.files("bench.config").joinpath("presets.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    sentences: dict[str, str] = content["sentences"]
    found = {}
    for name, values in content["presets"].items():
        for key in ("undocumented", "differs"):
            # a lone word names a sentence that several systems share
            values[key] = [sentences.get(each, each) for each in values.get(key, ())]
        found[name] = Preset.model_validate({"name": name, **values})
    return found


def find(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        UserError: there is none; says which was meant.
    """
    known = all_presets()
    if name not in known:
        raise UserError(f"unknown preset '{name}': {nearest(name, list(known))}")
    return known[name]


def settings_of(preset: Preset, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that run a preset: its cells with nothing tuned, so one fit per fold.

    Args:
        preset: what to run.
        given: what the command line gave, which goes on top. On another task than the preset's all
            its protocols run. `heads`, `trials` and `augment` are refused.

    Raises:
        UserError: a head, more than one trial, or augmentation was asked for.
    """
    if given.get("heads"):
        raise UserError(
            f"preset '{preset.name}' runs its own head, {preset.head}: leave out --head, or "
            "leave out --preset to tune another head"
        )
    tables = (given, given.get("sample", {}), given.get("fine_tune", {}))
    if any(table.get(key, 1) != 1 for table in tables for key in ("trials", "trainings")):
        raise UserError(
            f"preset '{preset.name}' tunes nothing: leave out --trials, or leave out --preset"
        )
    if given.get("fine_tune", {}).get("augment"):
        raise UserError(
            f"preset '{preset.name}' runs as published, without augmentation: leave out --augment, "
            "or leave out --preset"
        )
    own_task = tuple(given.get("tasks", ())) in ((), (preset.task,))
    training: dict[str, Any] = {"trials": 1, "poolings": preset.poolings, "augment": False}
    if preset.crop_seconds is not None:
        training["crop_seconds"] = preset.crop_seconds
    return {
        "tasks": (preset.task,),
        "protocols": preset.protocols if own_task else (),
        "backbones": (preset.backbone,),
        "poolings": preset.poolings,
        "heads": (preset.head,),
        "trials": 1,
        "sample": {"trials": 1, "trainings": 1},
        "fine_tune": training,
    }
