from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.config.spec import (
    FineTuneSettings,
    RunSpec,
    SampleSettings,
    load,
    parse_duration,
)
from bench.errors import UserError
from tests.conftest import Voxgrid

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
    assert (spec.trainings, spec.sample.trainings) == (7, 2)


def test_a_quick_run_is_ten_trials_on_one_validation_part_unless_told_otherwise() -> None:
    quick = load(None, {"quick": True})
    assert (quick.inner, quick.trials, quick.trainings) == ("one", 10, RunSpec().trainings)
    told = load(None, {"quick": True, "trials": 3, "inner": "folds"})
    assert (told.inner, told.trials) == ("folds", 3)
    assert (RunSpec().inner, RunSpec().trials) == ("folds", 50)


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


UNITS = st.lists(st.sampled_from([0, 0.25, 1, 1.5, 59, 1000]), min_size=3, max_size=3)


@given(UNITS, st.sampled_from(["", " "]), st.sampled_from(["m", "min", "M"]))
def test_durations_take_fractions_and_blanks(units: list[float], blank: str, minute: str) -> None:
    text = blank.join(f"{unit}{name}" for unit, name in zip(units, ["h", minute, "s"], strict=True))
    assert parse_duration(text) == pytest.approx(units[0] * 3600 + units[1] * 60 + units[2])


