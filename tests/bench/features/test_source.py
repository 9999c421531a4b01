"""Sources travel: a job names no folder that only the machine has on which it was planned."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from bench.features.source import Source


@pytest.mark.parametrize("variable", ["VOXGRID_DATA", "VOXGRID_CACHE"])
def test_a_clip_below_the_data_or_the_cache_is_found_where_another_machine_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "planned"))
    source = Source("a", tmp_path / "planned" / "task" / "a.wav", "0" * 64, 1.5)
    sent = pickle.dumps(source)
    assert pickle.loads(sent) == source
    assert str(tmp_path).encode() not in sent
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    assert pickle.loads(sent).path == tmp_path / "elsewhere" / "task" / "a.wav"


def test_a_clip_anywhere_else_keeps_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXGRID_DATA", str(tmp_path / "data"))
    for path in (tmp_path / "own" / "a.wav", Path("own") / "a.wav"):
        source = Source("a", path, "0" * 64, 1.5)
        assert pickle.loads(pickle.dumps(source)) == source
