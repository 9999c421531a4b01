"""RAVDESS as a user has it: folders and names as published, clips of our own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from bench.tasks.sample.emotion import resolve


def ravdess_like(folder: Path, cache: Path) -> dict[str, Path]:
    """Every emotion of every actor once: 192 clips by id.

    Args:
        folder: becomes `VOXGRID_DATA/ravdess`.
        cache: where the generated clips are, or are put.
    """
    waves = [soundfile.read(clip.path) for clip in resolve(None, cache, False).clips]
    written = {}
    for actor in range(1, 25):
        for emotion in range(1, 9):
            number = len(written)
            samples, rate = waves[number % len(waves)]
            clip = f"03-01-{emotion:02d}-01-01-01-{actor:02d}"
            path = folder / f"Actor_{actor:02d}" / f"{clip}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            # every recording differs a little, or they would count as duplicates
            soundfile.write(path, samples * (0.5 + 0.4 * number / 192), rate)
            written[clip] = path
    return written


def spoil(path: Path, how: str) -> None:
    """Make a clip bad in one of the ways clips go bad."""
    samples, rate = soundfile.read(path, dtype="float32")
    if how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:2000])
    elif how == "silent":
        soundfile.write(path, np.zeros_like(samples), rate)
    elif how == "nan":
        samples[100] = np.nan
        soundfile.write(path, samples, rate, subtype="FLOAT")
    elif how == "short":
        soundfile.write(path, samples[: rate // 100], rate)
    elif how == "text":
        path.write_text("this is no sound at all\n" * 100)
    else:
        raise ValueError(how)


def vary(path: Path, how: str) -> None:
    """Store a clip in one of the ways that are unusual and fine."""
    samples, rate = soundfile.read(path, dtype="float32")
    mono = samples if samples.ndim == 1 else samples.mean(axis=1)
    if how == "8 kHz":
        soundfile.write(path, mono[::2], rate // 2)
    elif how == "96 kHz":
        soundfile.write(path, np.repeat(mono, 6), 96000)
    elif how == "stereo":
        soundfile.write(path, np.stack([mono, 0.5 * mono], axis=1), rate)
    elif how == "24 bit":
        soundfile.write(path, mono, rate, subtype="PCM_24")
    elif how == "float":
        soundfile.write(path, mono, rate, subtype="FLOAT")
    elif how == "MP3 named WAV":
        soundfile.write(path, mono, rate, format="MP3")
    else:
        raise ValueError(how)
