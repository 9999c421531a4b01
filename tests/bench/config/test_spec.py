from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.config.spec import RunSpec, load, parse_duration
from bench.errors import UserError

ROOT = Path(__file__).resolve().parents[3]


def test_the_committed_grid_toml_says_what_the_defaults_are() -> None:
    assert load(ROOT / "grid.toml", {}) == RunSpec()


def test_an_unknown_key_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text("trails = 5\n")
    with pytest.raises(UserError, match="unknown key 'trails'; did you mean 'trials'"):
        load(tmp_path / "grid.toml", {})


def test_an_unknown_key_of_a_table_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text("[sample]\ntrial = 5\n")
    with pytest.raises(UserError, match=r"'sample.trial'; did you mean 'trials'"):
        load(tmp_path / "grid.toml", {})


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text("trials = 5\nseed = 3\n")
    config = load(tmp_path / "grid.toml", {"trials": 7})
    assert (config.trials, config.seed) == (7, 3)


@pytest.mark.parametrize("text", ["trials = 0", "trials = ", "dtype = 'int8'", "budget = 'soon'"])
def test_a_bad_value_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "grid.toml").write_text(text + "\n")
    with pytest.raises(UserError, match=r"grid\.toml"):
        load(tmp_path / "grid.toml", {})


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="check --config"):
        load(tmp_path / "nowhere.toml", {})


def test_a_run_can_be_written_down_and_read_back_as_it_was(tmp_path: Path) -> None:
    spec = load(None, {"preset": "xlsr-finetune-ravdess", "results": tmp_path, "budget": "30m"})
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_run_cannot_be_changed_and_what_is_altered_is_validated() -> None:
    spec = RunSpec()
    with pytest.raises(ValidationError, match="frozen"):
        spec.trials = 3  # type: ignore[misc]
    assert spec.altered(trials=3).trials == 3
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        spec.altered(trials=0)


def test_trials_are_those_of_every_task_and_head_unless_one_has_its_own() -> None:
    spec = load(None, {"trials": 7, "sample": {"trainings": 2}})
    assert (spec.trials, spec.sample.trials, spec.fine_tune.trials) == (7, 7, 7)
    assert spec.sample.trainings == 2


def test_a_run_on_the_side_leaves_the_leaderboard_of_the_others_alone(tmp_path: Path) -> None:
    assert load(None, {"results": tmp_path}).leaderboard == tmp_path / "leaderboard.md"
    given = {"results": tmp_path, "leaderboard": Path("mine.md")}
    assert load(None, given).leaderboard == Path("mine.md")


@pytest.mark.parametrize("key", ["control", "preset"])
def test_what_belongs_to_one_run_is_no_key_of_the_file(tmp_path: Path, key: str) -> None:
    (tmp_path / "grid.toml").write_text(f"{key} = 'random-init'\n")
    with pytest.raises(UserError, match=f"unknown key '{key}'; give it as --{key}"):
        load(tmp_path / "grid.toml")


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_durations_read_back(hours: int, minutes: int, seconds: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s"
    assert parse_duration(text) == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize("text", ["", "m", "five", "-3m", "3x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)
