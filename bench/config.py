"""`grid.toml`: what runs when nothing else is asked for. Unknown keys are refused."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.errors import UserError, nearest

CONFIG_NAME = "grid.toml"
_DURATION = re.compile(r"\s*(?:(\d+)\s*h)?\s*(?:(\d+)\s*m(?:in)?)?\s*(?:(\d+)\s*s)?\s*", re.I)


class SampleConfig(BaseModel):
    """Settings of the sample tasks, which show that the harness works and no more."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: Annotated[int, Field(ge=1)] = 3


class GridConfig(BaseModel):
    """The grid and how it is run; every field is a key of `grid.toml`.

    An empty list stands for everything there is (of the task, for protocols).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: tuple[str, ...] = ("ravdess",)
    protocols: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()
    poolings: tuple[str, ...] = ("mean", "max", "mean_std")
    heads: tuple[str, ...] = ()
    trials: Annotated[int, Field(ge=1)] = 10
    seed: Annotated[int, Field(ge=0)] = 0
    jobs: Annotated[int, Field(ge=0)] = 0
    budget: str | None = None
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    batch: Annotated[int, Field(ge=1)] = 4
    results: Path = Path("results")
    leaderboard: Path = Path("leaderboard.md")
    download: bool = True
    sample: SampleConfig = SampleConfig()

    @field_validator("budget")
    @classmethod
    def _budget_is_a_duration(cls, value: str | None) -> str | None:
        if value is not None:
            parse_duration(value)
        return value


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


def load(path: Path | None, overrides: dict[str, Any]) -> GridConfig:
    """The configuration from a file, with the command line on top.

    Args:
        path: the file; None reads `grid.toml` in the current folder where there is one.
        overrides: fields given on the command line.

    Raises:
        UserError: the file is missing, is no TOML, or has an unknown key or a bad value.
    """
    values: dict[str, Any] = {}
    if path is not None and not path.is_file():
        raise UserError(f"there is no configuration file {path}; check --config")
    source = path or Path(CONFIG_NAME)
    if source.is_file():
        try:
            values = tomllib.loads(source.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{source} is no valid TOML: {error}") from error
    try:
        return GridConfig.model_validate(values | overrides)
    except ValidationError as error:
        raise UserError(_explain(error, source)) from error


def _explain(error: ValidationError, source: Path) -> str:
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        model = SampleConfig if first["loc"][0] == "sample" else GridConfig
        known = list(model.model_fields)
        return f"{source} has an unknown key '{key}'; {nearest(str(first['loc'][-1]), known)}"
    return f"{source} or the command line: '{key}' is not usable: {first['msg']}"
