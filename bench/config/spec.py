"""RunSpec: everything a run is, in one frozen object that can be written down and sent away.

It is made from `grid.toml`, a preset and the command line, in this order, and validated once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from backbones.reading import SETTINGS, parse_toml, read_text
from bench.config import presets
from bench.config.base import FilePath, Settings
from bench.config.grid import Control
from bench.config.own import NAME, OwnData
from bench.config.settings import OF_ONE_RUN, Layer, explain, flatten, settings_of
from bench.errors import UserError

FILE_NAME = "grid.toml"
_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(
    rf"\s*(?:{_NUMBER}\s*h)?\s*(?:{_NUMBER}\s*m(?:in)?)?\s*(?:{_NUMBER}\s*s)?\s*",
    re.IGNORECASE | re.ASCII,
)
_YEAR = 366 * 24 * 3600.0
# Blanks between its parts could be tried in as many ways as there are.
_LONGEST_DURATION = 40
# More are a slip of the keyboard, and overflow what is computed of them.
_MOST = 1_000_000
_CLUSTER = re.compile(r"dask|(tcp|tls)://\S+:\d+")
_SHARD = re.compile(r"(\d{1,6})/(\d{1,6})", re.ASCII)
_DEVICE = re.compile(r"cpu|mps|(cuda|xpu)(:\d{1,3})?", re.ASCII)
_log = logging.getLogger(__name__)


class SampleSettings(Settings):
    """Settings of the sample tasks, which show that the harness works and no more."""

    trials: Annotated[
        int, Field(ge=1, le=_MOST, description="On sample tasks: trials per cell and fold.")
    ] = 3
    trainings: Annotated[
        int,
        Field(ge=1, le=_MOST, description="On sample tasks: trials of heads that read frames."),
    ] = 1


class FineTuneSettings(Settings):
    """Settings of heads that train the backbone."""

    trials: Annotated[
        int,
        Field(
            ge=1,
            le=_MOST,
            description="Trials of heads that train the backbone; each is a training.",
        ),
    ] = 3
    seeds: Annotated[
        int,
        Field(ge=1, le=1000, description="The same for heads that read frames or the backbone."),
    ] = 1
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
        float,
        Field(
            gt=0,
            le=_MOST,
            description="How much of a clip's beginning training on frames uses, in seconds.",
        ),
    ] = 30.0


class RunSpec(Settings):
    """What to run, and how.

    Every field but `control`, `preset`, `replace`, `shard` and `named` is a key of `grid.toml`, and
    every one but `data` and `named` an option of `voxgrid run` and `voxgrid plan`, whose help its
    description is. An empty list stands for everything there is (of the task, for protocols).

    Attributes:
        data: one's own tasks, by name.
        named: settings that somebody asked for by an option, as in `fine_tune.trials`. What is
            named runs, or nothing does.
    """

    tasks: Annotated[tuple[str, ...], Field(description="Task; repeatable.")] = (
        "ravdess",
        "youtube",
    )
    protocols: Annotated[
        tuple[str, ...],
        Field(description="Protocol; repeatable. By default all of the task but repeated splits."),
    ] = ()
    backbones: Annotated[
        tuple[str, ...],
        Field(
            description="Backbone, or a fusion as in quartznet+whisper-base; repeatable. By "
            "default all backbones.",
        ),
    ] = ()
    poolings: Annotated[tuple[str, ...], Field(description="Pooling; repeatable.")] = (
        "mean",
        "max",
        "mean_std",
    )
    heads: Annotated[tuple[str, ...], Field(description="Head; repeatable.")] = (
        "logistic_regression",
        "lda",
        "gradient_boosting",
        "mlp",
    )
    trials: Annotated[
        int,
        Field(
            ge=1,
            le=_MOST,
            description="Most settings per cell and fold of heads on vectors; with --trials, of "
            "every head. Heads with a short list of settings try all of it.",
        ),
    ] = 50
    trainings: Annotated[
        int, Field(ge=1, le=_MOST, description="Trials of heads that read frames.")
    ] = 10
    inner: Annotated[
        Literal["one", "folds"],
        Field(
            description="What settings of heads on vectors are scored on: one validation part, or "
            "all inner folds together.",
        ),
    ] = "folds"
    quick: Annotated[
        bool, Field(description="Ten drawn settings, scored on one validation part.")
    ] = False
    seeds: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="How often what is random in the last fit of a fold is repeated.",
        ),
    ] = 3
    # what numpy and torch take
    seed: Annotated[int, Field(ge=0, le=2**32 - 1, description="Seed of sampling and fitting.")] = 0
    jobs: Annotated[int, Field(ge=0, le=4096, description="Worker processes; 0: one per core.")] = 0
    budget: Annotated[
        str | None, Field(description="Stop after this long, e.g. 30m.", examples=["30m"])
    ] = None
    on: Annotated[
        str | None,
        Field(
            description="Where jobs run: dask (workers of this machine), or a Dask scheduler's "
            "address; by default children of the command.",
            examples=["tcp://scheduler:8786"],
        ),
    ] = None
    device: Annotated[str, Field(description="Where backbones run: cpu, cuda, cuda:1 …")] = "cpu"
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"],
        Field(description="What backbones compute in: float32, bfloat16 or float16."),
    ] = "float32"
    batch: Annotated[
        int, Field(ge=1, le=_MOST, description="Most windows per batch of a backbone.")
    ] = 4
    frames_gb: Annotated[
        float, Field(gt=0, le=_MOST, description="Most disk for one backbone's frames, in GB.")
    ] = 20.0
    results: Annotated[FilePath, Field(description="Folder of the records.")] = Path("results")
    leaderboard: Annotated[
        FilePath, Field(description="The page to write; with --results, beside those records.")
    ] = Path("leaderboard.md")
    download: Annotated[
        bool, Field(description="Whether weights and data may be downloaded where they lack.")
    ] = True
    strict: Annotated[bool, Field(description="Whether to fail where any clip is left out.")] = (
        False
    )
    data: dict[str, OwnData] = Field(default_factory=dict)
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
    shard: Annotated[
        str | None,
        Field(
            description="Run the cells of one share, as in 2/8; runs of all eight may go on at "
            "once, in one results folder.",
            examples=["2/8"],
        ),
    ] = None
    named: tuple[str, ...] = ()

    @property
    def accelerator(self) -> bool:
        """Whether backbones run on something faster than the processor."""
        return self.device != "cpu"

    @property
    def share(self) -> tuple[int, int] | None:
        """Which share of the cells, from 1, and how many there are; None for all of them."""
        if self.shard is None:
            return None
        number, _, of = self.shard.partition("/")
        return int(number), int(of)

    @property
    def seconds(self) -> float | None:
        """The budget in seconds; None without one."""
        return None if self.budget is None else parse_duration(self.budget)

    @field_validator("budget")
    @classmethod
    def _budget_is_a_duration(cls, value: str | None) -> str | None:
        if value is not None:
            parse_duration(value)
        return value

    @field_validator("data")
    @classmethod
    def _names_are_those_of_files(cls, value: dict[str, OwnData]) -> dict[str, OwnData]:
        for name in value:
            if not NAME.fullmatch(name):
                raise ValueError(
                    f"'{name}' cannot be the name of a task: use lower case letters, digits and ._-"
                )
        return value

    @field_validator("on")
    @classmethod
    def _on_is_an_address(cls, value: str | None) -> str | None:
        if value is not None and not _CLUSTER.fullmatch(value):
            raise ValueError(
                f"'{value}' is no cluster; write dask, or an address such as tcp://scheduler:8786"
            )
        return value

    @field_validator("shard")
    @classmethod
    def _shard_is_one_of_several(cls, value: str | None) -> str | None:
        match = _SHARD.fullmatch(value) if value is not None else None
        if value is not None and not (match and 1 <= int(match[1]) <= int(match[2])):
            raise ValueError(f"'{value}' is no share; write 1/8 to 8/8 for eight of them")
        return value

    @field_validator("device")
    @classmethod
    def _device_is_one_of_torch(cls, value: str) -> str:
        if not _DEVICE.fullmatch(value):
            raise ValueError(
                f"there is no device '{value}'; write cpu, cuda, or cuda:1 for the second"
            )
        return value

    def altered(self, **settings: object) -> RunSpec:
        """The same run but for some settings, validated like every other.

        Raises:
            ValidationError: one of them is not usable.
        """
        return RunSpec.model_validate({**dict(self), **settings})


def parse_duration(text: str) -> float:
    """Seconds in a duration such as `30m`, `1.5h`, `1h30m`, `90s` or `45` (minutes need their m).

    Raises:
        ValueError: it is not one, or it is longer than a year.
    """
    match = None
    if len(text) <= _LONGEST_DURATION:
        match = _DURATION.fullmatch(f"{text}s" if text.strip().isdecimal() else text)
    if match is None or not any(match.groups()):
        shown = text[:_LONGEST_DURATION]
        raise ValueError(f"'{shown}' is no duration; write for example 30m, 1h30m, 1.5h or 90s")
    hours, minutes, seconds = (float(group or 0) for group in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if total > _YEAR:
        raise ValueError(f"'{text}' is longer than a year; leave it out for no limit")
    return total


def load(path: Path | None, given: Layer | None = None) -> RunSpec:
    """What to run: the file, under the preset if one is asked for, under what options gave.

    Without a path it is `grid.toml` in the current folder, where there is one.

    Raises:
        UserError: the file is missing, is no TOML, or has an unknown key or a bad value; or the
            preset is unknown or does not allow what was given.
    """
    source = path or Path(FILE_NAME)
    text = "" if path is None and not source.exists() else _text(source)
    layers, given = [_parsed(text, source)], given or {}
    named = set(flatten(given))
    if given.get("preset") is not None:
        layers.append(presets.settings_of(presets.find(given["preset"]), given))
        named |= {"tasks", "backbones", "poolings", "heads"}
    merged = reduce(_merged, [*layers, _implied(given), given])
    try:
        spec = RunSpec.model_validate({**merged, "named": sorted(named)})
    except ValidationError as error:
        raise UserError(explain(error, settings_of(RunSpec), given, source, text)) from error
    _log.debug("the run, from %s and the command line: %s", source, spec.model_dump_json())
    return spec


def _text(source: Path) -> str:
    try:
        return read_text(source, SETTINGS)
    except OSError as error:
        raise UserError(
            f"the configuration file {source} cannot be read ({error.strerror}); check --config"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"{source} is no text in UTF-8 (its byte {error.start + 1} cannot be); save it as that"
        ) from error


def _parsed(text: str, source: Path) -> Layer:
    try:
        found = parse_toml(text)
    except ValueError as error:
        raise UserError(f"{source} is no valid TOML: {error}") from error
    for key, advice in OF_ONE_RUN.items():
        if key in found:
            raise UserError(f"{source} has an unknown key '{key}'; {advice}")
    return found


def _implied(given: Layer) -> Layer:
    """What options say of other settings, where those have no option of their own."""
    fine_tune = {key: given[key] for key in ("trials", "poolings") if key in given}
    implied: dict[str, Any] = {"fine_tune": fine_tune}
    if given.get("quick"):
        implied |= {"inner": "one", "trials": 10}
    if "results" in given:
        # a run on the side must not replace the leaderboard of the records in results/
        implied["leaderboard"] = Path(given["results"]) / "leaderboard.md"
    if "trials" in given:
        implied["trainings"] = given["trials"]
        implied["sample"] = dict.fromkeys(("trials", "trainings"), given["trials"])
    return implied


def _merged(below: Layer, above: Layer) -> Layer:
    """Settings with others on top, table by table."""
    tables = {
        key: {**below[key], **value}
        for key, value in above.items()
        if isinstance(value, Mapping) and isinstance(below.get(key), Mapping)
    }
    return {**below, **above, **tables}
