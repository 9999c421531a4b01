"""`voxgrid check` reports plugins of any package, and the harness heeds what their records say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Voxgrid

PLUGIN = """
from dataclasses import replace

from backbones.logmel import INFO, LogMel


class Quiet(LogMel):
    info = replace(INFO, name="quiet", frame_rate=50.0)
"""


@pytest.fixture
def installed(tmp_path: Path) -> str:
    """A search path with an installed package of two plugins: one is wrong, one does not import."""
    site = tmp_path / "site"
    metadata = site / "elsewhere-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[voxgrid.backbones]\nquiet = elsewhere:Quiet\nlost = no_such_module_at_all\n"
    )
    (site / "elsewhere.py").write_text(PLUGIN)
    return os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])


def test_failure_is_shown_with_measure_limit_and_remedy(voxgrid: Voxgrid, installed: str) -> None:
    done = voxgrid("check", "quiet", PYTHONPATH=installed, COLUMNS="100")
    assert done.returncode == 1
    assert "frame rate matches metadata" in done.stdout
    assert "measured 130 frames more for 1.30 s more, limit 65 ± 5" in done.stdout
    assert "→ correct frame_rate in INFO" in done.stdout
    assert "skipped no pickle is executed: it has no weights" in done.stdout
    assert "1 of 1 backbones checked, 1 failed (quiet)" in done.stdout


def test_several_names_as_json(voxgrid: Voxgrid, installed: str, tmp_path: Path) -> None:
    done = voxgrid(
        "check", "logmel", "quiet", "--json", "--write-golden", "golden", PYTHONPATH=installed
    )
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["passed"] is False
    right, wrong = found["backbones"]
    assert (right["name"], right["passed"]) == ("logmel", True)
    assert right["weights"] == {"kind": "none", "full_size": True, "sha256": None}
    (failure,) = (check for check in wrong["checks"] if check["outcome"] == "failed")
    assert failure["name"] == "frame rate matches metadata"
    assert all(failure[key] for key in ("problem", "measured", "limit", "remedy"))
    # nothing is written for a backbone that is wrong
    assert [path.name for path in (tmp_path / "golden").iterdir()] == ["logmel.json"]


def test_plugin_that_does_not_import_is_no_silent_gap(
    environment: dict[str, str], installed: str
) -> None:
    code = "from bench.commands import conformance; print(*conformance.registered(), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"PYTHONPATH": installed},
        capture_output=True,
        text=True,
        check=True,
    )
    names, left_out = done.stdout.strip().splitlines()
    assert "'quiet'" in names
    assert "no_such_module_at_all" in left_out


def test_weights_that_are_not_there_are_a_sentence(voxgrid: Voxgrid) -> None:
    done = voxgrid("check", "whisper-base", "--pretrained")
    assert done.returncode == 2
    assert "hf download openai/whisper-base" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_dtype_that_a_backbone_does_not_state_is_a_skipped_row(
    voxgrid: Voxgrid, tmp_path: Path
) -> None:
    (tmp_path / "grid.toml").write_text('dtype = "bfloat16"\n')
    asked = ("--task", "sample-emotion", "--pooling", "mean", "--head", "logistic_regression")
    done = voxgrid("plan", *asked, "--backbone", "whisper-base", "--backbone", "logmel")
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    assert (
        "whisper-base: skipped: its vectors in bfloat16 are too far from those in float32" in said
    )
    assert "one of float32, float16" in said
    assert "logmel: skipped" not in said
