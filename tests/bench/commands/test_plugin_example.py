"""The example package is found, checked and run by a voxgrid that knows nothing of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest

from bench.plugins import BACKBONES
from tests.conftest import Voxgrid

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "voxgrid-plugin-example"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, installed by pip into a folder of its own."""
    source = tmp_path_factory.mktemp("source") / "example"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    done = subprocess.run(
        [*pip, *options, str(source)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def path(installed: Path) -> str:
    there = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(installed), *([there] if there else [])])


def test_it_is_listed_with_the_package_it_comes_from(voxgrid_process: Voxgrid, path: str) -> None:
    done = voxgrid_process("list", "backbones", "--json", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    (entry,) = [b for b in json.loads(done.stdout)["backbones"] if b["name"] == "example-mfcc"]
    assert entry["origin"] == "voxgrid_plugin_example.mfcc (voxgrid-plugin-example)"
    assert (entry["state"], entry["width"]) == ("not needed", 20)


@pytest.fixture
def found(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The entry point that its distribution declares, found in this process too."""
    monkeypatch.syspath_prepend(installed)
    (package,) = distributions(path=[str(installed)])
    with BACKBONES.including(*package.entry_points.select(group=BACKBONES.group)):
        yield


@pytest.mark.usefixtures("found")
def test_it_passes_the_conformance_suite(voxgrid: Voxgrid) -> None:
    done = voxgrid("check", "example-mfcc")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.usefixtures("found")
def test_it_runs_like_any_other_backbone(voxgrid: Voxgrid, tmp_path: Path) -> None:
    cell = ("--backbone", "example-mfcc", "--pooling", "mean", "--head", "logistic_regression")
    done = voxgrid(
        *("run", "--task", "sample-emotion", *cell, "--protocol", "random-80-20"),
        *("--trials", "1", "--jobs", "1"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 cells ran" in done.stderr
    (record,) = (tmp_path / "results").rglob("*example-mfcc*.json")
    assert "example-mfcc" in (tmp_path / "results/sample/leaderboard.md").read_text(
        encoding="utf-8"
    )
    assert record.is_file()


def test_its_own_tests_pass(installed: Path, path: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE)],
        env=environment | {"PYTHONPATH": path},
        cwd=installed,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
