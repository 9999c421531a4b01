"""Which clips are the same recording: by their samples, or by ear where copies are re-encoded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, TypeAdapter

from bench.audio.decode import Inspection
from bench.audio.fingerprint import Fingerprinter
from bench.audio.index import ScannedClip
from bench.audio.likeness import near_duplicates
from bench.audio.memory import Memory, Progress
from bench.audio.stream import Stream, reading
from bench.audio.versions import DECODE_VERSION, PRINT_VERSION
from bench.clips import Section
from bench.errors import ClipError, UserError

Words = NDArray[np.uint32]
# As remembered: four bytes for each.
_Words = Annotated[
    bytes, Field(strict=True), AfterValidator(lambda words: np.frombuffer(words, "<u4"))
]


def by_samples(clips: Sequence[ScannedClip]) -> tuple[str, ...]:
    """Return each clip's recording, (clips,): the hash of the samples of one of its clips.

    Sections of a file that overlap are one recording, however different their samples.
    """
    recording = {clip.pcm_sha256: clip.pcm_sha256 for clip in clips}

    def first(pcm: str) -> str:
        while recording[pcm] != pcm:
            pcm = recording[pcm]
        return pcm

    sections = [(clip.clip.section, clip.pcm_sha256) for clip in clips if clip.clip.section]
    last, end = Section(Path(), 0.0, 0.0), 0.0
    before = ""
    for section, pcm in sorted(sections, key=lambda each: (each[0].file, each[0].start)):
        if section.file == last.file and section.start < end:
            one, other = sorted((first(before), first(pcm)))
            recording[other] = one
        else:
            end = 0.0
        last, before = section, pcm
        end = max(end, math.inf if section.end is None else section.end)
    return tuple(first(clip.pcm_sha256) for clip in clips)


def by_ear(
    clips: Sequence[ScannedClip], cache_path: Path, progress: Progress = lambda done, total: None
) -> tuple[str, ...]:
    """Return each clip's recording, (clips,), where near-duplicates are one.

    An SQLite file remembers fingerprints; `progress` is called with (clips done, clips in all), the
    first time with those remembered.

    Returns:
        The hash of the samples of one of the recording's clips, whatever their order.

    Raises:
        StorageError: the SQLite file cannot be written.
        UserError: a file is gone, or holds something else than when it was scanned.
    """
    memory = Memory(
        cache_path,
        "prints",
        key="pcm_sha256",
        versions={"decode_version": DECODE_VERSION, "print_version": PRINT_VERSION},
        values=("words",),
        rows=TypeAdapter(tuple[_Words]),
    )
    found = memory.complete({c.pcm_sha256: c.clip.path for c in clips}, _print, progress)
    prints = {pcm: np.frombuffer(words, "<u4") for pcm, (words,) in found.items()}
    distinct = sorted(prints)
    recording = {pcm: pcm for pcm in distinct}
    for members in near_duplicates([prints[pcm] for pcm in distinct]):
        recording.update({distinct[index]: distinct[members[0]] for index in members})
    return tuple(recording[clip.pcm_sha256] for clip in clips)


def _print(pcm_sha256: str, path: Path) -> tuple[bytes]:
    """The fingerprint of a file that holds what the scan found there."""
    try:
        words, found = reading(path, _heard)
    except (ClipError, OSError) as error:
        raise UserError(f"{path} cannot be read any more ({error}): {_NEXT}") from error
    if found != pcm_sha256:
        raise UserError(f"{path} changed since it was scanned: {_NEXT}")
    return (words.astype("<u4").tobytes(),)


_NEXT = "run the same command again when nothing writes to its folder"


def _heard(stream: Stream) -> tuple[Words, str]:
    inspection, heard = Inspection(stream.rate), Fingerprinter(stream.rate)
    for block in stream.blocks:
        heard.add(inspection.add(block))
    return heard.finish(), inspection.facts().pcm_sha256
