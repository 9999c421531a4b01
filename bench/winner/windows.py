"""Files as they are predicted: each as a whole, or in windows that are there for a while."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import paths
from bench.audio import sections
from bench.audio.index import ScannedClip, scan
from bench.clips import Clip, Section
from bench.files import CACHE_ADVICE, storing


@dataclass(frozen=True)
class Piece:
    """A file, or a part of it: what a scan found, or why it cannot be used."""

    found: ScannedClip | str
    window: tuple[float, float] | None = None


@contextmanager
def pieces_of(files: Sequence[ScannedClip], every: float | None) -> Iterator[list[list[Piece]]]:
    """Each file as a whole, or in windows of so many seconds, which are there as long as this."""
    if every is None:
        yield [[Piece(file)] for file in files]
        return
    cuts = [
        (place, window)
        for place, file in enumerate(files)
        for window in _windows(file.seconds, every)
    ]
    clips = [
        Clip(str(n), files[place].clip.path, "", "", section=Section(files[place].clip.path, *own))
        for n, (place, own) in enumerate(cuts)
    ]
    cache = paths.cache_dir()
    with storing(cache, CACHE_ADVICE):
        (cache / sections.FOLDER).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache / sections.FOLDER) as folder:
        scanned = scan(clips, cache / "audio.sqlite3", cut_into=Path(folder))
        found: dict[str, ScannedClip | str] = {clip.clip.id: clip for clip in scanned.usable}
        found |= {each.clip: each.reason for each in scanned.excluded}
        pieces: list[list[Piece]] = [[] for _ in files]
        for n, (place, window) in enumerate(cuts):
            pieces[place].append(Piece(found[str(n)], window))
        yield pieces


def _windows(seconds: float, every: float) -> list[tuple[float, float]]:
    """Windows of a file; what is left at its end joins the last one where it is less than half."""
    count = max(1, int(seconds / every + 0.5))
    ends = [every * (n + 1) for n in range(count - 1)] + [seconds]
    return list(zip([0.0, *ends[:-1]], ends, strict=True))
