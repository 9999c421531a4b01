"""A clip that a backbone cannot use is left out of that backbone's rows, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pandas as pd
import pytest

from bench.audio import decode
from bench.plugins import BACKBONES
from bench.records import store as records
from tests.conftest import Voxgrid

PICKY = """
import os

import torch

from backbones import Backbone, BackboneInfo, Frames

INFO = BackboneInfo(
    name="picky", summary="overflows", weights_id=None, revision=None, licence="MIT",
    sample_rate=16000, layers=1, width=160, frame_rate=100.0, max_seconds=30.0,
    attention_mask=True, normalised=False,
)


class Picky(Backbone):
    info = INFO

    def load(self, device="cpu", dtype="float32"):
        self.least = float(os.environ["LEAST"])
        self.spared = float(os.environ.get("SPARED", "-1"))

    def encode(self, waves, lengths):
        hidden = waves.unfold(1, 160, 160).abs()
        energy = waves.square().sum(1) / lengths
        spared = (energy - self.spared).abs() < 2e-4
        hidden[(energy < self.least) & ~spared] = torch.inf
        return Frames.same_lengths([hidden], lengths // 160)
"""
RUN = ("--task=sample-emotion", "--protocol=speaker-3fold", "--backbone=picky", "--pooling=mean")


@pytest.fixture
def picky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    (tmp_path / "picky.py").write_text(PICKY)
    monkeypatch.syspath_prepend(tmp_path)
    with BACKBONES.including(EntryPoint("picky", "picky", BACKBONES.group)):
        yield {"VOXGRID_CACHE": str(tmp_path / "cache")}


def energies(cache: Path) -> dict[str, float]:
    files = sorted(cache.rglob("*.wav")) + sorted(cache.rglob("*.flac"))
    return {p.stem: float((decode.load(p).samples.astype("float64") ** 2).mean()) for p in files}


def test_only_the_clip_to_blame_is_left_out_and_the_rows_say_so(
    voxgrid: Voxgrid, picky: dict[str, str], tmp_path: Path
) -> None:
    voxgrid("plan", *RUN, **picky, LEAST="0")
    (quietest, lowest), (_, second) = sorted(
        energies(tmp_path / "cache").items(), key=lambda one: one[1]
    )[:2]
    picky["LEAST"] = str((lowest + second) / 2)
    first = voxgrid("run", *RUN, "--head=logistic_regression", **picky)
    said = f"1 clip left out of the rows of picky: {quietest}: backbone 'picky' makes features"
    assert said in " ".join(first.stderr.split())
    assert first.returncode == 0
    (record,) = records.read_all(tmp_path / "results")
    assert (record.status, record.clips) == ("ok", 119)
    assert [one.clip for one in record.excluded] == [quietest]
    assert "NaN or infinite values in layer 0" in record.excluded[0].reason
    table = pd.read_parquet(records.predictions_path(tmp_path / "results", record.cell))
    assert len(table) == 119
    assert quietest not in set(table["clip"])

    again = voxgrid("run", *RUN, "--head=logistic_regression", **picky)
    assert "1 were done" in again.stderr
    planned = voxgrid("plan", *RUN, "--head=mlp", **picky)
    assert said in " ".join((planned.stdout + planned.stderr).split())


def test_a_backbone_that_can_use_no_clip_blames_none_and_remembers_nothing(
    voxgrid: Voxgrid, picky: dict[str, str], tmp_path: Path
) -> None:
    # the noise before the first clip has an energy of 0.01
    broken = voxgrid("run", *RUN, "--head=logistic_regression", **picky, LEAST="1")
    assert broken.returncode == 1
    assert (
        "it was given plain noise, before any clip was read: backbone 'picky' makes features"
        in (" ".join(broken.stderr.split()))
    )
    mended = voxgrid("run", *RUN, "--head=logistic_regression", **picky, LEAST="0")
    assert mended.returncode == 0, mended.stderr
    (record,) = records.read_all(tmp_path / "results")
    assert (record.status, record.clips, record.excluded) == ("ok", 120, [])


def test_what_is_named_and_turns_out_not_to_run_ends_with_1(
    voxgrid: Voxgrid, picky: dict[str, str], tmp_path: Path
) -> None:
    voxgrid("plan", *RUN, **picky, LEAST="0")
    # hardly a clip can be used, though the noise before the first can
    loud = sorted(energies(tmp_path / "cache").values())[-1]
    picky |= {"LEAST": str(loud), "SPARED": "0.01"}
    done = voxgrid("run", *RUN, "--head=logistic_regression", **picky)
    assert done.returncode == 1
    assert "protocol 'speaker-3fold' cannot run: too few clips are left" in done.stderr
    (record,) = records.read_all(tmp_path / "results")
    assert record.status == "skipped"
