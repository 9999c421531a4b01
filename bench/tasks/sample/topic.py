"""`sample-topic`: generated sound tracks that stand in for YouTube's where they are absent.

Twelve channels make clips of one or two of four kinds of sound, each over a bed of another kind.
A channel is heard too: every one has its own room, tint, level, hiss and hum, so that a head may
learn the channel instead of the kind, and does where a channel is on both sides of a split. One
clip is longer than 30 s. The clips are real WAV files in the cache folder, the same bytes wherever
and whenever they are made.
"""

from __future__ import annotations

from collections.abc import Callable
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
    Random,
    fed_back,
    hump,
    near,
    pulses,
    quantised,
    random_of,
    resonate,
    white,
)

ENTRY = Entry(
    "sample-topic",
    protocols=("channel-5fold", "random-75-25"),
    summary="generated stand-in for youtube: 4 kinds of sound, 12 channels, 120 clips",
    group="channel",
    sample=True,
)
LABELS = ("speech", "music", "percussion", "ambience")
CLIPS_PER_CHANNEL = 10
RATE = 16000
# No backbone takes this one whole.
LONG, LONG_SECONDS = "channel03-music-04", 32.5
# Raise it with any change to the sound, so that an old cache folder is not taken for the new one.
VERSION = 1

_SEED = 20260101
# A 48 kHz and a stereo file, so that resampling and mixing are exercised wherever the task runs.
_AT_48_KHZ = "channel05-percussion-02"
_STEREO = "channel10-ambience-03"
_ROOTS = (110.0, 130.81, 146.83, 174.61, 196.0)  # Hz
_CHORDS = ((1, 5 / 4, 3 / 2), (1, 6 / 5, 3 / 2), (1, 4 / 3, 5 / 3))  # just intervals


@dataclass(frozen=True)
class Channel:
    """How a channel's clips sound alike."""

    kinds: tuple[str, ...]  # what it makes clips of
    echo: tuple[float, float]  # delay of its room in seconds, and how much of the sound comes back
    tint: float  # share of a low-passed copy added (below 0: taken away)
    loudness: float  # of the content, RMS
    hiss: float  # of white noise, RMS
    hum: float  # of the mains, RMS
    mains: float  # Hz


CHANNELS = {
    "channel01": Channel(("speech",), (0.011, 0.30), 0.6, 0.050, 0.0010, 0.00050, 50),
    "channel02": Channel(("speech", "music"), (0.023, 0.55), -0.5, 0.025, 0.0003, 0.00200, 60),
    "channel03": Channel(("music",), (0.037, 0.40), 1.2, 0.060, 0.0020, 0.00020, 50),
    "channel04": Channel(("music", "percussion"), (0.007, 0.20), -0.3, 0.080, 0.0005, 0.00100, 60),
    "channel05": Channel(("percussion",), (0.029, 0.60), 0.2, 0.035, 0.0015, 0.00300, 50),
    "channel06": Channel(
        ("percussion", "ambience"), (0.017, 0.35), 1.6, 0.020, 0.0004, 0.00015, 60
    ),
    "channel07": Channel(("ambience",), (0.041, 0.25), -0.6, 0.045, 0.0008, 0.00250, 60),
    "channel08": Channel(("ambience", "speech"), (0.013, 0.50), 0.9, 0.070, 0.0025, 0.00040, 50),
    "channel09": Channel(("speech", "percussion"), (0.033, 0.45), -0.1, 0.055, 0.0002, 0.00150, 50),
    "channel10": Channel(("music", "ambience"), (0.019, 0.30), 0.4, 0.030, 0.0030, 0.00075, 60),
    "channel11": Channel(("speech", "music"), (0.047, 0.65), 1.9, 0.040, 0.0006, 0.00030, 50),
    "channel12": Channel(
        ("percussion", "ambience"), (0.005, 0.15), -0.4, 0.065, 0.0013, 0.00125, 60
    ),
}