@given(st.text(st.sampled_from("0123456789hmins. .+-eE²٣∞\n"), max_size=12))
def test_any_text_is_a_duration_or_none(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        said = str(error)
        assert said.startswith(f"'{text}' is ")
        assert "no duration" in said or "longer than a year" in said
    else:
        assert 0 <= seconds <= 366 * 24 * 3600


@pytest.mark.parametrize(
    ("text", "seconds"), [("1.5h", 5400), ("45", 45), ("0.5m", 30), ("1h 30min", 5400)]
)
def test_durations_people_write(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["1h30", "1,5h", "²", "9" * 5000 + "h", "1e9h", "nan", "infh"])
def test_what_is_almost_a_duration_is_refused_in_our_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no duration; write|longer than a year"):
        parse_duration(text)


TABLES = {"": RunSpec, "sample": SampleSettings, "fine_tune": FineTuneSettings}
KEYS = [*RunSpec.model_fields, *SampleSettings.model_fields, *FineTuneSettings.model_fields]
SCALARS = st.one_of(
    st.integers(-(10**400), 10**400).map(str),
    st.sampled_from(["0", "1", "-1", "1.5", "1e400", "inf", "-inf", "nan", "true", "false"]),
    st.sampled_from(["1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "{}", "{a = 1}", "[]"]),
    st.sampled_from(['"cpu"', '"cuda:x"', '"30m"', '"float16"', '"a,b"', '"~"', '""', '"\\u0000"']),
    st.text(max_size=8).map(lambda text: json.dumps(text)),
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3).map(lambda each: f"[{', '.join(each)}]")
LINES = st.one_of(
    st.tuples(st.sampled_from(KEYS), VALUES).map(" = ".join),
    st.sampled_from([*(f"[{table}]" for table in TABLES if table), "[tasks]", "[[sample]]", "#"]),
    st.text(max_size=12),
)
# what pydantic says of values: https://docs.pydantic.dev/latest/errors/validation_errors
PYDANTICS = ("Input should", "valid tuple", "Value error", "Extra inputs", "unable to parse")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files") / "grid.toml"


def read(file: Path, content: bytes) -> RunSpec | str:
    """The run of a file, or the sentence that refuses it; anything else is raised."""
    file.write_bytes(content)
    try:
        return load(file)
    except UserError as error:
        said = str(error)
        assert not any(words in said for words in PYDANTICS), said
        assert str(file) in said
        return said


@given(st.lists(LINES, max_size=6).map("\n".join))
@settings(max_examples=200)
def test_any_toml_is_a_run_or_refused_in_our_words(file: Path, text: str) -> None:
    read(file, text.encode())


@given(st.binary(max_size=40))
def test_any_bytes_are_a_run_or_refused_in_our_words(file: Path, content: bytes) -> None:
    read(file, content)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('tasks = "ravdess"', "line 1: 'tasks' is \"ravdess\", and must be a list of names, as in"),
        ("\n\ntasks = [1]", "line 3: 'tasks' is 1, and must be a list of names"),
        ("tasks = [{}]", "'tasks' is {}, and must be a list of names"),
        ("trials = true", "'trials' is true, and must be a whole number of 1 or more"),
        ("trials = '5'", "'trials' is \"5\", and must be a whole number of 1 or more"),
        ("seed = 5000000000", "must be a whole number of 0 or more and at most 4294967295"),
        ("frames_gb = inf", "'frames_gb' is inf, and must be a finite number above 0"),
        (f"frames_gb = {10**400}", "'frames_gb' is 1000000"),
        ("[fine_tune]\ncrop_seconds = nan", "line 2: 'fine_tune.crop_seconds' is nan, and must"),
        ("download = 'no'", "'download' is \"no\", and must be true or false"),
        ("dtype = 'FLOAT32'", "and must be float32 or bfloat16 or float16"),
        ("budget = 30", "'budget' is 30, and must be text in quotes, as in \"30m\""),
        ("budget = '5 moons'", "'budget': '5 moons' is no duration; write for example 30m"),
        ("device = 'CUDA'", "'device': there is no device 'CUDA'; write cpu, cuda, or cuda:1"),
        ("data = 3", "line 1: your data stand in a table of settings: begin it with [data.NAME]"),
        ("[data]\nmine = 3", "your data stand in a table of settings: begin it with [data.NAME]"),
        ("[data.mine]\n", "'data.mine.path' is missing; say where your data are"),
        ("[data.mine]\npath = 3", "'data.mine.path' is 3, and must be text in quotes"),
        ("[data.mine]\npath = 'a'\ngroups = 1", "'data.mine.groups' is 1, and must be true or"),
        ("sample = 3", "line 1: 'sample' is a table of settings: begin it with [sample]"),
        ("sample.trials = [3]", "line 1: 'sample.trials' is [3], and must be a whole number"),
        ("augment = true", "line 1 has an unknown key 'augment'; it belongs below [fine_tune]"),
        ("[sample]\nseed = 1", "line 2 has an unknown key 'sample.seed'; it belongs above all"),
        ("named = ['tasks']", "unknown key 'named'"),
        ("Trials = 3", "unknown key 'Trials'; did you mean 'trials'"),
    ],
)
def test_a_bad_setting_is_a_sentence_with_line_value_and_what_may_be(
    file: Path, text: str, words: str
) -> None:
    said = read(file, text.encode())
    assert isinstance(said, str)
    assert words in said


def test_what_is_no_text_is_said_with_the_byte(file: Path) -> None:
    assert "is no text in UTF-8 (its byte 11" in str(read(file, b"trials = 3\xff"))
    with pytest.raises(UserError, match=r"cannot be read \(it is a folder, not a file\)"):
        load(file.parent)


def test_thousands_of_brackets_or_digits_are_no_crash(file: Path) -> None:
    for text in (f"tasks = {'[' * 5000}", f"seed = {'9' * 5000}"):
        assert "is no valid TOML" in str(read(file, text.encode()))


def test_a_mark_before_all_text_is_read_over(file: Path) -> None:
    found = read(file, b"\xef\xbb\xbftrials = 2\n")
    assert isinstance(found, RunSpec)
    assert found.trials == 2


def test_names_are_taken_once_and_commas_join_them(file: Path) -> None:
    text = "backbones = ['a', 'a']\nheads = ['mlp , b', 'mlp']\ntasks = ['hf:./a,b']\n"
    found = read(file, text.encode())
    assert isinstance(found, RunSpec)
    assert (found.backbones, found.heads, found.tasks) == (("a",), ("mlp", "b"), ("hf:./a,b",))


@pytest.mark.parametrize("option", [{"frames_gb": float("inf")}, {"sample": {"trials": 0}}])
def test_a_bad_option_is_called_as_on_the_command_line(option: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^--(frames-gb is inf|sample-trials is 0), and must be "):
        load(None, option)


@pytest.mark.parametrize(("value", "shown"), [("two", '"two"'), ("1.5", '"1.5"'), ("-3", "-3")])
def test_a_number_on_the_command_line_is_refused_in_our_words(
    value: str, shown: str, voxgrid: Voxgrid
) -> None:
    done = voxgrid("plan", "--batch", value)
    assert done.returncode == 2
    assert f"--batch is {shown}, and must be a whole number of 1 or more" in done.stderr


def test_a_run_knows_what_was_named_by_options() -> None:
    assert load(None, {"tasks": ("ravdess",), "fine_tune": {"augment": True}}).named == (
        "fine_tune.augment",
        "tasks",
    )
    # a preset names what it runs but not its protocols, which are the nearest there are
    named = load(None, {"preset": "w2v2-gb-ravdess"}).named
    assert named == ("backbones", "heads", "poolings", "preset", "tasks")
