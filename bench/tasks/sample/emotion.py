"""`sample-emotion`: generated speech-like clips that stand in for RAVDESS where it is absent.

Six voices say the same sentence in four manners. A voice is a pitch and a length of vocal tract,
an emotion shifts pitch, melody, tempo, loudness, brightness and breath, and each clip strays from
both: the classes can be learnt and overlap. The clips are real WAV files in the cache folder, the
same bytes wherever and whenever they are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from bench.clips import Clip, Task
from bench.tasks.entry import Entry
from bench.tasks.sample.files import generated
from bench.tasks.sample.synthesis import (
    BANDWIDTHS,
    VOWELS,
    hump,
    near,
    pulses,
    quantised,
    random_of,
    resonate,
    white,
)

ENTRY = Entry(
    "sample-emotion",
    protocols=("speaker-3fold", "random-80-20", "random-10x80-20"),
    summary="generated stand-in for ravdess: 4 emotions, 6 voices, 120 clips",
    group="speaker",
    sample=True,
)
LABELS = ("neutral", "happy", "sad", "angry")
CLIPS_PER_CELL = 5  # of one voice and one emotion
RATE = 16000
# Raise it with any change to the sound, so that an old cache folder is not taken for the new one.
VERSION = 1

_SEED = 20180505
# A 48 kHz and a stereo file, so that resampling and mixing are exercised wherever the task runs.
_AT_48_KHZ = "voice1-neutral-1"
_STEREO = "voice2-happy-2"
_SENTENCE = (0, 2, 3, 1, 4, 0)  # the vowels everybody says, in order


@dataclass(frozen=True)
class Voice:
    """Mean pitch in Hz, and formants relative to the table's."""

    pitch: float
    tract: float


@dataclass(frozen=True)
class Manner:
    """How an emotion changes a voice; factors and shares, 1.0 or 0.0 changing nothing."""

    pitch: float
    melody: float
    tempo: float
    loudness: float
    brightness: float
    breath: float


VOICES = {
    "voice1": Voice(105, 0.95),
    "voice2": Voice(205, 1.12),
    "voice3": Voice(125, 1.00),
    "voice4": Voice(230, 1.18),
    "voice5": Voice(140, 0.92),
    "voice6": Voice(185, 1.06),
}
MANNERS = {
    "neutral": Manner(1.00, 0.12, 1.00, 1.00, 0.48, 0.02),
    "happy": Manner(1.35, 0.30, 1.08, 1.15, 0.62, 0.01),
    "sad": Manner(0.88, 0.06, 0.88, 0.60, 0.33, 0.12),
    "angry": Manner(1.15, 0.20, 1.15, 2.00, 0.85, 0.08),
}


def resolve(data_root: Path | None, cache: Path, allow_download: bool) -> Task:
    """Return the task, generating its clips below `cache` where they are not there yet.

    Raises:
        StorageError: the clips cannot be written.
    """
    named = (
        (f"{voice}-{label}-{take}", label, voice)
        for voice in VOICES
        for label in LABELS
        for take in range(1, CLIPS_PER_CELL + 1)
    )
    return generated(ENTRY, VERSION, LABELS, named, cache, _sound)


def synthesize(voice: Voice, manner: Manner, entropy: tuple[int, ...], rate: int) -> np.ndarray:
    """Return one clip, int16 (n,), 1.0–1.6 s at `rate`; the same for the same arguments."""
    random = random_of(_SEED, *entropy)

    def stray(value: float, share: float) -> float:
        return value * near(random, share)

    pitch = stray(voice.pitch * manner.pitch, 0.08)
    melody = stray(manner.melody, 0.4)
    tempo = stray(manner.tempo, 0.08)
    brightness = min(0.95, stray(manner.brightness, 0.12))
    breath = stray(manner.breath, 0.4)
    loudness = stray(0.06 * manner.loudness, 0.35)

    speech = []
    for vowel in _SENTENCE:
        n = int(rate * stray(0.2 / tempo, 0.15))
        rise = melody * (2 * random() - 1)
        contour = pitch * (1 + rise * np.linspace(-1.0, 1.0, n))
        source = pulses(contour, pitch, rate) + breath * white(random, n)
        # a glottal pulse falls off with frequency, the less so the harder the voice is pressed
        sound = lfilter([brightness], [1, brightness - 1], source)
        for formant, width in zip(VOWELS[vowel], BANDWIDTHS, strict=True):
            sound = resonate(sound, stray(formant * voice.tract, 0.04), width, rate)
        speech.append(sound * hump(n) * stray(1.0, 0.3))
    margin = np.zeros(int(0.05 * rate))
    clip = np.concatenate([margin, *speech, margin])
    clip *= loudness / np.sqrt(np.mean(clip**2))
    clip += 0.002 * white(random, len(clip))  # the room
    return quantised(clip)


def _sound(clip: Clip) -> tuple[np.ndarray, int]:
    place = (list(VOICES).index(clip.group), LABELS.index(clip.label), int(clip.id[-1]))
    rate = 48000 if clip.id == _AT_48_KHZ else RATE
    sound = synthesize(VOICES[clip.group], MANNERS[clip.label], place, rate)
    return (np.stack([sound, sound], axis=1) if clip.id == _STEREO else sound), rate
