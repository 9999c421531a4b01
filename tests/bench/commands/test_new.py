"""`voxgrid new backbone` writes what works before a line of it is changed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.commands import new
from bench.errors import StorageError, UserError
from tests.conftest import Voxgrid

ROOT = Path(__file__).resolve().parents[3]


def pytest_in(
    folder: Path, *arguments: str, path: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": search_path(path)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def search_path(first: Path) -> str:
    return os.pathsep.join([str(first), *filter(None, [os.environ.get("PYTHONPATH")])])


def commands(said: str) -> list[str]:
    return [line.strip() for line in said.partition("next:\n")[2].splitlines()]


def checkout(folder: Path) -> Path:
    """A checkout with voxgrid's real code in it, by links."""
    (folder / "backbones").mkdir(parents=True)
    (folder / "tests" / "backbones").mkdir(parents=True)
    for path in (ROOT / "backbones").iterdir():
        if path.name != "__pycache__":
            (folder / "backbones" / path.name).symlink_to(path)
    (folder / "bench").symlink_to(ROOT / "bench")
    (folder / "heads").symlink_to(ROOT / "heads")
    return folder


def test_a_file_in_a_checkout_is_a_backbone_that_passes_its_own_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], environment: dict[str, str]
) -> None:
    root = checkout(tmp_path / "checkout")
    new.backbone("my-2nd.ear", to=root)
    said = capsys.readouterr().out
    assert f"wrote {root / 'backbones' / 'my_2nd_ear.py'}" in said
    assert commands(said) == [
        # this is not the checkout that runs the command
        f"pip install -e {root} && voxgrid check my-2nd.ear",
        f"pytest {root / 'tests' / 'backbones' / 'test_my_2nd_ear.py'}",
        "voxgrid run --task sample-emotion --backbone my-2nd.ear",
    ]
    (root / "tests" / "test_it_is_found.py").write_text(
        "from bench.plugins import BACKBONES\n\n\n"
        "def test_it_is_found():\n"
        "    assert BACKBONES.get('my-2nd.ear').__module__ == 'backbones.my_2nd_ear'\n"
    )
    tested = pytest_in(root, "tests", path=root, environment=environment)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_a_package_of_its_own_passes_its_own_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], environment: dict[str, str]
) -> None:
    new.backbone("my-backbone", to=tmp_path, package=True)
    folder = tmp_path / "voxgrid-my-backbone"
    assert commands(capsys.readouterr().out) == [
        f"pip install -e {folder}",
        "voxgrid check my-backbone",
        "voxgrid run --task sample-emotion --backbone my-backbone",
    ]
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert written == {
        "pyproject.toml",
        "README.md",
        "voxgrid_my_backbone/__init__.py",
        "voxgrid_my_backbone/backbone.py",
        "tests/test_my_backbone.py",
    }
    assert 'my-backbone = "voxgrid_my_backbone.backbone"' in (folder / "pyproject.toml").read_text()
    tested = pytest_in(folder, path=folder, environment=environment)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_page_for_contributors_shows_what_is_written() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = next(
        block
        for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        if "class MyBackbone" in block
    )
    called = new.names_for("my-backbone")
    assert shown == new.render("backbone.py.txt", called, "backbones.my_backbone")


@pytest.mark.parametrize(
    ("name", "stem", "class_name"),
    [
        ("wavlm", "wavlm", "Wavlm"),
        ("my-backbone", "my_backbone", "MyBackbone"),
        ("ast-10s.v2", "ast_10s_v2", "Ast10sV2"),
    ],
)
def test_every_spelling_follows_from_the_name(name: str, stem: str, class_name: str) -> None:
    called = new.names_for(name)
    assert (called.stem, called.class_name) == (stem, class_name)
    assert called.stem.isidentifier()
    assert called.distribution == "voxgrid-" + stem.replace("_", "-")
    assert called.package == f"voxgrid_{stem}"


@given(st.from_regex(r"[a-z][a-z0-9._-]{0,35}", fullmatch=True))
def test_what_an_accepted_name_gives_is_python(name: str) -> None:
    try:
        called = new.names_for(name)
    except UserError:
        return
    assert called.stem.isidentifier()
    assert called.class_name.isidentifier()
    for template in ("backbone.py.txt", "test_backbone.py.txt"):
        text = new.render(template, called, f"backbones.{called.stem}")
        compile(text, template, "exec")
        assert max(map(len, text.splitlines())) <= 100  # of this checkout's style


@pytest.mark.parametrize(
    "name",
    [
        "",
        "My",
        "2nd",
        "a b",
        "a/b",
        "../up",
        "a--b",
        "-a",
        "a-",
        "hf:a",
        "é",
        "a\n",
        "_a",
        "a" * 31,
    ],
)
def test_a_malformed_name_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(UserError, match="begin with a lower-case letter"):
        new.names_for(name)


@pytest.mark.parametrize("name", ["class", "none", "frames", "backbone", "backbone-info"])
def test_a_name_that_means_something_else_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="add a word"):
        new.names_for(name)


def test_a_registered_name_is_refused() -> None:
    with pytest.raises(UserError, match="already is a backbone called 'xlsr'"):
        new.names_for("xlsr")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    new.as_package("mine", tmp_path)
    plugin = tmp_path / "voxgrid-mine" / "voxgrid_mine" / "backbone.py"
    plugin.write_text("edited\n")
    with pytest.raises(UserError, match="voxgrid-mine is there already"):
        new.as_package("mine", tmp_path)
    root = checkout(tmp_path / "checkout")
    test = root / "tests" / "backbones" / "test_mine.py"
    test.write_text("edited\n")
    with pytest.raises(UserError, match=r"test_mine\.py is there already"):
        new.in_checkout("mine", root)
    assert plugin.read_text() == test.read_text() == "edited\n"
    assert not (root / "backbones" / "mine.py").exists()


def test_outside_a_checkout_the_other_way_is_named(tmp_path: Path, voxgrid: Voxgrid) -> None:
    done = voxgrid("new", "backbone", "mine")
    assert done.returncode == 2
    assert "is no checkout of voxgrid" in done.stderr
    assert "--package" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        new.as_package("mine", tmp_path / "file")
