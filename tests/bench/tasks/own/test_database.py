"""Databases of audformat, written by its own library."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import audformat
import pandas as pd
import pytest

from bench.config.own import OwnData
from bench.errors import UserError
from bench.tasks.own.task import OwnTask
from tests.bench.tasks.own.make_own import Clips, as_audformat, joined, make_clips


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return make_clips(tmp_path_factory.mktemp("own") / "sound")


@pytest.fixture
def folder(clips: Clips, tmp_path: Path) -> Path:
    return Path(as_audformat(tmp_path, clips)[0])


def test_segments_are_sections_and_their_schemes_are_columns(clips: Clips, tmp_path: Path) -> None:
    found = joined(tmp_path / "long", clips)
    database = audformat.Database("own")
    index = audformat.segmented_index(
        [f"long/{path.name}" for path, _, _ in found],
        [pd.Timedelta(seconds=start) for _, start, _ in found],
        [pd.Timedelta(seconds=end) for _, _, end in found],
    )
    database["segments"] = audformat.Table(index)
    for scheme, of in (("category", 1), ("speaker", 2)):
        database.schemes[scheme] = audformat.Scheme(labels=sorted({clip[of] for clip in clips}))
        database["segments"][scheme] = audformat.Column(scheme_id=scheme)
        database["segments"][scheme].set([clip[of] for clip in clips])
    database.save(str(tmp_path), storage_format="parquet")
    task = OwnTask("mine", OwnData(path=tmp_path)).task
    assert task.clips[1].id == "anna_0.500-1.000"
    assert [(c.label, c.group) for c in task.clips] == [(label, who) for _, label, who in clips]
    with pytest.raises(UserError, match="has no column 'emotions'"):
        _ = OwnTask("mine", OwnData(path=tmp_path, label_column="emotions")).task


def test_a_pickle_and_a_header_that_makes_objects_are_refused(folder: Path) -> None:
    header = (folder / "db.yaml").read_text()
    (folder / "db.yaml").write_text(header + "x: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(UserError, match="is no database that audformat reads"):
        _ = OwnTask("mine", OwnData(path=folder)).task
    (folder / "db.yaml").write_text(header)
    assert len(OwnTask("mine", OwnData(path=folder)).task.clips) == 36
    (folder / "db.of_emotion.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(UserError, match=r"db\.of_emotion\.pkl is a pickle, and pickles are not"):
        _ = OwnTask("mine", OwnData(path=folder)).task


def test_a_table_that_is_missing_and_a_missing_library_are_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "db.of_emotion.csv").unlink()
    with pytest.raises(UserError, match="is no database that audformat reads: No file found"):
        _ = OwnTask("mine", OwnData(path=folder)).task
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'voxgrid\[audformat\]'"):
        _ = OwnTask("mine", OwnData(path=folder)).task