def resolve(data_root: Path | None, cache: Path, allow_download: bool) -> Task:
    """Return the task, generating its clips below `cache` where they are not there yet.

    Raises:
        StorageError: the clips cannot be written.
    """
    named = (
        (f"{name}-{kind}-{take:02d}", kind, name)
        for name, channel in CHANNELS.items()
        for kind in channel.kinds
        for take in range(1, CLIPS_PER_CHANNEL // len(channel.kinds) + 1)
    )
    return generated(ENTRY, VERSION, LABELS, named, cache, _sound)


def synthesize(
    channel: Channel, kind: str, entropy: tuple[int, ...], rate: int, seconds: float | None = None
) -> np.ndarray:
    """Return one clip, int16 (n,); the same for the same arguments.

    Args:
        channel: where it comes from.
        kind: one of `LABELS`.
        entropy: tells clips apart.
        rate: in Hz.
        seconds: how long it is; by default drawn from 1.0 to 1.9.
    """
    random = random_of(_SEED, *entropy)
    n = int(rate * (1.0 + 0.9 * random() if seconds is None else seconds))
    others = [other for other in LABELS if other != kind]
    bed = others[int(random() * len(others))]
    sound = _even(_MAKERS[kind](random, n, rate))
    sound = sound + (0.05 + 0.5 * random()) * _even(_MAKERS[bed](random, n, rate))
    sound = _even(_in_room(sound, channel, random, rate)) * channel.loudness * near(random, 0.4)
    sound += channel.hiss * near(random, 0.2) * white(random, n)
    sound += channel.hum * near(random, 0.2) * _hum(random, n, channel.mains, rate)
    return quantised(sound)


def _even(sound: np.ndarray) -> np.ndarray:
    """The sound at unit power."""
    level: np.ndarray = sound / np.sqrt(np.mean(sound**2))
    return level


def _speech(random: Random, n: int, rate: int) -> np.ndarray:
    """Syllables of one voice: pulses of a gliding pitch through the formants of a vowel."""
    pitch, tract = 90 + 140 * random(), 0.9 + 0.3 * random()
    sound = np.zeros(n)
    at = int(0.15 * random() * rate)
    while at < n:
        length = min(int(rate * (0.13 + 0.14 * random())), n - at)
        glide = 1 + 0.3 * (random() - 0.5) * np.linspace(-1.0, 1.0, length)
        contour = pitch * near(random, 0.15) * glide
        source = pulses(contour, pitch, rate) + 0.05 * white(random, length)
        syllable = lfilter([0.5], [1, -0.5], source)
        vowel = VOWELS[int(random() * len(VOWELS))]
        for formant, width in zip(vowel, BANDWIDTHS, strict=True):
            syllable = resonate(syllable, formant * tract, width, rate)
        sound[at : at + length] += syllable * hump(length)
        at += length + int(rate * 0.08 * random())
    return sound


def _music(random: Random, n: int, rate: int) -> np.ndarray:
    """Chords on plucked strings (Karplus and Strong 1983)."""
    sound = np.zeros(n)
    beat = int(rate * (0.28 + 0.3 * random()))
    root = _ROOTS[int(random() * len(_ROOTS))]
    for at in range(0, n, beat):
        chord = _CHORDS[int(random() * len(_CHORDS))]
        for interval in chord:
            period = round(rate / (root * interval * (1 + int(2 * random()))))
            length = min(2 * beat, n - at)
            pluck = np.zeros(length)
            pluck[:period] = white(random, period)[: min(period, length)]
            sound[at : at + length] += fed_back(pluck, period, 0.4975, 0.4975)
    return sound


def _percussion(random: Random, n: int, rate: int) -> np.ndarray:
    """Strokes on three drums: bursts of noise that ring and die away."""
    drums = [(80 * 4 ** (which + random()), 0.02 + 0.1 * random()) for which in range(3)]
    sound = np.zeros(n)
    beat = int(rate * (0.09 + 0.12 * random()))
    for at in range(int(beat * random()), n, beat):
        centre, decay = drums[int(3 * random())]
        length = min(int(5 * decay * rate), n - at)
        stroke = white(random, length) * np.exp(-np.arange(length) / (decay * rate))
        sound[at : at + length] += near(random, 0.6) * resonate(stroke, centre, centre / 4, rate)
    return sound


def _ambience(random: Random, n: int, rate: int) -> np.ndarray:
    """Wind and traffic: noise in slowly moving bands."""
    sound = np.zeros(n)
    for _ in range(3):
        centre = 100 * 25 ** random()
        slow = lfilter([0.01], [1, -0.99], white(random, n // 100 + 2))
        swell = np.interp(np.arange(n) / 100, np.arange(len(slow)), 1 + 5 * slow)
        sound += swell * _even(resonate(white(random, n), centre, centre * 0.8, rate))
    return sound


_MAKERS: dict[str, Callable[[Random, int, int], np.ndarray]] = dict(
    zip(LABELS, (_speech, _music, _percussion, _ambience), strict=True)
)


def _in_room(sound: np.ndarray, channel: Channel, random: Random, rate: int) -> np.ndarray:
    delay, returned = channel.echo
    period = int(rate * delay * near(random, 0.03))
    heard = fed_back(sound, period, returned * near(random, 0.1))
    # the pole stands for about 600 Hz at any rate
    pole = np.exp(-2 * np.pi * 600 / rate)
    low: np.ndarray = lfilter([1 - pole], [1, -pole], heard)
    return heard + channel.tint * near(random, 0.1) * low


def _hum(random: Random, n: int, mains: float, rate: int) -> np.ndarray:
    phase = 2 * np.pi * (mains * np.arange(n) / rate + random())
    return _even(np.sin(phase) + 0.6 * np.sin(2 * phase) + 0.4 * np.sin(3 * phase))


def _sound(clip: Clip) -> tuple[np.ndarray, int]:
    take = int(clip.id.rpartition("-")[2])
    place = (list(CHANNELS).index(clip.group), LABELS.index(clip.label), take)
    rate = 48000 if clip.id == _AT_48_KHZ else RATE
    seconds = LONG_SECONDS if clip.id == LONG else None
    sound = synthesize(CHANNELS[clip.group], clip.label, place, rate, seconds)
    return (np.stack([sound, sound // 2], axis=1) if clip.id == _STEREO else sound), rate
