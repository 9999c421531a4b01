"""A small labelled set as people hold it: the same clips in every layout that is read."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

RATE = 16_000
LABELS = ("01", "high", "low")
SPEAKERS = ("anna", "ben", "cem", "dora")
TAKES = 3
# File, label, speaker.
Clips = list[tuple[Path, str, str]]


def make_clips(folder: Path, takes: int = TAKES) -> Clips:
    """Hums of three heights by four speakers, half a second each, named speaker_label_take."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    time = np.arange(RATE // 2) / RATE
    clips = []
    for speaker, own in zip(SPEAKERS, (1.0, 1.05, 1.1, 1.15), strict=True):
        for label, pitch in zip(LABELS, (110, 440, 880), strict=True):
            for take in range(takes):
                wave = 0.3 * np.sin(2 * np.pi * pitch * own * time)
                wave += 0.02 * random.standard_normal(len(time))
                path = folder / f"{speaker}_{label}_{take}.wav"
                soundfile.write(path, wave, RATE)
                clips.append((path, label, speaker))
    return clips


def write_csv(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], **more: str
) -> Path:
    with path.open("w", newline="", encoding=more.get("encoding", "utf-8")) as file:
        writer = csv.writer(
            file,
            delimiter=more.get("delimiter", ","),
            lineterminator=more.get("lineterminator", "\n"),
        )
        writer.writerows([header, *rows])
    return path


def _table(clips: Clips) -> list[tuple[str, str, str]]:
    return [(str(path), label, speaker) for path, label, speaker in clips]


def as_csv(folder: Path, clips: Clips) -> list[str]:
    return [str(write_csv(folder / "own.csv", ("file", "label", "speaker"), _table(clips)))]


def as_tsv(folder: Path, clips: Clips) -> list[str]:
    """As EmoBox names its columns."""
    path = write_csv(folder / "own.tsv", ("wav", "emo", "spk"), _table(clips), delimiter="\t")
    return [str(path)]


def as_parquet(folder: Path, clips: Clips) -> list[str]:
    path = folder / "own.parquet"
    pd.DataFrame(_table(clips), columns=["path", "class", "speaker_id"]).to_parquet(path)
    return [str(path)]


def as_json_lines(folder: Path, clips: Clips) -> list[str]:
    """As NeMo writes manifests."""
    path = folder / "manifest.json"
    keys = ("audio_filepath", "label", "speaker")
    lines = [json.dumps(dict(zip(keys, row, strict=True)) | {"offset": 0}) for row in _table(clips)]
    path.write_text("\n".join(lines) + "\n")
    return [str(path)]


def as_folders(folder: Path, clips: Clips) -> list[str]:
    for path, label, _ in clips:
        target = folder / "classes" / label / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (folder / "classes" / ".hidden").mkdir()
    return [str(folder / "classes"), "--speaker", "{speaker}_*"]


def as_audiofolder(folder: Path, clips: Clips) -> list[str]:
    """As `datasets` calls an `audiofolder` with metadata: names are relative to the table."""
    here = folder / "audiofolder"
    (here / "data").mkdir(parents=True)
    for path, _, _ in clips:
        (here / "data" / path.name).write_bytes(path.read_bytes())
    rows = [(f"data/{path.name}", label, speaker) for path, label, speaker in clips]
    write_csv(here / "metadata.csv", ("file_name", "label", "speaker"), rows)
    return [str(here)]


def as_kaldi(folder: Path, clips: Clips) -> list[str]:
    here = folder / "kaldi"
    here.mkdir()
    for name, of in (("wav.scp", 0), ("utt2label", 1), ("utt2spk", 2)):
        lines = [f"{clip[0].stem} {clip[of]}" for clip in clips]
        (here / name).write_text("\n".join(lines) + "\n")
    return [str(here)]


def joined(folder: Path, clips: Clips) -> list[tuple[Path, float, float]]:
    """All clips of a speaker one after another in one file, and where each of them is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    waves: dict[str, list[np.ndarray]] = {}
    found = []
    for path, _, speaker in clips:
        wave, rate = soundfile.read(path)
        before = sum(map(len, waves.setdefault(speaker, [])))
        waves[speaker].append(wave)
        found.append((folder / f"{speaker}.wav", before / rate, (before + len(wave)) / rate))
    for speaker, parts in waves.items():
        soundfile.write(folder / f"{speaker}.wav", np.concatenate(parts), RATE)
    return found


def as_audformat(folder: Path, clips: Clips) -> list[str]:
    """As audformat's own library writes it: labels in one table and speakers in another."""
    import audformat

    here = folder / "database"
    (here / "audio").mkdir(parents=True)
    for path, _, _ in clips:
        (here / "audio" / path.name).write_bytes(path.read_bytes())
    database = audformat.Database("own")
    index = audformat.filewise_index([f"audio/{path.name}" for path, _, _ in clips])
    for scheme, of in (("emotion", 1), ("speaker", 2)):
        values = [clip[of] for clip in clips]
        database.schemes[scheme] = audformat.Scheme(labels=sorted(set(values)))
        database[f"of_{scheme}"] = audformat.Table(index)
        database[f"of_{scheme}"][scheme] = audformat.Column(scheme_id=scheme)
        database[f"of_{scheme}"][scheme].set(values)
    database.save(str(here), storage_format="csv", update_other_formats=False)
    return [str(here)]


LAYOUTS: dict[str, Callable[[Path, Clips], list[str]]] = {
    "csv": as_csv,
    "tsv": as_tsv,
    "parquet": as_parquet,
    "json lines": as_json_lines,
    "folders": as_folders,
    "audiofolder": as_audiofolder,
    "kaldi": as_kaldi,
    "audformat": as_audformat,
}
