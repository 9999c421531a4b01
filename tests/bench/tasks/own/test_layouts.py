"""The same clips in every layout are one task, and give the same records."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bench import paths
from bench.records import store as records
from bench.report.values import command
from bench.tasks.ravdess.task import read as read_ravdess
from tests.bench.tasks.own.make_own import LABELS, LAYOUTS, Clips, make_clips
from tests.conftest import Voxgrid

RUN = ("--backbone=logmel", "--pooling=mean_std", "--head=lda", "--name=mine")


def _told(folder: Path) -> list[dict[str, Any]]:
    """Records but for when and how fast they were made, and how their data were named."""
    told = []
    for record in records.read_all(folder):
        known = record.model_dump(exclude={"throughput", "memory", "own"})
        known["provenance"] = known["provenance"]["fingerprint"]
        told.append(known)
    return sorted(told, key=str)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return make_clips(tmp_path_factory.mktemp("own") / "sound")


def test_every_layout_gives_the_same_records(
    voxgrid: Voxgrid, clips: Clips, tmp_path: Path
) -> None:
    _alike(voxgrid, clips, tmp_path, LABELS)


@pytest.mark.skipif("VOXGRID_DATA" not in os.environ, reason="VOXGRID_DATA is not set")
def test_real_clips_in_every_layout_give_the_same_records(voxgrid: Voxgrid, tmp_path: Path) -> None:
    root = paths.data_root()
    assert root is not None
    every = read_ravdess(root / "ravdess").clips
    wanted = ("happy", "sad", "angry", "fearful", "disgust")
    few = [clip for clip in every if clip.label in wanted and int(clip.group) <= 6][:240]
    assert len(few) == 240
    # kept under names that begin with the speaker, as people do
    own: Clips = []
    for clip in few:
        path = tmp_path / "sound" / f"{clip.group}_{clip.path.name}"
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(clip.path)
        own.append((path, clip.label, clip.group))
    _alike(voxgrid, own, tmp_path, tuple(sorted(wanted)))


def _alike(voxgrid: Voxgrid, clips: Clips, folder: Path, labels: tuple[str, ...]) -> None:
    first: list[dict[str, Any]] = []
    for layout, write in LAYOUTS.items():
        here = folder / layout.replace(" ", "-")
        here.mkdir()
        done = voxgrid("run", *write(here, clips), *RUN, f"--results={here / 'results'}")
        assert done.returncode == 0, f"{layout}: {done.stderr}"
        told = _told(here / "results")
        assert [each["protocol"] for each in told] == ["group-kfold"]
        assert told[0]["labels"] == list(labels)
        assert told[0]["clips"] == len(clips)
        assert not told[0]["excluded"], layout
        first = first or told
        assert told == first, layout
    (own,) = records.read_all(folder / "folders" / "results")
    assert own.own is not None
    assert own.own[1:] == ["--speaker", "{speaker}_*", "--name", "mine"]


def test_own_data_stand_in_grid_toml_too(voxgrid: Voxgrid, clips: Clips, tmp_path: Path) -> None:
    (path,) = LAYOUTS["csv"](tmp_path, clips)
    (tmp_path / "grid.toml").write_text(
        f'tasks = ["mine"]\n[data.mine]\npath = {json.dumps(path)}\nlabel_column = "label"\n'
    )
    done = voxgrid("run", *RUN[:-1])
    assert done.returncode == 0, done.stderr
    (record,) = records.read_all(tmp_path / "results")
    assert (record.task, record.group) == ("mine", "speaker")
    assert "1 were done before" in voxgrid("run", *RUN[:-1]).stderr
    again = f"voxgrid run {path} --label-column label --name mine --protocol group-kfold "
    assert command(record).startswith(again)
