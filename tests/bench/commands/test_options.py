"""Every setting of a run is one option of `run` and of `plan`, under one name and one help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel
from typer.testing import CliRunner

from bench.cli import app
from bench.commands.options import ConfigOption, given, with_settings
from bench.config.own import OwnData
from bench.config.settings import settings_of
from bench.config.spec import RunSpec


def options(command: str) -> dict[str, Any]:
    """The options of a command that are settings, as click holds them, by their Python name."""
    group: Any = typer.main.get_command(app)
    others = ("config", "as_json", "path", "name", *OwnData.model_fields)
    return {each.name: each for each in group.commands[command].params if each.name not in others}


def keys() -> list[tuple[str | None, str, str | None]]:
    """Table, key and description of every setting."""
    found: list[tuple[str | None, str, str | None]] = []
    for key, field in RunSpec.model_fields.items():
        if key in ("named", "data"):  # what the options were, and what the path of one's own is
            continue
        table = field.annotation
        if isinstance(table, type) and issubclass(table, BaseModel):
            found += [(key, own, one.description) for own, one in table.model_fields.items()]
        else:
            found.append((None, key, field.description))
    return found


def asked(*arguments: str, folder: Path) -> tuple[RunSpec, str]:
    """The run that a command with these arguments is called with, and what was printed."""
    seen: list[RunSpec] = []
    own = typer.Typer()

    def command(spec: RunSpec, *, config: ConfigOption = None) -> None:
        seen.append(spec)

    own.command()(with_settings(command))
    config = folder / "grid.toml"
    config.touch()
    done = CliRunner().invoke(own, [*arguments, "--config", str(config)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return seen[0], done.output


def nothing(**values: Any) -> dict[str, Any]:
    """What typer passes where only these options are given."""
    own = dict.fromkeys(("path", "name", *OwnData.model_fields))
    return {**own, **dict.fromkeys(setting.option for setting in settings_of(RunSpec)), **values}


def test_every_key_of_a_run_is_exactly_one_option() -> None:
    assert [(s.table, s.key) for s in settings_of(RunSpec)] == [
        (table, key) for table, key, _ in keys()
    ]
    names = [setting.option for setting in settings_of(RunSpec)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_each_command_has_an_option_for_every_key_with_its_description_as_help(
    command: str,
) -> None:
    found = options(command)
    assert list(found) == [setting.option for setting in settings_of(RunSpec)]
    for setting, (_, _, description) in zip(settings_of(RunSpec), keys(), strict=True):
        assert description
        assert found[setting.option].help == description


def test_run_and_plan_have_the_same_options() -> None:
    run, plan = options("run"), options("plan")
    assert list(run) == list(plan)
    for name, option in run.items():
        other = plan[name]
        assert (option.opts, option.secondary_opts) == (other.opts, other.secondary_opts)
        assert (option.help, option.multiple) == (other.help, other.multiple)


@pytest.mark.parametrize(
    ("name", "opts", "off"),
    [
        ("task", ["--task"], []),
        ("trials", ["--trials"], []),
        ("sample_trials", ["--sample-trials"], []),
        ("fine_tune_trials", ["--fine-tune-trials"], []),
        ("trainings", ["--trainings"], []),
        ("crop_seconds", ["--crop-seconds"], []),
        ("download", ["--download"], ["--offline"]),
        ("cache", ["--cache"], ["--no-cache"]),
        ("augment", ["--augment"], ["--no-augment"]),
    ],
)
def test_options_are_called_as_people_would_call_them(
    name: str, opts: list[str], off: list[str]
) -> None:
    option = options("run")[name]
    assert (option.opts, option.secondary_opts) == (opts, off)


def test_help_is_shown_for_both_commands() -> None:
    for command in ("run", "plan"):
        done = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
        assert done.exit_code == 0
        assert "--download" in done.output
        assert "--no-cache" in done.output


def test_what_is_not_given_is_left_to_the_file(tmp_path: Path) -> None:
    assert given(nothing()) == {}
    assert given(nothing(task=[])) == {}
    assert asked(folder=tmp_path)[0] == RunSpec()
    assert asked("--seed", "0", folder=tmp_path)[0] == RunSpec(named=("seed",))


def test_what_is_given_stands_in_its_table_under_its_key() -> None:
    values = nothing(task=["ravdess"], jobs=0, sample_trials=4, download=False, crop_seconds=2.5)
    assert given(values) == {
        "tasks": ("ravdess",),
        "jobs": 0,
        "sample": {"trials": 4},
        "download": False,
        "fine_tune": {"crop_seconds": 2.5},
    }


def test_options_on_the_command_line_make_the_run(tmp_path: Path) -> None:
    spec, _ = asked(
        *("--task", "ravdess", "--task", "youtube", "--fine-tune-pooling", "mean"),
        *("--offline", "--no-cache", "--device", "cuda:1", "--dtype", "bfloat16", "--batch", "16"),
        folder=tmp_path,
    )
    assert spec.tasks == ("ravdess", "youtube")
    assert spec.fine_tune.poolings == ("mean",)
    assert (spec.download, spec.fine_tune.cache) == (False, False)
    assert (spec.device, spec.dtype, spec.batch) == ("cuda:1", "bfloat16", 16)


def test_switches_are_on_unless_they_are_switched_off(tmp_path: Path) -> None:
    spec, _ = asked("--download", "--augment", folder=tmp_path)
    assert (spec.download, spec.fine_tune.cache, spec.fine_tune.augment) == (True, True, True)


@pytest.mark.parametrize("option", ["--offlne", "--no-download", "--batches"])
def test_an_unknown_option_ends_with_code_2(option: str) -> None:
    assert CliRunner().invoke(app, ["plan", option]).exit_code == 2
