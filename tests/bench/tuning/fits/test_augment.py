from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.tasks.sample.emotion import MANNERS, VOICES, synthesize
from bench.tuning.fits.augment import LONGEST, Augmentation

RATE = 16_000
NOTHING = Augmentation(
    gain_probability=0.0,
    noise_probability=0.0,
    pitch_probability=0.0,
    speed_probability=0.0,
    mask_probability=0.0,
)
ALWAYS = Augmentation(
    gain_probability=1.0,
    noise_probability=1.0,
    pitch_probability=1.0,
    speed_probability=1.0,
    mask_probability=1.0,
)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    clip = synthesize(VOICES["voice1"], MANNERS["neutral"], (1,), RATE)
    return (clip / 32768).astype(np.float32)


def _pitch(wave: np.ndarray) -> float:
    """The strongest period of a steady tone, as a frequency."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(np.argmax(spectrum) * RATE / len(wave))


def _tone(seconds: float = 1.5) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * RATE)) / RATE)).astype(
        np.float32
    )


@given(st.integers(0, 2**63), st.integers(1, 5000), st.sampled_from([8000, 16_000]))
@settings(max_examples=60)
def test_any_clip_stays_finite_float32_and_not_much_longer(
    seed: int, samples: int, rate: int
) -> None:
    wave = np.random.default_rng(samples).uniform(-1, 1, samples).astype(np.float32)
    before = wave.copy()
    out = replace(ALWAYS, speed=0.2)(wave, rate, seed)
    assert out.dtype == np.float32
    assert out.ndim == 1
    assert np.isfinite(out).all()
    assert 1 <= len(out) <= max(1, LONGEST * samples)
    np.testing.assert_array_equal(wave, before)


def test_silence_stays_finite() -> None:
    assert np.isfinite(ALWAYS(np.zeros(RATE, dtype=np.float32), RATE, 0)).all()


def test_the_same_seed_gives_the_same_sound_and_another_one_another(speech: np.ndarray) -> None:
    np.testing.assert_array_equal(ALWAYS(speech, RATE, (3, 5)), ALWAYS(speech, RATE, (3, 5)))
    others = [ALWAYS(speech, RATE, seed) for seed in ((3, 6), (4, 5), 3)]
    assert len({out.tobytes() for out in others} | {ALWAYS(speech, RATE, (3, 5)).tobytes()}) == 4


def test_threads_do_not_disturb_each_other(speech: np.ndarray) -> None:
    expected = [ALWAYS(speech, RATE, seed) for seed in range(12)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: ALWAYS(speech, RATE, seed), range(12)))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_global_random_state_is_read_or_changed(speech: np.ndarray) -> None:
    np.random.seed(1)
    random.seed(1)
    first = ALWAYS(speech, RATE, 9)
    after = (np.random.random(), random.random())
    np.random.seed(1)
    random.seed(1)
    assert (np.random.random(), random.random()) == after
    np.testing.assert_array_equal(ALWAYS(speech, RATE, 9), first)


def test_without_probability_nothing_changes(speech: np.ndarray) -> None:
    for seed in range(5):
        np.testing.assert_array_equal(NOTHING(speech, RATE, seed), speech)


def test_each_part_happens_about_as_often_as_its_probability_says(speech: np.ndarray) -> None:
    for part in ("gain", "noise", "mask", "pitch", "speed"):
        chance = replace(NOTHING, **{f"{part}_probability": 0.5})
        short = speech[:4000]
        changed = sum(not np.array_equal(chance(short, RATE, seed), short) for seed in range(100))
        assert 30 < changed < 70, part


def test_gain_stays_in_its_range(speech: np.ndarray) -> None:
    louder = replace(NOTHING, gain_probability=1.0, gain_db=6.0)
    levels = [
        20 * np.log10(np.abs(louder(speech, RATE, seed)).max() / np.abs(speech).max())
        for seed in range(50)
    ]
    assert -6.01 <= min(levels) < -4
    assert 4 < max(levels) <= 6.01


def test_noise_is_as_loud_as_the_drawn_ratio_says(speech: np.ndarray) -> None:
    noisy = replace(NOTHING, noise_probability=1.0, snr_db=(20.0, 20.0))
    for seed in range(8):
        noise = noisy(speech, RATE, seed) - speech
        ratio = 10 * np.log10(np.mean(speech**2) / np.mean(noise**2))
        assert ratio == pytest.approx(20.0, abs=0.05)


def test_both_colours_of_noise_occur(speech: np.ndarray) -> None:
    noisy = replace(NOTHING, noise_probability=1.0)
    slopes = []
    for seed in range(12):
        power = np.abs(np.fft.rfft(noisy(speech, RATE, seed) - speech)) ** 2
        slopes.append(np.log10(power[20:200].mean() / power[2000:].mean()))
    assert min(slopes) < 0.3  # white is flat
    assert max(slopes) > 0.8  # pink falls by 10 dB per decade


def test_pitch_moves_at_the_same_length() -> None:
    shifted = replace(NOTHING, pitch_probability=1.0, semitones=3.0)
    tone = _tone()
    pitches = []
    for seed in range(12):
        out = shifted(tone, RATE, seed)
        assert len(out) == len(tone)
        pitches.append(12 * np.log2(_pitch(out) / 440))
    assert -3.1 < min(pitches) < -1
    assert 1 < max(pitches) < 3.1


def test_speed_changes_the_length_at_the_same_pitch() -> None:
    faster = replace(NOTHING, speed_probability=1.0, speed=0.2)
    tone = _tone()
    lengths = []
    for seed in range(12):
        out = faster(tone, RATE, seed)
        lengths.append(len(out) / len(tone))
        assert _pitch(out) == pytest.approx(440, abs=6)
    assert 1 / 1.2 - 0.01 < min(lengths) < 0.95
    assert 1.05 < max(lengths) < 1 / 0.8 + 0.01


def test_a_mask_silences_one_piece_of_limited_length(speech: np.ndarray) -> None:
    masked = replace(NOTHING, mask_probability=1.0, mask=0.2)
    loud = speech + np.float32(0.5)
    for seed in range(20):
        out = masked(loud, RATE, seed)
        assert len(out) == len(loud)
        changed = np.flatnonzero(out != loud)
        if len(changed):
            assert changed[-1] - changed[0] < 0.2 * len(loud)


def test_a_part_that_is_switched_off_does_not_change_what_the_others_do(
    speech: np.ndarray,
) -> None:
    masked = replace(NOTHING, mask_probability=1.0)
    loud = speech + np.float32(0.5)
    for seed in range(5):
        silent = masked(loud, RATE, seed) == 0
        noisy = replace(masked, noise_probability=1.0, gain_probability=1.0)(loud, RATE, seed)
        np.testing.assert_array_equal(noisy == 0, silent)


def test_settings_are_json_and_name_every_field() -> None:
    found = Augmentation().settings()
    assert json.loads(json.dumps(found)) == found
    assert set(found) == set(Augmentation.__dataclass_fields__) | {"version"}
    assert replace(Augmentation(), speed=0.05).settings() != found


@pytest.mark.parametrize(
    "wrong", [{"gain_probability": 1.5}, {"mask": -0.1}, {"speed": 0.3}, {"speed": -0.1}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must lie between"):
        Augmentation(**wrong)
