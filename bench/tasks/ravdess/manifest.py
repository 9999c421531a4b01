"""The 1440 clips of RAVDESS speech as published, with the digests of their bytes and samples."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class PublishedClip:
    """One line of the manifest: sha256 of the published WAV's bytes and of its samples."""

    wav_sha256: str
    pcm_sha256: str


@cache
def manifest() -> Mapping[str, PublishedClip]:
    """Return the 1440 published clips by id."""
    path = Path(__file__).with_name("manifest.csv")
    with path.open(newline="", encoding="utf-8") as file:
        return {
            row["clip"].rpartition("/")[2]: PublishedClip(row["wav_sha256"], row["pcm_sha256"])
            for row in csv.DictReader(file)
        }
