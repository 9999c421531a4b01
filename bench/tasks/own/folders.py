"""Folders of labelled files: one folder per class, and Kaldi directories."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from backbones.reading import MOST_ENTRIES, TABLE, read_text
from bench.errors import UserError
from bench.tasks.own import times
from bench.tasks.own.rows import Found, Row

AUDIO = frozenset(
    (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".webm", ".mp4", ".aif", ".aiff")
)
# Of a Kaldi directory.
WAVES = "wav.scp"
SEGMENTS = "segments"
_LABELS = ("utt2label", "utt2emo", "utt2class", "utt2lang")


def by_class(folder: Path) -> Found:
    """A folder per class: the name of the first folder below is the label, at any depth.

    Raises:
        UserError: there are no two folders with audio, or audio lies beside them.
    """
    files = [path for path in walked(folder) if path.suffix.lower() in AUDIO]
    rows = []
    loose = []
    for path in files:
        parts = path.relative_to(folder).parts
        if len(parts) == 1:
            loose.append(path)
        else:
            rows.append(Row("/".join(parts), path, parts[0]))
    labels = {row.label for row in rows}
    if len(labels) < 2:
        raise UserError(
            f"{folder} holds neither a table (CSV, TSV, parquet, JSON lines) nor a folder of audio "
            f"files for each of two classes or more, but {len(files)} audio files"
            f"{f' in the folder {min(labels)}' if labels else ''}: "
            "sort them into folders named by their labels, or write a table of file and label"
        )
    notes = [f"{len(loose)} audio files beside the folders are not read"] if loose else []
    return Found(folder, "a folder per class", folder, tuple(rows), {"label": "folder"}, (*notes,))


def kaldi(folder: Path) -> Found:
    """A Kaldi directory: wav.scp, a file of labels, and utt2spk where it is there.

    Raises:
        UserError: a file is missing or is no table, or an entry is a command.
    """
    waves = _pairs(folder / WAVES)
    labelled = next((folder / name for name in _LABELS if (folder / name).is_file()), None)
    if labelled is None:
        raise UserError(f"{folder} has {WAVES} and no labels: add a file utt2label of two columns")
    labels = _pairs(labelled)
    speakers = _pairs(folder / "utt2spk") if (folder / "utt2spk").is_file() else {}
    paths = {}
    for name, (place, where) in waves.items():
        if where.endswith("|") or where.startswith("|"):
            raise UserError(
                f"{folder / WAVES}, {place}: '{name}' is a command, and commands are not run: "
                "write the files it makes, and their paths"
            )
        paths[name] = Path(where) if Path(where).is_absolute() else folder / where
    cut = (folder / SEGMENTS).is_file()
    rows = []
    for name, (place, value) in (_pairs(folder / SEGMENTS) if cut else waves).items():
        place = f"{SEGMENTS if cut else WAVES}, {place}"
        recording, section = _segment(folder / SEGMENTS, place, value) if cut else (name, None)
        if recording not in paths:
            raise UserError(f"{folder}, {place}: {WAVES} has no '{recording}'; add it")
        label, group = labels.get(name, ("", ""))[1], speakers.get(name, ("", ""))[1]
        rows.append(Row(place, paths[recording], label, group or None, section=section))
    read = {"file": WAVES, "label": labelled.name}
    read |= {"section": SEGMENTS} if cut else {}
    read |= {"group": "utt2spk"} if speakers else {}
    return Found(folder, "a Kaldi directory", folder, tuple(rows), read)


def _segment(path: Path, place: str, value: str) -> tuple[str, tuple[float, float | None] | None]:
    """The recording of a line of `segments`, and where the segment is in it."""
    words = value.split()
    if len(words) != 3:
        raise UserError(f"{path}, {place} is no recording, start and end")
    return words[0], times.section(f"{path}, {place}", words[1], words[2])


def _pairs(path: Path) -> dict[str, tuple[str, str]]:
    """By the first word of each line: its place, and the rest of it."""
    found: dict[str, tuple[str, str]] = {}
    try:
        text = read_text(path, TABLE)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the folder") from error
    except ValueError as error:
        raise UserError(f"{path} is no text in UTF-8; save it as that") from error
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split(None, 1)
        if len(words) == 2:
            if words[0] in found:
                raise UserError(f"{path}, line {number}: '{words[0]}' is there twice; remove one")
            found[words[0]] = f"line {number}", words[1].strip()
        elif words:
            raise UserError(f"{path}, line {number} is one word; a name and a value are wanted")
    return found


def walked(folder: Path) -> Iterator[Path]:
    """Files in a folder and those below, in order; nothing hidden, and no link to a folder.

    Raises:
        UserError: there are too many.
    """
    seen = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(filter(_shown, folders))
        seen += len(folders) + len(names)
        if seen > MOST_ENTRIES:
            raise UserError(
                f"{folder} holds more than {MOST_ENTRIES} files and folders: write a table of "
                "those that count, or name a folder further down"
            )
        yield from (Path(place, name) for name in sorted(filter(_shown, names)))


def _shown(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"
