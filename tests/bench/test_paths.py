"""Paths in the environment know the home folder, as those of options and `grid.toml` do."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import paths


def test_home_is_known_in_every_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("VOXGRID_DATA", "~/data")
    monkeypatch.setenv("VOXGRID_CACHE", "~/cache")
    assert (paths.data_root(), paths.cache_dir()) == (Path("/home/me/data"), Path("/home/me/cache"))


def test_the_home_of_nobody_stays_as_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXGRID_DATA", "~nobody-of-this-name/data")
    assert paths.data_root() == Path("~nobody-of-this-name/data")
