from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config.spec import GridConfig, load, parse_duration
from bench.errors import UserError
from bench.planning.make import choose

ROOT = Path(__file__).resolve().parents[3]


def test_the_committed_grid_toml_says_what_the_defaults_are() -> None:
    assert load(ROOT / "grid.toml", {}) == GridConfig()


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


@pytest.mark.parametrize(
    ("field", "typo", "meant"),
    [
        ("backbones", "quarznet", "quartznet"),
        ("heads", "logistic_regresion", "logistic_regression"),
        ("poolings", "mean_sdt", "mean_std"),
        ("protocols", "speaker6fold", "speaker-6fold"),
        ("tasks", "ravdes", "ravdess"),
    ],
)
def test_a_typo_is_answered_with_what_was_meant(field: str, typo: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"did you mean '{meant}'"):
        choose(GridConfig.model_validate({field: (typo,)}))


def test_empty_lists_stand_for_everything() -> None:
    config = choose(GridConfig(backbones=(), heads=(), poolings=()))
    assert set(config.backbones) >= {
        "wav2vec2",
        "xlsr",
        "speech2text",
        "quartznet",
        "whisper-base",
        "logmel",
        "egemaps",
    }
    assert set(config.heads) >= {"logistic_regression", "gradient_boosting", "mlp", "fine_tune"}
    assert set(config.poolings) == {
        "mean", "sum", "max", "mean_std", "mean_max", "attention", "attentive_stats",
    }  # fmt: skip


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59))
def test_durations_read_back(hours: int, minutes: int, seconds: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s"
    assert parse_duration(text) == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize("text", ["", "m", "five", "-3m", "3x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)
