"""The scan: which clips are usable, which are the same recording, and why the rest are not.

Every file's bytes are hashed on every scan, since a name proves nothing; what decoding found is
remembered in a small SQLite file under (sha256 of the bytes, decode version), so that a second
scan costs the hashing alone.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.audio.decode import DECODE_VERSION, Inspection
from bench.audio.memory import remembering
from bench.audio.stream import Stream, reading
from bench.clips import Clip, Exclusion
from bench.errors import ClipError

THREADS = 2
# An interrupted first scan loses at most this many decoded clips.
_COMMIT_EVERY = 64
_TABLE = (
    "facts (file_sha256 TEXT, decode_version INTEGER, pcm_sha256 TEXT, seconds REAL, "
    "channels INTEGER, native_rate INTEGER, error TEXT, PRIMARY KEY (file_sha256, decode_version))"
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ScannedClip:
    """A usable clip and what its file holds.

    Attributes:
        clip: the task's clip.
        file_sha256: of the file's bytes.
        pcm_sha256: of the decoded samples; equal for the same recording in two containers.
        seconds: duration.
        channels: channels in the file.
        native_rate: samples per second in the file.
    """

    clip: Clip
    file_sha256: str
    pcm_sha256: str
    seconds: float
    channels: int
    native_rate: int


@dataclass(frozen=True)
class ScanResult:
    """What a scan found.

    Attributes:
        usable: clips to work with, in the order given.
        excluded: clips left out, each with its reason.
        duplicates: ids of usable clips that are the same recording, one tuple per recording.
    """

    usable: tuple[ScannedClip, ...]
    excluded: tuple[Exclusion, ...]
    duplicates: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class _Facts:
    """What a file's bytes decode to; `error` is the reason where they are not usable."""

    pcm_sha256: str = ""
    seconds: float = 0.0
    channels: int = 0
    native_rate: int = 0
    error: str = ""


def scan(clips: Sequence[Clip], cache_path: Path, progress: Progress | None = None) -> ScanResult:
    """Hash every clip's file, decode those not seen before, and find duplicates.

    Clips that share their samples but not their label are all excluded: nobody can say which
    label is right. Duplicates that agree stay, for the protocol to keep on one side.

    Args:
        clips: clips of one task.
        cache_path: the SQLite file, created where missing and made anew where damaged.
        progress: called with (clips done, clips in all) while files are hashed and decoded.

    Raises:
        StorageError: the SQLite file cannot be written.
    """
    failures: dict[str, str] = {}
    hashes: dict[str, str] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for clip, (digest, failure) in zip(
            clips, pool.map(_hash_file, (clip.path for clip in clips)), strict=True
        ):
            if failure:
                failures[clip.id] = failure
            else:
                hashes[clip.id] = digest
        paths = {hashes[clip.id]: clip.path for clip in clips if clip.id in hashes}
        facts = _all_facts(paths, cache_path, pool, progress)
    usable = []
    for clip in clips:
        if clip.id not in hashes:
            continue
        found = facts[hashes[clip.id]]
        if found.error:
            failures[clip.id] = found.error
            continue
        usable.append(
            ScannedClip(
                clip,
                hashes[clip.id],
                found.pcm_sha256,
                found.seconds,
                found.channels,
                found.native_rate,
            )
        )
    return _settle_duplicates(clips, usable, failures)


def _hash_file(path: Path) -> tuple[str, str]:
    """Return (sha256, '') or ('', why the file cannot be read)."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), ""
    except OSError as error:
        return "", f"cannot be read ({error.strerror or error})"


def _inspect(path: Path) -> _Facts:
    try:
        return reading(path, _facts)
    except ClipError as error:
        return _Facts(error=str(error))


def _facts(stream: Stream) -> _Facts:
    """What a file holds, in one pass over its blocks."""
    inspection = Inspection(stream.rate)
    for block in stream.blocks:
        inspection.add(block)
    found = inspection.facts()
    return _Facts(found.pcm_sha256, found.seconds, found.channels, found.rate)


def _all_facts(
    paths: dict[str, Path], cache_path: Path, pool: ThreadPoolExecutor, progress: Progress | None
) -> dict[str, _Facts]:
    """Return the facts of every file hash, decoding only what the memory does not hold."""
    with remembering(cache_path, _TABLE) as memory:
        facts = {digest: found for digest, found in _remembered(memory) if digest in paths}
        new = [digest for digest in paths if digest not in facts]
        if progress:
            progress(len(facts), len(paths))
        decoded = pool.map(_inspect, (paths[digest] for digest in new))
        for count, (digest, found) in enumerate(zip(new, decoded, strict=True), start=1):
            facts[digest] = found
            memory.execute(
                "INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    digest,
                    DECODE_VERSION,
                    found.pcm_sha256,
                    found.seconds,
                    found.channels,
                    found.native_rate,
                    found.error,
                ),
            )
            if count % _COMMIT_EVERY == 0:
                memory.commit()
            if progress:
                progress(len(facts), len(paths))
        memory.commit()
    return facts


def _remembered(memory: sqlite3.Connection) -> Iterator[tuple[str, _Facts]]:
    rows: Iterable[tuple[str, str, float, int, int, str]] = memory.execute(
        "SELECT file_sha256, pcm_sha256, seconds, channels, native_rate, error "
        "FROM facts WHERE decode_version = ?",
        (DECODE_VERSION,),
    )
    for digest, pcm, seconds, channels, rate, error in rows:
        yield digest, _Facts(pcm, seconds, channels, rate, error)


def _settle_duplicates(
    clips: Sequence[Clip], usable: list[ScannedClip], failures: dict[str, str]
) -> ScanResult:
    by_recording: dict[str, list[ScannedClip]] = defaultdict(list)
    for scanned in usable:
        by_recording[scanned.pcm_sha256].append(scanned)
    duplicates = []
    for same in by_recording.values():
        if len(same) == 1:
            continue
        if len({scanned.clip.label for scanned in same}) == 1:
            duplicates.append(tuple(scanned.clip.id for scanned in same))
            continue
        named = ", ".join(f"{scanned.clip.id} ({scanned.clip.label})" for scanned in same)
        for scanned in same:
            failures[scanned.clip.id] = f"the same recording carries different labels: {named}"
    return ScanResult(
        usable=tuple(scanned for scanned in usable if scanned.clip.id not in failures),
        excluded=tuple(
            Exclusion(clip.id, failures[clip.id]) for clip in clips if clip.id in failures
        ),
        duplicates=tuple(duplicates),
    )
