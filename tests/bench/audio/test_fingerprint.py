"""Near-duplicate sound: re-uploads are found, and what merely sounds alike is not."""

from __future__ import annotations

import io
import os
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from bench.audio.decode import load
from bench.audio.fingerprint import MAX_SECONDS, WORD_RATE, Fingerprinter
from bench.audio.likeness import LEAST_SECONDS, MAX_ERROR, SHARED_SECONDS, matches, near_duplicates

RATE = 16000
CLIPS = Path(os.environ.get("VOXGRID_DATA", "")) / "ravdess"


def _words(sound, rate=RATE):
    fingerprinter = Fingerprinter(rate)
    fingerprinter.add(np.asarray(sound, np.float32))
    return fingerprinter.finish()


@cache
def _speech(seed, seconds=25.0, take=0):
    """Syllables, each three formants of a pulse train; another take strays a little in all."""
    said = np.random.default_rng(seed)
    heard = np.random.default_rng((seed, take))
    pitch = said.uniform(90, 240)
    parts = []
    while sum(map(len, parts)) < seconds * RATE:
        n = int(RATE * said.uniform(0.1, 0.3) * heard.uniform(0.93, 1.07))
        contour = pitch * heard.uniform(0.85, 1.15) * np.linspace(1, said.uniform(0.8, 1.2), n)
        sound = np.diff(np.floor(np.cumsum(contour) / RATE), prepend=0.0)
        sound += 0.02 * heard.standard_normal(n)
        for low, high in ((300, 800), (900, 2000), (2200, 2900)):
            formant = said.uniform(low, high) * heard.uniform(0.96, 1.04)
            turn = 2 * 0.97 * np.cos(2 * np.pi * formant / RATE)
            sound = lfilter([1.0], [1, -turn, 0.97**2], sound)
        parts.append(sound / np.abs(sound).max() * np.hanning(n) * heard.uniform(0.3, 1.0))
    speech = np.concatenate(parts)[: int(seconds * RATE)]
    return (0.3 * speech + 1e-4 * heard.standard_normal(len(speech))).astype(np.float32)


