"""Sections of long files → files of their own in the cache, whose samples are the section's.

A long file is decoded once, whatever number of sections it has. What is cut is found again by the
sha256 of the long file's bytes, so that a file that changed is cut anew.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import soundfile

from bench.audio.memory import THREADS, Progress
from bench.audio.stream import DECODERS, Samples, Stream, reading
from bench.audio.versions import READING_VERSION
from bench.clips import Clip, Section
from bench.errors import ClipError
from bench.files import CACHE_ADVICE, storing, unlinked

# In that of the cache.
FOLDER = "sections"
# Times are rounded where they are written, so a section may end so much behind its file.
_ROUNDED = 0.05


def cut(
    clips: Sequence[Clip],
    folder: Path,
    digest: Callable[[Path], tuple[str, str]],
    progress: Progress = lambda done, total: None,
) -> tuple[list[Clip], dict[int, str]]:
    """Give every clip that is a section a file that holds nothing else.

    Samples are those of the long file from the section's start on, in all its channels and at its
    rate; they are kept as float32, which is 4 bytes for each.

    Args:
        folder: where cut files are kept.
        digest: a file's sha256, or an empty one and why it cannot be read.
        progress: called with (clips done, clips in all).

    Returns:
        The clips with the paths of what was cut; and by their places, why some cannot be.

    Raises:
        StorageError: the folder cannot be written.
    """
    of_file: dict[Path, list[int]] = defaultdict(list)
    for place, clip in enumerate(clips):
        if clip.section is not None:
            of_file[clip.section.file].append(place)
    made = list(clips)
    refused: dict[int, str] = {}
    done = len(clips) - sum(map(len, of_file.values()))
    work = partial(_cut_file, clips, folder=folder, digest=digest)
    with ThreadPoolExecutor(THREADS) as pool:
        for (_, places), (paths, reasons) in zip(
            of_file.items(), pool.map(work, of_file.values()), strict=True
        ):
            refused |= reasons
            for place, path in paths.items():
                made[place] = replace(clips[place], path=path)
            progress(done := done + len(places), len(clips))
    return made, refused


def _cut_file(
    clips: Sequence[Clip],
    places: Sequence[int],
    folder: Path,
    digest: Callable[[Path], tuple[str, str]],
) -> tuple[dict[int, Path], dict[int, str]]:
    """Paths of what is cut out of one file, and why some of it is not, by the clips' places."""
    sections = {place: section for place in places if (section := clips[place].section)}
    file = sections[places[0]].file
    sha, reason = digest(file)
    if reason:
        return {}, dict.fromkeys(places, f"{file.name}: {reason}")
    paths = {place: folder / f"{_name(sha, section)}.wav" for place, section in sections.items()}
    if all(path.is_file() for path in paths.values()):
        return paths, {}
    with storing(folder, CACHE_ADVICE):
        folder.mkdir(parents=True, exist_ok=True)
    wanted = [
        _Cut(section, unlinked(paths[place], folder.parent)) for place, section in sections.items()
    ]
    try:
        behind = reading(file, partial(_written, wanted=wanted))
    except (ClipError, OSError) as error:
        return {}, dict.fromkeys(places, f"{file.name}: {error}")
    refused = {place: behind[path] for place, path in paths.items() if path in behind}
    return {place: path for place, path in paths.items() if place not in refused}, refused


def _name(sha: str, section: Section) -> str:
    told = repr((sha, section.start, section.end, READING_VERSION, DECODERS))
    return hashlib.sha256(told.encode()).hexdigest()[:32]


@dataclass
class _Cut:
    """A section on its way to a file."""

    section: Section
    path: Path
    sound: soundfile.SoundFile | None = None

    def __post_init__(self) -> None:
        self.partial = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.partial")

    def begin(self, rate: int) -> int:
        """Its first sample."""
        return round(self.section.start * rate)

    def end(self, rate: int) -> int | None:
        """The sample behind its last one."""
        return None if self.section.end is None else round(self.section.end * rate)

    def take(self, block: Samples, at: int, rate: int) -> bool:
        """Write what a block that begins at a sample holds of it; whether more may come."""
        if self.sound is None:
            self.sound = soundfile.SoundFile(
                self.partial, "w", rate, block.shape[1], subtype="FLOAT", format="WAV"
            )
        end = self.end(rate)
        self.sound.write(block[max(0, self.begin(rate) - at) : None if end is None else end - at])
        if end is None or end > at + len(block):
            return True
        self.sound.close()
        return False

    def drop(self) -> None:
        """Leave nothing of it but what was moved to its place."""
        if self.sound is not None:
            self.sound.close()
        self.partial.unlink(missing_ok=True)


def _written(stream: Stream, wanted: Sequence[_Cut]) -> dict[Path, str]:
    """Write all sections as the file passes, and none where it turns out to be damaged.

    Returns why the file is too short, by the places of those that it is too short for.
    """
    rate, at = stream.rate, 0
    waiting = sorted(wanted, key=lambda own: own.section.start, reverse=True)
    running: list[_Cut] = []
    with storing(wanted[0].path, CACHE_ADVICE, (OSError, soundfile.LibsndfileError)):
        try:
            for block in stream.blocks:
                while waiting and waiting[-1].begin(rate) < at + len(block):
                    running.append(waiting.pop())
                running = [own for own in running if own.take(block, at, rate)]
                at += len(block)
            seconds = at / rate if rate else 0.0
            behind = {}
            for own in wanted:
                if reason := _behind(own.section, seconds):
                    behind[own.path] = reason
                elif own.sound is not None:
                    own.sound.close()
                    own.partial.replace(own.path)
            return behind
        finally:
            for own in wanted:
                own.drop()


def _behind(section: Section, seconds: float) -> str | None:
    """Why a file of so many seconds does not hold a section, or None where it does."""
    if section.start >= seconds:
        return f"begins at {section.start:g} s, and {section.file.name} lasts {seconds:.3f} s"
    if section.end is not None and section.end > seconds + _ROUNDED:
        return f"ends at {section.end:g} s, and {section.file.name} lasts {seconds:.3f} s"
    return None
