"""Generated clips as WAV files in the cache, all of a task's or none."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import soundfile
from filelock import FileLock

from bench.clips import Clip, Task
from bench.files import CACHE_ADVICE, storing, unlinked
from bench.tasks.entry import Entry


def generated(
    entry: Entry,
    version: int,
    labels: tuple[str, ...],
    named: Iterable[tuple[str, str, str]],
    cache: Path,
    sound: Callable[[Clip], tuple[np.ndarray, int]],
) -> Task:
    """Return a task whose clips lie below `cache`, where they appear all at once if any is missing.

    Args:
        version: of the sound.
        named: id, label and group of every clip.
        sound: a clip → its samples, int16 (n,) or (n, channels), and their rate in Hz.

    Raises:
        StorageError: the clips cannot be written.
    """
    folder = cache / "data" / f"{entry.name}-v{version}"
    clips = tuple(
        Clip(name, folder / f"{name}.wav", label, group) for name, label, group in sorted(named)
    )
    with storing(folder, CACHE_ADVICE, (OSError, soundfile.LibsndfileError)):
        unlinked(folder, cache).parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if not all(clip.path.is_file() for clip in clips):
                _write(folder, clips, sound)
    return Task(entry.name, labels, clips, entry.protocols, sample=True)


def _write(
    folder: Path, clips: Sequence[Clip], sound: Callable[[Clip], tuple[np.ndarray, int]]
) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / "clips"
        made.mkdir()
        for clip in clips:
            samples, rate = sound(clip)
            soundfile.write(made / clip.path.name, samples, rate, subtype="PCM_16")
        if folder.is_dir():
            shutil.rmtree(folder)  # incomplete: somebody removed files from it
        made.rename(folder)
