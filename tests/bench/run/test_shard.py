"""Shares of a grid: each cell is run by one, and together they leave what one run leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config.spec import RunSpec
from bench.errors import UserError
from bench.files import exclusive
from bench.planning.cells import _wanted
from tests.bench.planning.make_plans import make_folded
from tests.conftest import Voxgrid

HEADS = ("lda", "logistic_regression", "mlp", "fine_tune")
GRID = ("--task", "sample-emotion", "--protocol", "speaker-3fold", "--backbone", "logmel",
        "--backbone", "whisper-base", "--pooling", "mean", "--head", "lda", "--head", "mlp",
        "--results", "shared")  # fmt: skip


@given(of=st.integers(1, 40), heads=st.lists(st.sampled_from(HEADS), min_size=1, unique=True))
def test_every_cell_is_of_one_share(of: int, heads: list[str]) -> None:
    folded = make_folded(Path("clips"))
    grid = {"backbones": ("logmel+logmel", "logmel", "quartznet"), "heads": tuple(heads)}
    whole = _wanted(folded, RunSpec(**grid))
    shares = [_wanted(folded, RunSpec(**grid, shard=f"{k}/{of}")) for k in range(1, of + 1)]
    for name, cells in whole.items():
        assert [cell for share in shares for cell in share[name]] == cells
    sizes = [sum(map(len, share.values())) for share in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "x/2", "1/0", "1/2/3", "-1/2"])
def test_what_is_no_share_is_refused(shard: str) -> None:
    with pytest.raises(ValueError, match="is no share; write 1/8"):
        RunSpec(shard=shard)


def test_shares_of_one_whole_may_go_on_at_once_and_nobody_else(tmp_path: Path) -> None:
    with exclusive(tmp_path, share=(1, 2)):
        with exclusive(tmp_path, share=(2, 2)):
            pass
        for other in (None, (1, 2), (1, 3)):
            with (
                pytest.raises(UserError, match="another voxgrid run is writing"),
                exclusive(tmp_path, share=other),
            ):
                pass
    with exclusive(tmp_path):
        for other in (None, (1, 2)):
            with (
                pytest.raises(UserError, match="another voxgrid run is writing"),
                exclusive(tmp_path, share=other),
            ):
                pass
    with exclusive(tmp_path, share=(1, 3)):
        pass


def test_two_shares_at_once_leave_the_records_of_one_run(voxgrid: Voxgrid, tmp_path: Path) -> None:
    whole = voxgrid("run", *GRID[:-1], "whole", VOXGRID_CACHE=str(tmp_path / "own"))
    assert whole.returncode == 0, whole.stderr
    environment = os.environ | {
        "VOXGRID_CACHE": str(tmp_path / "empty"),
        "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
    }
    environment.pop("VOXGRID_DATA", None)
    environment.pop("VOXGRID_WEIGHTS", None)
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.cli", "run", *GRID, "--jobs", "1", "--shard", f"{k}/2"],
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for k in (1, 2)
    ]
    said = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert all(f"share {k}/2 has ended" in said[k - 1] for k in (1, 2))
    assert sum(text.count("extract logmel") > 0 for text in said) == 1  # its cells lie together
    made = {p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("*__*.parquet")}
    assert len(made) == 8
    for path in made:
        one, other = (pd.read_parquet(tmp_path / name / path) for name in ("shared", "whole"))
        pd.testing.assert_frame_equal(one, other, rtol=0, atol=1e-5)
    assert not (tmp_path / "shared" / "leaderboard.md").exists()
