"""A few clips of the generated sample task, for whatever reads their sound."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import tasks
from bench.audio.index import scan
from bench.clips import Clip
from bench.features.source import Source


def sources_of(clips: tuple[Clip, ...], folder: Path) -> tuple[Source, ...]:
    """The clips as extraction takes them."""
    found = scan(clips, folder / "scan.sqlite3").usable
    return tuple(Source(c.clip.id, c.clip.path, c.pcm_sha256, c.seconds) for c in found)


@pytest.fixture(scope="module")
def sample_sources(
    session_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Source, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOXGRID_CACHE", str(session_cache))
        clips = tasks.resolve("sample-emotion").clips[::20]
    return sources_of(clips, tmp_path_factory.mktemp("scan"))