@cache
def _chords(seed, seconds=25.0):
    """Plucked triads of a key, a beat to four long."""
    random = np.random.default_rng(seed)
    root, beat = random.uniform(110, 220), 60 / random.uniform(100, 160)
    scale = np.array([0, 2, 4, 5, 7, 9, 11])
    sound = np.zeros(int(seconds * RATE))
    start = 0
    while start < len(sound):
        n = min(int(beat * random.integers(1, 5) * RATE), len(sound) - start)
        time = np.arange(n) / RATE
        for step in random.integers(0, 7) + np.array([0, 2, 4]):
            pitch = root * 2 ** ((scale[step % 7] + 12 * (step // 7)) / 12)
            for harmonic in range(1, 6):
                wave = np.sin(2 * np.pi * pitch * harmonic * time + random.uniform(0, 6))
                sound[start : start + n] += wave * np.exp(-3 * time) / harmonic
        start += n
    return (0.1 * sound).astype(np.float32)


def _coded(sound, codec, container, bitrate, rate, layout="mono"):
    """Encode and decode again; mono samples and their rate."""
    planes = np.stack([soxr.resample(sound, RATE, rate)] * (2 if layout == "stereo" else 1))
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        stream.bit_rate = bitrate
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate = rate
        fit = av.AudioResampler(stream.format.name, layout, rate, stream.frame_size)
        for block in [*fit.resample(frame), *fit.resample(None), None]:
            out.mux(stream.encode(block))
    file.seek(0)
    with av.open(file) as coded:
        back = av.AudioResampler("fltp", layout, rate)
        blocks = [b.to_ndarray() for f in coded.decode(audio=0) for b in back.resample(f)]
    return np.concatenate(blocks, axis=1).mean(axis=0, dtype=np.float32), rate


CHANGES = {
    "opus": lambda sound: _coded(sound, "libopus", "webm", 48000, 48000),
    "aac": lambda sound: _coded(sound, "aac", "mp4", 64000, 44100),
    "mp3, stereo": lambda sound: _coded(sound, "libmp3lame", "mp3", 64000, 44100, "stereo"),
    "quieter": lambda sound: (0.05 * sound, RATE),
    "resampled": lambda sound: (soxr.resample(sound, RATE, 11025), 11025),
    "cut": lambda sound: (sound[int(3.3 * RATE) :], RATE),
    "cut, quieter, opus": lambda sound: _coded(
        0.3 * sound[int(3.3 * RATE) :], "libopus", "webm", 48000, 48000
    ),
}


def _different(words, others):
    """Share of the bits that differ."""
    return np.bitwise_count(words ^ others).sum() / (32 * len(words))


@settings(max_examples=25)
@given(
    st.sampled_from([8000, 11025, 16000, 44100, 48000]),
    st.lists(st.integers(0, 60_000), max_size=6),
    st.integers(0, 2**32),
)
def test_words_do_not_depend_on_the_blocks(rate, sizes, seed):
    sound = np.random.default_rng(seed).standard_normal(2 * rate).astype(np.float32)
    fingerprinter = Fingerprinter(rate)
    for block in np.split(sound, np.minimum(np.cumsum(sizes, dtype=int), len(sound))):
        fingerprinter.add(block)
    assert np.array_equal(fingerprinter.finish(), _words(sound, rate))


def test_a_channel_of_an_interleaved_file_is_as_good_as_a_copy_of_it():
    stereo = np.random.default_rng(0).standard_normal((4 * RATE, 2)).astype(np.float32)
    fingerprinter = Fingerprinter(RATE)
    fingerprinter.add(stereo[:, 1])
    assert np.array_equal(fingerprinter.finish(), _words(stereo[:, 1].copy()))


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.3])
def test_sound_shorter_than_two_frames_has_no_words(seconds):
    words = _words(_speech(1)[: int(seconds * RATE)])
    assert words.shape == (0,)
    assert words.dtype == np.uint32


def test_words_come_at_the_rate_named():
    assert len(_words(_speech(1))) == pytest.approx((25 - 0.4) * WORD_RATE, abs=2)


def test_of_a_long_clip_only_the_beginning_counts():
    rate = 4000
    kept = int(MAX_SECONDS * rate)
    sound = np.random.default_rng(0).standard_normal(kept + 20 * rate).astype(np.float32)
    words = _words(sound, rate)
    assert np.array_equal(words, _words(sound[:kept], rate))
    assert len(words) == pytest.approx(MAX_SECONDS * WORD_RATE, rel=0.001)


def test_level_changes_hardly_a_bit():
    assert _different(_words(_speech(1)), _words(0.01 * _speech(1))) < 0.01


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("made", [_speech, _chords])
def test_the_same_sound_is_found_after(change, made):
    others = [_words(made(seed)) for seed in (11, 12)]
    sound, rate = CHANGES[change](made(10))
    (match,) = matches([_words(made(10)), *others, _words(sound, rate)])
    assert (match.first, match.second) == (0, 3)
    assert match.shift == pytest.approx(3.3 if "cut" in change else 0.0, abs=0.1)
    assert match.error < MAX_ERROR
    assert match.seconds >= SHARED_SECONDS


def test_takes_of_the_same_sentence_in_one_voice_are_different_recordings():
    takes = [_speech(seed, 4.0, take) for seed in (20, 21) for take in range(8)]
    assert near_duplicates([_words(take) for take in takes]) == []
    assert near_duplicates([_words(take) for take in [*takes, 0.1 * takes[3]]]) == [[3, 16]]


def _steady(name):
    """30 s that say nothing about where they come from."""
    time = np.arange(30 * RATE) / RATE
    if name == "silence":
        return np.zeros(len(time))
    if name == "hum":
        return sum(0.2 / h * np.sin(2 * np.pi * 50 * h * time) for h in range(1, 30))
    if name == "tone":
        return np.round(0.3 * np.sin(2 * np.pi * 441.3 * time) * 32767) / 32767
    if name == "noisy tone":
        noise = np.random.default_rng(7).standard_normal(len(time))
        return 0.3 * np.sin(2 * np.pi * 1000 * time) + 1e-3 * noise
    if name == "metronome":
        return (time % 0.5 < 0.03) * np.sin(2 * np.pi * 1000 * time)
    assert name == "siren"
    return 0.3 * np.sin(2 * np.pi * np.cumsum(700 + 300 * np.sin(2 * np.pi * time)) / RATE)


@pytest.mark.parametrize("name", ["silence", "hum", "tone", "noisy tone", "metronome", "siren"])
def test_pieces_do_not_match_by_what_stands_still_or_repeats_itself(name):
    steady = _steady(name)
    pieces = [
        np.concatenate([steady[: 15 * RATE], _speech(seed)[: 6 * RATE], steady[15 * RATE :]])
        for seed in (30, 31)
    ]
    assert matches([_words(piece) for piece in [*pieces, steady, steady]]) == []


def test_white_noise_matches_itself_only():
    one, other = (
        0.1 * np.random.default_rng(seed).standard_normal(25 * RATE).astype(np.float32)
        for seed in (0, 1)
    )
    (match,) = matches([_words(one), _words(other), _words(one[5 * RATE :])])
    assert (match.first, match.second) == (0, 2)


@pytest.mark.parametrize(("shared", "linked"), [(6.0, False), (14.0, True)])
def test_a_jingle_links_no_clips_and_a_long_excerpt_does(shared, linked):
    part = _speech(40)[: int(shared * RATE)]
    one = np.concatenate([_speech(41)[: 7 * RATE], part, _speech(42)[: 7 * RATE]])
    other = np.concatenate([_speech(43)[: 10 * RATE], part, _speech(44)[: 6 * RATE]])
    found = matches([_words(one), _words(other)])
    assert len(found) == linked
    if linked:
        assert found[0].shift == pytest.approx(-3, abs=0.1)
        assert found[0].seconds == pytest.approx(shared, abs=1.5)


def test_of_a_short_clip_most_must_be_shared():
    clip = _speech(50, 5.0)
    coded, rate = CHANGES["opus"](clip)
    half = np.concatenate([_speech(51, 2.5), clip[: len(clip) // 2]])
    assert near_duplicates([_words(clip), _words(coded, rate)]) == [[0, 1]]
    assert near_duplicates([_words(clip), _words(half)]) == []


def test_clips_too_short_to_tell_are_never_near_duplicates():
    blip = _words(_speech(52, LEAST_SECONDS - 0.2))
    assert near_duplicates([blip, blip, blip[:0], blip[:1]]) == []


def test_nothing_has_no_near_duplicates():
    assert near_duplicates([]) == []
    assert near_duplicates([np.zeros(0, np.uint32)] * 3) == []


def _flipped(words, share, seed):
    flips = np.random.default_rng(seed).random((len(words), 32)) < share
    return words ^ (flips @ np.left_shift(np.uint32(1), np.arange(32, dtype=np.uint32)))


def test_slow_pieces_in_one_key_are_different_pieces():
    assert near_duplicates([_words(_chords(1000 + seed)[: 8 * RATE]) for seed in range(25)]) == []


def test_many_copies_of_one_clip_are_one_set():
    words = _words(_speech(1))
    copies = [_flipped(words[10 * seed :], 0.05, seed) for seed in range(40)]
    assert near_duplicates([_words(_speech(2)), *copies]) == [list(range(1, 41))]


@pytest.fixture(scope="module")
def planted():
    """Words of 200 clips, and the pairs among them that are the same sound."""
    sounds = [(_speech(1000 + seed, 8.0), RATE) for seed in range(170)]
    sounds += [(_chords(1000 + seed), RATE) for seed in range(25)]
    changes = ("opus", "aac", "mp3, stereo", "resampled", "quieter")
    pairs = []
    for original, change in zip((5, 50, 169, 170, 194), changes, strict=True):
        pairs.append([original, len(sounds)])
        sounds.append(CHANGES[change](sounds[original][0]))
    return [_words(sound, rate) for sound, rate in sounds], pairs


def test_the_five_pairs_among_two_hundred_clips_are_found_and_no_other(planted):
    prints, pairs = planted
    assert near_duplicates(prints) == pairs


def test_the_order_of_the_clips_changes_nothing(planted):
    prints, pairs = planted
    order = np.random.default_rng(0).permutation(len(prints))
    found = near_duplicates([prints[i] for i in order])
    assert sorted(sorted(order[members].tolist()) for members in found) == pairs


def test_looking_words_up_in_shares_changes_nothing(planted):
    prints, _ = planted
    assert matches(prints, share=20_000) == matches(prints)


@pytest.mark.real
@pytest.mark.skipif(
    not (os.environ.get("VOXGRID_DATA") and CLIPS.is_dir()), reason="VOXGRID_DATA has no ravdess"
)
def test_of_two_real_actors_only_the_known_twins_are_near_duplicates():
    paths = sorted(path for actor in ("07", "08") for path in CLIPS.glob(f"Actor_{actor}/*.flac"))
    assert len(paths) == 120
    found = near_duplicates([_words(load(path, RATE).samples) for path in paths])
    assert [[paths[i].stem for i in members] for members in found] == [
        ["03-01-03-01-02-01-07", "03-01-03-01-02-02-07"]
    ]
