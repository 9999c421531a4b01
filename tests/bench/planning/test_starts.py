"""What processes took to start is kept by processor, and a damaged file costs nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import machine
from bench.planning import starts


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("VOXGRID_CACHE", str(tmp_path))
    return tmp_path


def test_another_processor_says_nothing_and_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "processor", lambda: "two cores")
    starts.remember("tune", 3.0)
    with monkeypatch.context() as other:
        other.setattr(machine, "processor", lambda: "one core")
        assert starts.measured() == {}
        starts.remember("tune", 7.0)
        assert starts.measured() == {"tune": 7.0}
    assert starts.measured() == {"tune": 3.0}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"here": 1}', '{"here": {"tune": "soon"}}'])
def test_a_damaged_file_is_begun_anew(content: str, cache: Path) -> None:
    (cache / "starts.json").write_text(content)
    assert starts.measured() == {}
    starts.remember("tune", 3.0)
    assert starts.measured() == {"tune": 3.0}
