"""Which clips are the same recording: by their samples, or by ear where copies are re-encoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.audio import fingerprint
from bench.audio.decode import DECODE_VERSION, Inspection
from bench.audio.fingerprint import Fingerprinter
from bench.audio.index import THREADS, Progress, ScannedClip
from bench.audio.likeness import near_duplicates
from bench.audio.memory import remembering
from bench.audio.stream import Stream, reading
from bench.errors import ClipError, UserError

_TABLE = (
    "prints (pcm_sha256 TEXT, decode_version INTEGER, print_version INTEGER, words BLOB, "
    "PRIMARY KEY (pcm_sha256, decode_version, print_version))"
)
_VERSIONS = (DECODE_VERSION, fingerprint.VERSION)
_COMMIT_EVERY = 64

Words = NDArray[np.uint32]


def by_samples(clips: Sequence[ScannedClip]) -> tuple[str, ...]:
    """Return each clip's recording, (clips,): the hash of its samples."""
    return tuple(clip.pcm_sha256 for clip in clips)


def by_ear(
    clips: Sequence[ScannedClip], cache_path: Path, progress: Progress | None = None
) -> tuple[str, ...]:
    """Return each clip's recording, (clips,), where near-duplicates are one.

    Args:
        clips: usable clips of one task.
        cache_path: SQLite file that remembers fingerprints.
        progress: called with (clips done, clips in all).

    Returns:
        The hash of the samples of one of the recording's clips, whatever their order.

    Raises:
        StorageError: the SQLite file cannot be written.
        UserError: a file is gone, or holds something else than when it was scanned.
    """
    prints = _prints({clip.pcm_sha256: clip.clip.path for clip in clips}, cache_path, progress)
    distinct = sorted(prints)
    recording = {pcm: pcm for pcm in distinct}
    for members in near_duplicates([prints[pcm] for pcm in distinct]):
        recording.update({distinct[index]: distinct[members[0]] for index in members})
    return tuple(recording[clip.pcm_sha256] for clip in clips)


def _prints(
    paths: dict[str, Path], cache_path: Path, progress: Progress | None
) -> dict[str, Words]:
    with remembering(cache_path, _TABLE) as memory, ThreadPoolExecutor(THREADS) as pool:
        rows: Iterator[tuple[str, bytes]] = memory.execute(
            "SELECT pcm_sha256, words FROM prints WHERE decode_version = ? AND print_version = ?",
            _VERSIONS,
        )
        prints = {pcm: np.frombuffer(words, "<u4") for pcm, words in rows if pcm in paths}
        new = [pcm for pcm in paths if pcm not in prints]
        made = pool.map(_print, (paths[pcm] for pcm in new), new)
        for count, (pcm, words) in enumerate(zip(new, made, strict=True), start=1):
            prints[pcm] = words
            memory.execute(
                "INSERT OR REPLACE INTO prints VALUES (?, ?, ?, ?)",
                (pcm, *_VERSIONS, words.astype("<u4").tobytes()),
            )
            if count % _COMMIT_EVERY == 0:
                memory.commit()
            if progress:
                progress(len(prints), len(paths))
        memory.commit()
    return prints


def _print(path: Path, pcm_sha256: str) -> Words:
    """The fingerprint of a file that holds what the scan found there."""
    try:
        words, found = reading(path, _heard)
    except (ClipError, OSError) as error:
        raise UserError(f"{path} cannot be read any more ({error}): {_NEXT}") from error
    if found != pcm_sha256:
        raise UserError(f"{path} changed since it was scanned: {_NEXT}")
    return words


_NEXT = "run the same command again when nothing writes to its folder"


def _heard(stream: Stream) -> tuple[Words, str]:
    inspection, heard = Inspection(stream.rate), Fingerprinter(stream.rate)
    for block in stream.blocks:
        heard.add(inspection.add(block))
    return heard.finish(), inspection.facts().pcm_sha256
