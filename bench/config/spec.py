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
    """Settings of the sample tasks, which show that the harness works and no more.

    Attributes:
        trials: of heads on vectors.
        trainings: trials of heads that read frames or train the backbone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: Annotated[int, Field(ge=1)] = 3
    trainings: Annotated[int, Field(ge=1)] = 1


class FineTuneConfig(BaseModel):
    """Settings of heads that train the backbone.

    Attributes:
        trials: Optuna trials per cell and fold; each is a whole training.
        poolings: which poolings such heads run with, unless --pooling is given.
        augment: whether training clips are augmented anew in each epoch, which takes running the
            frozen part of the backbone on them in every epoch too.
        cache: whether the input of the first trained block is kept rather than computed anew in
            every epoch.
        crop_seconds: how much of the beginning of a clip is used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trials: Annotated[int, Field(ge=1)] = 3
    poolings: tuple[str, ...] = ("attentive_stats",)
    augment: bool = False
    cache: bool = True
    crop_seconds: Annotated[float, Field(gt=0)] = 30.0


class GridConfig(BaseModel):
    """The grid and how it is run; every field is a key of `grid.toml`.

    An empty list stands for everything there is (of the task, for protocols).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: tuple[str, ...] = ("ravdess", "youtube")
    protocols: tuple[str, ...] = ()
    backbones: tuple[str, ...] = ()
    poolings: tuple[str, ...] = ("mean", "max", "mean_std")
    heads: tuple[str, ...] = ("logistic_regression", "gradient_boosting", "mlp")
    trials: Annotated[int, Field(ge=1)] = 10
    seed: Annotated[int, Field(ge=0)] = 0
    jobs: Annotated[int, Field(ge=0)] = 0
    budget: str | None = None
    device: str = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    batch: Annotated[int, Field(ge=1)] = 4
    frames_gb: Annotated[float, Field(gt=0)] = 20.0
    results: Path = Path("results")
    leaderboard: Path = Path("leaderboard.md")
    download: bool = True
    sample: SampleConfig = SampleConfig()
    fine_tune: FineTuneConfig = FineTuneConfig()

    @property
    def accelerator(self) -> bool:
        """Whether backbones run on something faster than the processor."""
        return self.device != "cpu"

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
        return GridConfig.model_validate(_merged(values, overrides))
    except ValidationError as error:
        raise UserError(_explain(error, source)) from error


def _merged(values: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """The file's values with the overrides on top, table by table."""
    merged = dict(values)
    for key, value in overrides.items():
        below = merged.get(key)
        merged[key] = below | value if isinstance(below, dict) else value
    return merged


def _explain(error: ValidationError, source: Path) -> str:
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        tables: dict[object, type[BaseModel]] = {
            "sample": SampleConfig,
            "fine_tune": FineTuneConfig,
        }
        known = list(tables.get(first["loc"][0], GridConfig).model_fields)
        return f"{source} has an unknown key '{key}'; {nearest(str(first['loc'][-1]), known)}"
    return f"{source} or the command line: '{key}' is not usable: {first['msg']}"
