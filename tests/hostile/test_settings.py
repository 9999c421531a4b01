"""Settings from elsewhere are read to a bound and refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from backbones.reading import (
    MOST_VALUES,
    SETTINGS,
    YAML,
    parse_json,
    parse_toml,
    parse_yaml,
    read_bytes,
)
from tests.conftest import Voxgrid
from tests.hostile.conftest import Put


def test_a_settings_file_is_a_regular_one_of_bounded_size(
    voxgrid: Voxgrid, tmp_path: Path, no_file: Put
) -> None:
    no_file(tmp_path / "grid.toml")
    done = voxgrid("plan", "--config", "grid.toml")
    assert done.returncode == 2
    assert "grid.toml" in done.stderr
    if (tmp_path / "grid.toml").exists():
        assert "the configuration file grid.toml cannot be read (it is " in done.stderr
    if (tmp_path / "grid.toml").is_file():
        assert "it is larger than 16 MiB, the most that a file of settings may have" in done.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"trials = {10**400}", "'trials'"),
        ("trials = 1000001", "'trials' is 1000001, and must be a whole number"),
        ("batch = 99999999", "'batch' is 99999999"),
        ("jobs = 5000", "'jobs' is 5000"),
        ('results = "a\\u0000b"', "'results': no path has a character of code 0"),
        (f'budget = "{" " * 2000}x"', "is no duration"),
        (f"a = {'[' * 9999}", "no valid TOML: its lists or tables lie too deep"),
        (f"seed = {'9' * 9999}", "no valid TOML"),
        (f"{'k' * 99999} = 1", "unknown key"),
    ],
)
def test_odd_settings_are_refused_in_a_sentence(
    voxgrid: Voxgrid, tmp_path: Path, line: str, words: str
) -> None:
    (tmp_path / "grid.toml").write_text(f"{line}\n")
    done = voxgrid("plan")
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr) < 500


def test_what_repeats_itself_is_counted_as_often_as_it_stands_there() -> None:
    """A billion values in 400 bytes."""
    rows = [
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]" for i in range(9)
    ]
    text = "\n".join(["a: &a [x, x, x, x, x, x, x, x, x]", *rows])
    with pytest.raises(ValueError, match=f"repeated to more than {MOST_VALUES} values"):
        parse_yaml(text)
    assert parse_yaml("a: &a [1, 2]\nb: *a\n") == {"a": [1, 2], "b": [1, 2]}
    with pytest.raises(ValueError, match="too deep"):
        parse_yaml("&a [*a]")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_depth_is_no_way_to_the_end_of_the_stack(text: str) -> None:
    with pytest.raises(ValueError, match=r"deep|Expecting"):
        parse_json(text)


@pytest.mark.parametrize(
    "text", ["a: 2001-99-99", "a: 0o9_", "{", "a: !!python/object:os.system x", "\0"]
)
def test_odd_yaml_is_a_value_error(text: str) -> None:
    try:
        parse_yaml(text)
    except ValueError:
        return
    assert text == "a: 0o9_"  # a word like any other


def test_toml_of_many_lists_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="too deep"):
        parse_toml("a = " + "[" * 5000)


def test_a_bound_is_what_its_sentence_says(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * YAML.most)
    assert len(read_bytes(path, YAML)) == YAML.most
    path.write_bytes(b"x" * (YAML.most + 1))
    with pytest.raises(
        OSError, match="it is larger than 1 MiB, the most that a YAML text may have"
    ):
        read_bytes(path, YAML)
    with path.open("wb") as file:
        file.truncate(SETTINGS.most + 1)
    with pytest.raises(OSError, match="larger than 16 MiB"):
        read_bytes(path, SETTINGS)


@pytest.mark.parametrize(
    "text", ["a: !!bool maybe", 'a: !!int ""', 'a: !!float ""', "a: !!timestamp soon"]
)
def test_a_value_that_is_none_of_its_tag_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_yaml(text)


def test_what_is_merged_is_counted_before_it_is_made() -> None:
    keys = ", ".join(f"k{i}: 1" for i in range(3000))
    with pytest.raises(ValueError, match="repeated to more than"):
        parse_yaml(f"a: &a {{{keys}}}\nb:\n" + "- {<<: *a}\n" * 2900)


def test_a_key_of_very_many_parts_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="more than 100 dots"):
        parse_toml(".".join("a" * 40_000) + " = 1")
