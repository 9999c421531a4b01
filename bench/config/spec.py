"""RunSpec: everything a run is, in one frozen object that can be written down and sent away.

It is made from `grid.toml`, a preset and the command line, in this order, and validated once.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.config import presets
from bench.config.grid import Control
from bench.errors import UserError, nearest
from bench.paths import expanded

FILE_NAME = "grid.toml"
_DURATION = re.compile(r"\s*(?:(\d+)\s*h)?\s*(?:(\d+)\s*m(?:in)?)?\s*(?:(\d+)\s*s)?\s*", re.I)

# Fields that belong to one run, and so are no keys of the file.
_OF_ONE_RUN = ("control", "preset", "replace")

# Settings by name, table by table, as TOML holds them.
Layer = Mapping[str, Any]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SampleSettings(_Settings):
    """Settings of the sample tasks, which show that the harness works and no more."""

    trials: Annotated[
        int, Field(ge=1, description="On sample tasks: trials per cell and fold.")
    ] = 3
    trainings: Annotated[
        int, Field(ge=1, description="On sample tasks: trials of heads that read frames.")
    ] = 1


class FineTuneSettings(_Settings):
    """Settings of heads that train the backbone."""

    trials: Annotated[
        int, Field(ge=1, description="Trials of heads that train the backbone; each is a training.")
    ] = 3
    poolings: Annotated[
        tuple[str, ...],
        Field(description="Poolings of heads that train the backbone; --pooling sets it too."),
    ] = ("attentive_stats",)
    # other sound in every epoch takes running the frozen part of the backbone in each
    augment: Annotated[bool, Field(description="Augment training clips when fine-tuning.")] = False
    cache: Annotated[
        bool, Field(description="Keep what the first trained block reads between epochs.")
    ] = True
    crop_seconds: Annotated[
        float, Field(gt=0, description="How much of a clip's beginning training on frames uses.")
    ] = 30.0


class RunSpec(_Settings):
    """What to run, and how.

    Every field but `control`, `preset` and `replace` is a key of `grid.toml`, and every one an
    option of `voxgrid run` and `voxgrid plan`, whose help its description is. An empty list stands
    for everything there is (of the task, for protocols).
    """

    tasks: Annotated[tuple[str, ...], Field(description="Task; repeatable.")] = (
        "ravdess",
        "youtube",
    )
    protocols: Annotated[
        tuple[str, ...], Field(description="Protocol; repeatable. By default all of the task.")
    ] = ()
    backbones: Annotated[
        tuple[str, ...], Field(description="Backbone; repeatable. By default all.")
    ] = ()
    poolings: Annotated[tuple[str, ...], Field(description="Pooling; repeatable.")] = (
        "mean",
        "max",
        "mean_std",
    )
    heads: Annotated[tuple[str, ...], Field(description="Head; repeatable.")] = (
        "logistic_regression",
        "gradient_boosting",
        "mlp",
    )
    trials: Annotated[
        int, Field(ge=1, description="Optuna trials per cell and fold, in total, on every task.")
    ] = 10
    seed: Annotated[int, Field(ge=0, description="Seed of sampling and fitting.")] = 0
    jobs: Annotated[int, Field(ge=0, description="Worker processes; 0: one per core.")] = 0
    budget: Annotated[str | None, Field(description="Stop after this long, e.g. 30m.")] = None
    device: Annotated[str, Field(description="Where backbones run: cpu, cuda, cuda:1 …")] = "cpu"
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"],
        Field(description="What backbones compute in: float32, bfloat16 or float16."),
    ] = "float32"
    batch: Annotated[int, Field(ge=1, description="Most windows per batch of a backbone.")] = 4
    frames_gb: Annotated[
        float, Field(gt=0, description="Most disk for one backbone's frames, in GB.")
    ] = 20.0
    results: Annotated[Path, Field(description="Folder of the records.")] = Path("results")
    leaderboard: Annotated[
        Path, Field(description="The page to write; with --results, beside those records.")
    ] = Path("leaderboard.md")
    download: Annotated[
        bool, Field(description="Whether weights and data may be downloaded where they lack.")
    ] = True
    strict: Annotated[bool, Field(description="Whether to fail where any clip is left out.")] = (
        False
    )
    sample: SampleSettings = SampleSettings()
    fine_tune: FineTuneSettings = FineTuneSettings()
    control: Annotated[
        Control | None,
        Field(description="random-init: run with random weights on purpose, as a control."),
    ] = None
    preset: Annotated[
        str | None,
        Field(
            description="Reproduce a published system; --backbone or --task swap another one in."
        ),
    ] = None

    replace: Annotated[
        bool, Field(description="Replace finished records that were made with other settings.")
    ] = False

    @property
    def accelerator(self) -> bool:
        """Whether backbones run on something faster than the processor."""
        return self.device != "cpu"

    @property
    def seconds(self) -> float | None:
        """The budget in seconds; None without one."""
        return None if self.budget is None else parse_duration(self.budget)

    @field_validator("results", "leaderboard")
    @classmethod
    def _paths_know_home(cls, value: Path) -> Path:
        return expanded(value)

    @field_validator("budget")
    @classmethod
    def _budget_is_a_duration(cls, value: str | None) -> str | None:
        if value is not None:
            parse_duration(value)
        return value

    def altered(self, **settings: object) -> RunSpec:
        """The same run but for some settings, validated like every other.

        Raises:
            ValidationError: one of them is not usable.
        """
        return RunSpec.model_validate({**dict(self), **settings})


def parse_duration(text: str) -> float:
    """Seconds in a duration such as `30m`, `1h30m`, `90s` or `45` (minutes need their m).

    Raises:
        ValueError: it is not one.
    """
    if text.strip().isdigit():
        return float(text)
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ValueError(f"'{text}' is no duration; write for example 30m, 1h30m or 90s")
    hours, minutes, seconds = (int(group or 0) for group in match.groups())
    return hours * 3600.0 + minutes * 60.0 + seconds


def load(path: Path | None, given: Layer | None = None) -> RunSpec:
    """What to run: the file, under the preset if one is asked for, under the command line.

    Args:
        path: the file; None reads `grid.toml` in the current folder where there is one.
        given: what the command line gave, table by table.

    Raises:
        UserError: the file is missing, is no TOML, or has an unknown key or a bad value; or the
            preset is unknown or does not allow what was given.
    """
    source, layers = path or Path(FILE_NAME), [_read(path)]
    given = given or {}
    if given.get("preset") is not None:
        layers.append(presets.settings_of(presets.find(given["preset"]), given))
    layers.append(_implied(given))
    layers.append(given)
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merged(merged, layer)
    try:
        return RunSpec.model_validate(merged)
    except ValidationError as error:
        raise UserError(_explain(error, source)) from error


def _read(path: Path | None) -> Layer:
    source = path or Path(FILE_NAME)
    if not source.is_file():
        if path is not None:
            raise UserError(f"there is no configuration file {path}; check --config")
        return {}
    try:
        found = tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{source} is no valid TOML: {error}") from error
    for key in _OF_ONE_RUN:
        if key in found:
            raise UserError(f"{source} has an unknown key '{key}'; give it as --{key}")
    return found


def _implied(given: Layer) -> Layer:
    """What options say of other settings, where those have no option of their own."""
    implied: dict[str, Any] = {}
    if "results" in given:
        # a run on the side must not replace the leaderboard of the records in results/
        implied["leaderboard"] = Path(given["results"]) / "leaderboard.md"
    fine_tune: dict[str, Any] = {}
    if "trials" in given:
        implied["sample"] = dict.fromkeys(("trials", "trainings"), given["trials"])
        fine_tune["trials"] = given["trials"]
    if "poolings" in given:
        fine_tune["poolings"] = given["poolings"]
    return {**implied, "fine_tune": fine_tune}


def _merged(below: Layer, above: Layer) -> dict[str, Any]:
    """Settings with others on top, table by table."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            merged[key] = {**under, **value}
        else:
            merged[key] = value
    return merged


def _explain(error: ValidationError, source: Path) -> str:
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        tables: dict[object, type[BaseModel]] = {
            "sample": SampleSettings,
            "fine_tune": FineTuneSettings,
        }
        known = [
            name
            for name in tables.get(first["loc"][0], RunSpec).model_fields
            if name not in _OF_ONE_RUN
        ]
        return f"{source} has an unknown key '{key}'; {nearest(str(first['loc'][-1]), known)}"
    return f"{source} or the command line: '{key}' is not usable: {first['msg']}"
