"""Augmentation of training clips: the same seed gives the same sound, on any thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.audio.batch import Wave

# Raise it whenever the same seed would give another sound.
VERSION = 1
# No clip grows by more than this.
LONGEST = 1.3
# Time masks fade in and out, as a click would be a sound of its own.
_FADE_SECONDS = 0.005
# Of added noise; the rest is white.
_PINK_SHARE = 0.5


@dataclass(frozen=True)
class Augmentation:
    """What may be done to a training clip. Each part happens by itself, with its probability.

    Attributes:
        gain_db: loudness goes up or down by at most so much.
        snr_db: least and most signal-to-noise ratio of added noise, white or pink.
        semitones: pitch moves up or down by at most so much, at the same length.
        speed: tempo changes by at most this share, at the same pitch.
        mask: longest share of the clip that is silenced, in one piece.
    """

    gain_db: float = 6.0
    gain_probability: float = 0.5
    snr_db: tuple[float, float] = (10.0, 40.0)
    noise_probability: float = 0.5
    semitones: float = 2.0
    pitch_probability: float = 0.3
    speed: float = 0.1
    speed_probability: float = 0.3
    mask: float = 0.1
    mask_probability: float = 0.3

    def __post_init__(self) -> None:
        shares = {k: v for k, v in asdict(self).items() if k.endswith("_probability")}
        shares["mask"] = self.mask
        wrong = [name for name, value in shares.items() if not 0 <= value <= 1]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} must lie between 0 and 1")
        if not 0 <= self.speed <= 1 - 1 / LONGEST:
            raise ValueError(f"speed must lie between 0 and {1 - 1 / LONGEST:.2f}")

    def settings(self) -> dict[str, Any]:
        """Everything that decides what a seed does, for keys and records (plain JSON values)."""
        return {**asdict(self), "snr_db": list(self.snr_db), "version": VERSION}

    def __call__(self, wave: Wave, rate: int, seed: int | Sequence[int]) -> Wave:
        """Augment one clip. No state outside the call is read or changed.

        Args:
            wave: float32 (samples,).
            rate: samples per second.
            seed: one number or several, none negative.

        Returns:
            float32 (samples,), finite, at most `LONGEST` times as long; not clipped to [-1, 1].
        """
        # a stream each, so that one part switched on or off does not change what another does
        pitch, speed, gain, noise, mask = np.random.default_rng(seed).spawn(5)
        semitones = _drawn(pitch, self.pitch_probability, self.semitones)
        tempo = 1 + _drawn(speed, self.speed_probability, self.speed)
        out = wave
        if semitones or tempo != 1:
            out = _stretched(out, rate, semitones, tempo, int(pitch.integers(2**31)))
        out = out * np.float32(10 ** (_drawn(gain, self.gain_probability, self.gain_db) / 20))
        if noise.random() < self.noise_probability:
            out = _noisy(noise, out, self.snr_db)
        if mask.random() < self.mask_probability:
            out = _masked(mask, out, rate, self.mask)
        return np.ascontiguousarray(out, dtype=np.float32)


def _drawn(random: np.random.Generator, probability: float, most: float) -> float:
    """A number within ± `most`, or 0 where it does not happen."""
    return random.uniform(-most, most) if random.random() < probability else 0.0


def _stretched(wave: Wave, rate: int, semitones: float, tempo: float, seed: int) -> Wave:
    from python_stretch.Signalsmith import Stretch

    stretch = Stretch(seed)
    stretch.preset(1, rate)
    stretch.setTransposeSemitones(semitones)
    stretch.setTimeFactor(tempo)
    return np.asarray(stretch.process(np.ascontiguousarray(wave[None])), dtype=np.float32)[0]


def _noisy(random: np.random.Generator, wave: Wave, snr_db: tuple[float, float]) -> Wave:
    noise = random.standard_normal(len(wave))
    if random.random() < _PINK_SHARE:
        spectrum = np.fft.rfft(noise)
        spectrum[0] = 0
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
        noise = np.fft.irfft(spectrum, len(wave))
    power = np.mean(wave.astype(np.float64) ** 2)
    own = np.mean(noise**2)
    if not power or not own:
        return wave  # silence has no ratio to keep
    scale = np.sqrt(power / own / 10 ** (random.uniform(*snr_db) / 10))
    return (wave + noise * scale).astype(np.float32)


def _masked(random: np.random.Generator, wave: Wave, rate: int, most: float) -> Wave:
    length = int(random.uniform(0, most) * len(wave))
    start = int(random.integers(len(wave) - length + 1))
    kept = np.ones(len(wave), dtype=np.float32)
    kept[start : start + length] = 0
    fade = min(int(_FADE_SECONDS * rate), length // 2)
    if fade:
        ramp = np.linspace(0, 1, fade, dtype=np.float32)
        kept[start : start + fade] = ramp[::-1]
        kept[start + length - fade : start + length] = ramp
    return wave * kept
