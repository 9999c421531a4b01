"""`voxgrid new`: a backbone that works before a line of it is changed, and its test."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Annotated

import typer

import backbones
from bench.commands.shell import echo
from bench.errors import UserError
from bench.files import storing
from bench.plugins import BACKBONES

_NAME = re.compile(r"[a-z][a-z0-9]*([-._][a-z0-9]+)*")
# Of a line of code with the name in it, and of a column of `voxgrid list`.
_LONGEST = 30
# Files written, and the shell commands to go on with.
Written = tuple[list[Path], list[str]]
# What a plugin file imports or defines besides its class.
_TAKEN = frozenset({"Backbone", "BackboneInfo", "Frames", "Weights", *keyword.kwlist})


new_app = typer.Typer(help="Write a working plugin to start from.", no_args_is_help=True)


@new_app.callback()  # without it, typer makes an only command the group itself
def new() -> None:
    """Write a working plugin to start from."""


@new_app.command()
def backbone(
    name: Annotated[str, typer.Argument(help="Lower case, e.g. my-backbone.")],
    to: Annotated[
        Path, typer.Option(help="Checkout of voxgrid; with --package, where the package goes.")
    ] = Path(),
    package: Annotated[
        bool, typer.Option("--package", help="As a package of its own, with an entry point.")
    ] = False,
) -> None:
    """A backbone and its test, which pass `voxgrid check` before a line is changed."""
    files, commands = as_package(name, to) if package else in_checkout(name, to)
    lines = [*(f"wrote {path}" for path in files), "next:", *(f"  {each}" for each in commands)]
    echo("\n".join(lines))


@dataclass(frozen=True)
class Names:
    """What a backbone is called in each place."""

    name: str  # on the command line, e.g. `my-backbone`
    stem: str  # as part of a Python name, `my_backbone`
    class_name: str  # `MyBackbone`
    distribution: str  # of a package of its own, `voxgrid-my-backbone`
    package: str  # what that is imported as, `voxgrid_my_backbone`


def names_for(name: str) -> Names:
    """Derive every spelling of a backbone's name.

    Raises:
        UserError: the name is malformed or taken; says what to do.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UserError(
            f"'{name}' cannot name a backbone: begin with a lower-case letter, go on with "
            "lower-case letters and digits, join words by single '-', '.' or '_', and stay within "
            f"{_LONGEST} characters"
        )
    if name in BACKBONES.names():
        raise UserError(f"there already is a backbone called '{name}'; choose another name")
    words = re.split(r"[-._]", name)
    stem = "_".join(words)
    class_name = "".join(word.capitalize() for word in words)
    if keyword.iskeyword(stem) or class_name in _TAKEN:
        raise UserError(f"'{name}' means something else in Python or in a plugin; add a word to it")
    return Names(name, stem, class_name, f"voxgrid-{'-'.join(words)}", f"voxgrid_{stem}")


def in_checkout(name: str, root: Path) -> Written:
    """Write `backbones/NAME.py` and its test into a checkout of voxgrid, `root`.

    Raises:
        UserError: the name is malformed or taken, a file is there already, or `root` is no
            checkout.
        StorageError: a file cannot be written.
    """
    called = names_for(name)
    if not all((root / part).is_file() for part in ("backbones/base.py", "bench/cli.py")):
        raise UserError(
            f"{root} is no checkout of voxgrid: name one with --to, or write a package of its own "
            "with --package"
        )
    test = Path("tests", "backbones", f"test_{called.stem}.py")
    files = {
        root / "backbones" / f"{called.stem}.py": "backbone.py.txt",
        root / test: "test_backbone.py.txt",
    }
    _write(files, called, f"backbones.{called.stem}")
    used = Path(backbones.__path__[0]).resolve() == (root / "backbones").resolve()
    install = "" if used else f"pip install -e {root} && "
    return [*files], [f"{install}voxgrid check {name}", f"pytest {root / test}", _run(name)]


def as_package(name: str, parent: Path) -> Written:
    """Write a package of its own into a folder, with the entry point that voxgrid finds it by.

    Raises:
        UserError: the name is malformed or taken, or the folder is there already.
        StorageError: a file cannot be written.
    """
    called = names_for(name)
    folder = parent / called.distribution
    if folder.exists():
        raise UserError(f"{folder} is there already: remove it, or choose another name or --to")
    files = {
        folder / called.package / "backbone.py": "backbone.py.txt",
        folder / called.package / "__init__.py": None,
        folder / "tests" / f"test_{called.stem}.py": "test_backbone.py.txt",
        folder / "pyproject.toml": "package/pyproject.toml.txt",
        folder / "README.md": "package/README.md.txt",
    }
    _write(files, called, f"{called.package}.backbone")
    return [*files], [f"pip install -e {folder}", f"voxgrid check {name}", _run(name)]


def _run(name: str) -> str:
    return f"voxgrid run --task sample-emotion --backbone {name}"


def render(template: str, called: Names, module: str) -> str:
    """The text of a template, for a backbone whose file is imported as `module`."""
    imports = (
        "from backbones import Weights",
        "from backbones.checks import parametrize_with_checks",
        f"from {module} import HOP, WINDOW, {called.class_name}",
    )
    folder = resources.files("bench.commands").joinpath("templates")
    text = folder.joinpath(template).read_text(encoding="utf-8")
    return Template(text).substitute(
        asdict(called), module=module, imports="\n".join(sorted(imports))
    )


def _write(files: Mapping[Path, str | None], called: Names, module: str) -> None:
    there = [path for path in files if path.exists()]
    if there:
        raise UserError(f"{there[0]} is there already: remove it or choose another name")
    for path, template in files.items():
        text = "" if template is None else render(template, called, module)
        with storing(path, "name a folder that can with --to"):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
