"""The scan: which clips are usable, which are the same recording, and why the rest are not.

Every file's bytes are hashed on every scan, since a name proves nothing; what decoding found is
remembered in a small SQLite file under the sha256 of the bytes and the versions of the decoders and
of our own rules, so that a second scan costs the hashing alone.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, Json, TypeAdapter

from backbones.reading import AUDIO, LONGEST, RATES, opened
from bench.audio import sections
from bench.audio.decode import inspected
from bench.audio.memory import THREADS, Memory, Passing, Progress, Row
from bench.audio.stream import DECODERS, reading
from bench.audio.versions import DECODE_VERSION, READING_VERSION
from bench.clips import Clip, Exclusion, shortened
from bench.errors import ClipError

_Text = Annotated[str, Field(min_length=1, max_length=2000)]
_Notes = Json[tuple[_Text, ...]]
_Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Seconds = Annotated[float, Field(gt=0, le=LONGEST)]
_Channels = Annotated[int, Field(strict=True, ge=1, le=1024)]
_Rate = Annotated[int, Field(strict=True, ge=RATES[0], le=RATES[1])]
# What is remembered of a file, whoever brought the cache: of a usable one, and of another.
_USABLE = tuple[_Digest, _Seconds, _Channels, _Rate, _Notes, Literal[""]]
_REFUSED = tuple[Literal[""], Literal[0], Literal[0], Literal[0], Literal["[]"], _Text]


# Files that a thread hashes in a row.
_CHUNK = 256


@dataclass(frozen=True)
class ScannedClip:
    """A usable clip and what its file holds."""

    clip: Clip
    file_sha256: str  # of the file's bytes
    pcm_sha256: str  # of the decoded samples; equal for the same recording in two containers
    seconds: float
    channels: int
    native_rate: int  # samples per second in the file
    notes: tuple[str, ...] = ()  # what to know of it, see `bench.audio.notes`


@dataclass(frozen=True)
class ScanResult:
    """What a scan found."""

    usable: tuple[ScannedClip, ...]  # in the order given
    excluded: tuple[Exclusion, ...]
    duplicates: tuple[tuple[str, ...], ...]  # ids of usable clips that are the same recording


def scan(
    clips: Sequence[Clip],
    cache_path: Path,
    progress: Progress = lambda done, total: None,
    *,
    decode_version: int = DECODE_VERSION,
    decoders: str = DECODERS,
    commit_every: int = 64,
    cut_into: Path | None = None,
) -> ScanResult:
    """Hash every clip's file, decode those not seen before, and find duplicates.

    Sections of longer files are cut out first, see `bench.audio.sections`.

    Clips that share their samples but not their label are all excluded: nobody can say which
    label is right. Duplicates that agree stay, for the protocol to keep on one side, and so do
    those that nobody has given a label.

    Args:
        cache_path: the SQLite file, created where missing and made anew where damaged.
        progress: called with (clips done, clips in all), the first time with those remembered.
        decode_version, decoders: what was decoded under others is decoded again.
        commit_every: an interrupted first scan loses at most so many decoded clips.
        cut_into: folder of files that sections are cut into; by default `sections` beside the
            SQLite file.

    Raises:
        StorageError: the SQLite file cannot be written.
    """
    clips, uncut = sections.cut(
        clips, cut_into or cache_path.parent / sections.FOLDER, _hash_file, progress
    )
    with ThreadPoolExecutor(THREADS) as pool:
        paths = [clip.path for clip in clips]
        # one by one, what a thread is asked for would cost more than what it does
        chunks = (paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK))
        digests = [found for chunk in pool.map(_hash_files, chunks) for found in chunk]
    digests = [("", uncut[n]) if n in uncut else found for n, found in enumerate(digests)]
    memory = Memory(
        cache_path,
        "files",
        key="file_sha256",
        versions={
            "decode_version": decode_version,
            "reading_version": READING_VERSION,
            "decoders": decoders,
        },
        values=("pcm_sha256", "seconds", "channels", "native_rate", "notes", "error"),
        rows=TypeAdapter(_USABLE | _REFUSED),
        commit_every=commit_every,
    )
    found_at = {
        digest: clip.path for clip, (digest, _) in zip(clips, digests, strict=True) if digest
    }
    facts = memory.complete(found_at, _inspect, progress)
    usable: dict[int, ScannedClip] = {}  # by position: the ids of two clips may be one
    failures: dict[int, str] = {}
    for place, (clip, (digest, failure)) in enumerate(zip(clips, digests, strict=True)):
        *found, notes, error = facts[digest] if digest else ("[]", failure)
        if error:
            failures[place] = error
        else:
            found.append(tuple(json.loads(notes)))
            usable[place] = ScannedClip(clip, digest, *found)
    return _settle_duplicates(clips, usable, failures)


def _hash_files(paths: Sequence[Path]) -> list[tuple[str, str]]:
    return list(map(_hash_file, paths))


def _hash_file(path: Path) -> tuple[str, str]:
    """(sha256, '') or ('', why the file cannot be read)."""
    try:
        with opened(path, AUDIO) as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), ""
    except OSError as error:
        return "", f"cannot be read ({error.strerror or error})"


def _inspect(_: str, path: Path) -> Row:
    """What a file's bytes decode to, and why they are not usable or nothing."""
    try:
        found, notes = reading(path, lambda stream: (inspected(stream), stream.notes))
    except ClipError as error:
        return "", 0.0, 0, 0, "[]", str(error)
    except OSError as error:  # gone since it was hashed
        return Passing(("", 0.0, 0, 0, "[]", f"cannot be read ({error.strerror or error})"))
    return found.pcm_sha256, found.seconds, found.channels, found.rate, json.dumps(notes), ""


def _settle_duplicates(
    clips: Sequence[Clip], usable: dict[int, ScannedClip], failures: dict[int, str]
) -> ScanResult:
    by_recording: dict[str, list[int]] = defaultdict(list)
    for place, scanned in usable.items():
        by_recording[scanned.pcm_sha256].append(place)
    duplicates = []
    for same in by_recording.values():
        labelled = [place for place in same if clips[place].label]
        if len({clips[place].label for place in labelled}) > 1:
            named = shortened([f"{clips[place].id} ({clips[place].label})" for place in labelled])
            reason = f"the same recording carries different labels: {named}"
            failures |= dict.fromkeys(labelled, reason)
            same = [place for place in same if place not in failures]
        if len(same) > 1:
            duplicates.append(tuple(clips[place].id for place in same))
    return ScanResult(
        usable=tuple(scanned for place, scanned in usable.items() if place not in failures),
        excluded=tuple(Exclusion(clips[place].id, failures[place]) for place in sorted(failures)),
        duplicates=tuple(duplicates),
    )
