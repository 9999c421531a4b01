"""RAVDESS speech: 24 actors × 60 clips, 8 emotions, from a folder laid out as published.

Livingstone & Russo 2018, PLOS ONE 13(5) e0196391; CC BY-NC-SA 4.0; Zenodo record 1188976.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from backbones.reading import MOST_ENTRIES
from bench.clips import Clip, Exclusion, Task, shortened
from bench.errors import DataUnavailable, UserError
from bench.tasks.entry import Entry
from bench.tasks.ravdess.fetch import fetch_ravdess
from bench.tasks.ravdess.manifest import manifest

ENTRY = Entry(
    "ravdess",
    protocols=("speaker-6fold", "random-80-20", "random-10x80-20"),
    summary="RAVDESS speech: 8 emotions, 24 actors, 1440 clips",
    group="speaker",
    twin="sample-emotion",
    download="RAVDESS speech from Zenodo, 208 MB",
)
NAME = ENTRY.name
LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")

_READABLE = (".wav", ".flac")  # in order of preference: WAV is what was published
_OTHER_AUDIO = (".mp3", ".m4a", ".ogg", ".opus", ".aac", ".webm", ".mp4")
_STEM = re.compile(r"(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)")
_FOLDER = re.compile(r"Actor_(\d\d)")
_MODALITIES = {"01": "audio and video", "02": "video only"}


@dataclass(frozen=True)
class Name:
    """What a clip's file name says; actor is `01` … `24`, also the folder's number."""

    emotion: str
    intensity: int
    statement: int
    repetition: int
    actor: str


def parse(stem: str) -> Name:
    """Read modality-channel-emotion-intensity-statement-repetition-actor.

    Raises:
        ValueError: not the name of a RAVDESS audio-only speech clip; the message is the reason.
    """
    match = _STEM.fullmatch(stem)
    if match is None or not stem.isascii():
        raise ValueError("the name is not seven two-digit numbers joined by '-'")
    modality, channel, emotion, intensity, statement, repetition, actor = match.groups()
    if modality in _MODALITIES:
        raise ValueError(f"the name says {_MODALITIES[modality]}, not audio only")
    if channel == "02":
        raise ValueError("the name says song, not speech")
    allowed = (
        ("modality", modality, 3, 3),
        ("channel", channel, 1, 1),
        ("emotion", emotion, 1, 8),
        ("intensity", intensity, 1, 1 if emotion == "01" else 2),  # neutral is never strong
        ("statement", statement, 1, 2),
        ("repetition", repetition, 1, 2),
        ("actor", actor, 1, 24),
    )
    for field, value, low, high in allowed:
        if not low <= int(value) <= high:
            raise ValueError(f"the name's {field} {value} does not exist in RAVDESS speech")
    return Name(LABELS[int(emotion) - 1], int(intensity), int(statement), int(repetition), actor)


def resolve(data_root: Path | None, cache: Path, allow_download: bool) -> Task:
    """Find RAVDESS on this machine, or download it.

    Looks into `data_root`/ravdess, then `cache`/data/ravdess, then downloads 208 MB from Zenodo.

    Raises:
        UserError: the folder is there and holds no RAVDESS clip.
        DataUnavailable: no folder and no download; says what to do next.
        StorageError: the download cannot be written.
    """
    if data_root is not None and (data_root / NAME).is_dir():
        return read(data_root / NAME)
    cached = cache / "data" / NAME
    if cached.is_dir():
        return read(cached)
    if not allow_download:
        wanted = data_root / NAME if data_root is not None else "the folder ravdess in VOXGRID_DATA"
        raise DataUnavailable(
            f"RAVDESS is not on this machine: run 'voxgrid fetch ravdess', or unzip "
            f"Audio_Speech_Actors_01-24.zip (Zenodo record 1188976) into {wanted}"
        )
    fetch_ravdess(cached)
    return read(cached)


def read(folder: Path) -> Task:
    """Return the task made of the RAVDESS clips below a folder.

    Any depth of folders is accepted as long as each clip lies in its `Actor_NN`, which may be a
    symbolic link; hidden files and the `._` files of macOS are ignored.

    Raises:
        UserError: no RAVDESS clip below the folder, or too much else.
    """
    clips: dict[str, Clip] = {}
    excluded: list[Exclusion] = []
    for path in _audio_files(folder):
        try:
            clip = _clip(path)
            if clip.id in clips:
                raise ValueError(
                    "second copy of a clip (WAV goes before FLAC, then the shorter path)"
                )
            clips[clip.id] = clip
        except ValueError as error:
            excluded.append(Exclusion(path.relative_to(folder).as_posix(), str(error)))
    if not clips:
        first = f"; {excluded[0].clip}: {excluded[0].reason}" if excluded else ""
        raise UserError(
            f"{folder} holds no RAVDESS clip (Actor_NN/03-01-….wav or .flac){first}: "
            "unzip Audio_Speech_Actors_01-24.zip there or remove the folder"
        )
    return Task(
        name=NAME,
        labels=LABELS,
        clips=tuple(clips[key] for key in sorted(clips)),
        protocols=ENTRY.protocols,
        excluded=tuple(excluded),
        notes=_missing(clips),
        published={key: manifest()[key].pcm_sha256 for key in clips},
    )


def _audio_files(folder: Path) -> list[Path]:
    """Files worth judging, the preferred copy of a clip first."""
    suffixes = _READABLE + _OTHER_AUDIO
    found = [
        (suffixes.index(path.suffix.lower()), len(path.parts), path)
        for path in _files(folder)
        if path.suffix.lower() in suffixes and path.is_file()
    ]
    return [path for _, _, path in sorted(found)]


def _files(folder: Path) -> Iterator[Path]:
    """What is in a folder and those below, linked ones too; nothing hidden, and no link twice."""
    entered, seen = set(), 0
    for place, folders, names in os.walk(folder, followlinks=True):
        seen += len(folders) + len(names)
        if seen > MOST_ENTRIES:
            raise UserError(
                f"{folder} holds more than {MOST_ENTRIES} files and folders, those behind links "
                "counted: keep RAVDESS's own there, and nothing else"
            )
        here = Path(place).resolve()
        below = []
        for name in sorted(filter(_shown, folders)):
            # by its name as well: a folder counts as the actor that the link to it is called by
            target = (here / name).resolve(), name
            # a link to where it is itself, or above, leads round in a circle
            if target not in entered and not here.is_relative_to(target[0]):
                entered.add(target)
                below.append(name)
        folders[:] = below
        yield from (Path(place, name) for name in filter(_shown, names))


def _shown(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _clip(path: Path) -> Clip:
    if path.suffix.lower() not in _READABLE:
        raise ValueError(f"{path.suffix} is not how RAVDESS is published (wav, or flac)")
    name = parse(path.stem)
    folder = _FOLDER.fullmatch(path.parent.name)
    if folder is None:
        raise ValueError("the clip is not in an Actor_NN folder")
    if folder[1] != name.actor:
        raise ValueError(f"the name says actor {name.actor}, the folder {path.parent.name}")
    return Clip(id=path.stem, path=path, label=name.emotion, group=name.actor)


def _missing(clips: Mapping[str, Clip]) -> tuple[str, ...]:
    known = manifest()
    absent = [clip for clip in known if clip not in clips]
    note = f"{len(absent)} of the {len(known)} published clips are missing: {shortened(absent)}"
    return (note,) if absent else ()
