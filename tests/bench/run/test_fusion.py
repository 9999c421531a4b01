"""Fusions as a user runs them: extracted once, resumed, kept and refused like any row."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.plugins import BACKBONES
from bench.records import store as records
from bench.records.schema import Record
from bench.report.stored import stored
from tests.bench.run.test_execute import COUNTING_PLUGIN
from tests.bench.run.test_unusable import PICKY
from tests.conftest import Voxgrid

TASK = ("--task=sample-emotion", "--protocol=random-80-20", "--pooling=mean_std")
BREAKING = PICKY.replace('name="picky"', 'name="breaking"').replace(
    "hidden = waves.unfold", 'raise RuntimeError("it broke")\n        hidden = waves.unfold'
)
PLUGINS = {"counting": COUNTING_PLUGIN, "picky": PICKY, "breaking": BREAKING}


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    for name, text in PLUGINS.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with BACKBONES.including(*(EntryPoint(name, name, BACKBONES.group) for name in PLUGINS)):
        yield {
            "COUNT_FILE": str(tmp_path / "seen"),
            "VOXGRID_CACHE": str(tmp_path / "cache"),
            "LEAST": "0",
        }


def _records(folder: Path) -> dict[str, Record]:
    return {record.backbone: record for record in records.read_all(folder / "results")}


def test_parts_are_extracted_once_and_a_fusion_is_a_row_like_any(
    voxgrid: Voxgrid, plugins: dict[str, str], tmp_path: Path
) -> None:
    run = ("run", *TASK, "--head=lda")
    first = voxgrid(*run, "--backbone=logmel+counting", "--backbone=counting[1]", **plugins)
    assert first.returncode == 0, first.stderr
    found = _records(tmp_path)
    assert sorted(found) == ["counting+logmel", "counting[1]"]
    both, one = found["counting+logmel"], found["counting[1]"]
    assert both.encoders == ("counting", "logmel")
    assert both.folds[0].layer in ([0, 0], [1, 0])
    assert one.folds[0].layer == [1]
    assert both.folds[0].best_params.items() >= {"layer_2": 0}.items()
    assert both.layers is None
    assert both.weights.kind == "none"
    # what each backbone takes, one after the other
    assert voxgrid(*run, "--backbone=logmel,counting", **plugins).returncode == 0
    rates = {
        name: record.throughput.end_to_end_rtfx
        for name, record in _records(tmp_path).items()
        if record.throughput
    }
    together = 1 / (1 / rates["counting"] + 1 / rates["logmel"])
    assert rates["counting+logmel"] == pytest.approx(together, rel=1e-2)
    # 120 clips and the noise of the warm-up, for four rows
    assert len((tmp_path / "seen").read_text().split()) == 121

    again = voxgrid(*run, "--backbone=counting+logmel,counting[1]", **plugins)
    assert "0 cells ran, 2 were done before" in again.stderr
    other = voxgrid(*run, "--backbone=counting+logmel", "--seed=1", **plugins)
    assert other.returncode == 2
    assert "seed 0 (wanted: 1)" in other.stderr
    assert "--replace" in other.stderr


def test_a_fusion_does_without_the_clips_that_a_part_cannot_use(
    voxgrid: Voxgrid, plugins: dict[str, str], tmp_path: Path
) -> None:
    plugins |= {"LEAST": "0.005"}
    done = voxgrid("run", *TASK, "--head=lda", "--backbone=logmel+picky", **plugins)
    assert done.returncode == 0, done.stderr
    record = _records(tmp_path)["logmel+picky"]
    assert 0 < len(record.excluded) < 120
    assert record.clips == 120 - len(record.excluded)
    told = stored(tmp_path / "results", [record])[str(record.cell)].tested
    assert not {each.clip for each in record.excluded} & set(told.clips)
    # what an average or a comparison needs: every clip left is there once, with a class
    table = pd.read_parquet(next((tmp_path / "results").rglob("logmel+picky__*lda.parquet")))
    assert np.isfinite(table.filter(like="p_").to_numpy()).all()


def test_a_part_that_breaks_fails_its_fusions_with_the_reason_and_no_other_row(
    voxgrid: Voxgrid, plugins: dict[str, str], tmp_path: Path
) -> None:
    done = voxgrid("run", *TASK, "--head=lda", "--backbone=breaking+logmel,logmel", **plugins)
    assert "1 cells ran, 0 were done before, 0 skipped, 1 failed" in done.stderr
    found = _records(tmp_path)
    assert found["logmel"].status == "ok"
    assert found["breaking+logmel"].status == "failed"
    assert "it broke" in str(found["breaking+logmel"].reason)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--head=fine_tune", "--pooling=mean", "--backbone=quartznet+logmel"),
            "is a fusion of pooled vectors, and fine_tune under mean pooling reads a backbone",
        ),
        (
            ("--head=mlp", "--pooling=attention", "--backbone=counting[1]"),
            "is a fusion of pooled vectors, and mlp under attention pooling reads frames",
        ),
        (("--backbone=counting[7]",), "asks for layer 7: counting has layers 0 to 1 here"),
        (("--backbone=counting+counting+counting",), "more layers than there are"),
        (("--backbone=counting[1,1]",), "layer 1 of counting twice"),
        (("--backbone=counting+",), "lacks a name"),
        (("--backbone=counting+logmle",), "did you mean 'logmel'"),
    ],
)
def test_what_cannot_be_joined_is_refused_in_a_sentence(
    options: tuple[str, ...], said: str, voxgrid: Voxgrid, plugins: dict[str, str], tmp_path: Path
) -> None:
    done = voxgrid("run", "--task=sample-emotion", *options, **plugins)
    assert done.returncode == 2
    assert said in done.stderr
    assert not list((tmp_path / "results").rglob("*.json"))


def test_a_plan_says_what_is_extracted_for_whom(voxgrid: Voxgrid, plugins: dict[str, str]) -> None:
    done = voxgrid("plan", *TASK, "--head=lda", "--backbone=counting+logmel", **plugins)
    assert done.returncode == 0, done.stderr
    rows = [line.split("│" if "│" in line else "  ")[0:2] for line in done.stdout.splitlines()]
    names = [" ".join(row).split()[0] for row in rows if " ".join(row).split()]
    assert names.index("counting") < names.index("logmel") < names.index("counting+logmel")
    assert "1 cell to tune" in done.stdout
