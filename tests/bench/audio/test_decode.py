"""Decoding: what is read is what was recorded, and what cannot be used says why."""

from __future__ import annotations

import contextlib
import hashlib

import av
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from bench.audio import notes
from bench.audio.decode import Audio, Inspection, load, resampled, resampled_length
from bench.audio.stream import reading
from bench.errors import ClipError

RATE = 16000


def _tone(seconds=0.5, rate=RATE, hertz=440.0):
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def _encode(path, samples, rate, codec, container):
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            samples.astype(np.float32)[None], format="fltp", layout="mono"
        )
        frame.sample_rate = rate
        fifo = av.AudioResampler(stream.format.name, "mono", rate, stream.frame_size or 1152)
        for block in [*fifo.resample(frame), *fifo.resample(None), None]:
            out.mux(stream.encode(block))


def test_load_gives_mono_float32_at_the_rate_asked_for(tmp_path):
    soundfile.write(tmp_path / "a.wav", _tone(rate=48000), 48000, subtype="PCM_16")
    audio = load(tmp_path / "a.wav")
    assert isinstance(audio, Audio)
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape == (8000,)
    assert (audio.rate, audio.native_rate, audio.channels) == (16000, 48000, 1)
    middle = slice(400, -400)  # a resampler rings at the ends
    assert np.allclose(audio.samples[middle], _tone()[middle], atol=2e-3)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 96000])
def test_any_native_rate(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", _tone(rate=rate), rate)
    audio = load(tmp_path / "a.wav")
    assert audio.native_rate == rate
    assert len(audio.samples) == pytest.approx(8000, abs=1)
    assert np.abs(audio.samples).max() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_any_sample_format(tmp_path, subtype):
    soundfile.write(tmp_path / "a.wav", _tone(), RATE, subtype=subtype)
    assert np.allclose(load(tmp_path / "a.wav").samples, _tone(), atol=1e-2)


def test_stereo_is_the_mean_of_its_channels(tmp_path):
    left, right = _tone(), _tone(hertz=200)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    audio = load(tmp_path / "a.wav")
    assert audio.channels == 2
    assert np.allclose(audio.samples, (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "codec", "container", "rate"),
    [
        ("really-mp3.wav", "libmp3lame", "mp3", 44100),
        ("a.m4a", "aac", "mp4", 44100),
        ("a.webm", "libopus", "webm", 48000),
    ],
)
def test_ffmpeg_reads_what_soundfile_does_not(tmp_path, name, codec, container, rate):
    _encode(tmp_path / name, _tone(1.0, rate), rate, codec, container)
    audio = load(tmp_path / name)
    assert audio.native_rate == rate
    assert len(audio.samples) == pytest.approx(16000, abs=1600)
    assert np.sqrt(np.mean(audio.samples**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)


def test_a_latin_1_tag_is_no_harm(tmp_path):
    _encode(tmp_path / "a.mp3", _tone(1.0, 44100), 44100, "libmp3lame", "mp3")
    data = (tmp_path / "a.mp3").read_bytes()
    at = data.index(b"Lavf")
    (tmp_path / "a.mp3").write_bytes(data[:at] + b"L\xe9vf" + data[at + 4 :])
    assert load(tmp_path / "a.mp3").native_rate == 44100


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.wav", None), ("a.flac", None), ("a.mp3", "libmp3lame"), ("a.mp4", "aac")],
)
def test_a_damaged_file_is_read_or_refused_never_a_crash(tmp_path, name, codec):
    path = tmp_path / name
    if codec is None:
        _wav(path)
    else:
        _encode(path, _tone(0.5, 44100), 44100, codec, path.suffix[1:])
    data = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(data)
        for at in random.integers(0, min(len(data), random.choice([100, 10**6])), 4):
            damaged[at] = random.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(ClipError):
            assert np.isfinite(load(path).samples).all()


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 2])
def test_flac_and_wav_of_one_recording_hash_alike(tmp_path, subtype, channels):
    # whole numbers: writers round floats each in its own way
    samples = np.stack([_tone(), _tone(hertz=200)], axis=1)[:, :channels]
    samples = np.round(samples * 2**23).astype(np.int32) << 8
    hashes = set()
    for name in ("a.wav", "a.flac"):
        soundfile.write(tmp_path / name, samples, RATE, subtype=subtype)
        hashes.add(load(tmp_path / name).pcm_sha256)
    assert len(hashes) == 1


def test_the_hash_tells_rate_channels_and_samples_apart():
    mono = _tone().astype(np.float32)[:, None]
    changed = mono.copy()
    changed[100] += 2**-15
    recordings = [
        (mono, RATE),
        (mono, 8000),
        (np.repeat(mono, 2, axis=1), RATE),
        (changed, RATE),
    ]
    assert len({_hash(*recording) for recording in recordings}) == 4
    negative = np.where(mono > 0.2, mono, np.float32(-0.0))
    assert np.signbit(negative).any()
    assert _hash(negative, RATE) == _hash(negative + np.float32(0.0), RATE)


def _hash(samples, rate, cuts=()):
    inspection = Inspection(rate)
    for block in np.split(samples, cuts):
        inspection.add(block)
    return inspection.facts().pcm_sha256


def test_the_hash_is_that_of_rate_channels_and_interleaved_little_endian_floats():
    """Stored features are found by it: it must never change."""
    stereo = np.stack([_tone(), _tone(hertz=200)], axis=1).astype(np.float32)
    expected = hashlib.sha256(b"16000/2/" + stereo.astype("<f4").tobytes()).hexdigest()
    assert _hash(stereo, RATE) == _hash(stereo, RATE, [1, 1, 500]) == expected


def _wav(path, samples=None, **options):
    soundfile.write(path, _tone() if samples is None else samples, RATE, **options)
    return path


def _cut(path, keep):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def test_a_truncated_wav_is_refused(tmp_path):
    with pytest.raises(ClipError, match=r"a\.wav: is truncated: 16000 bytes promised, .* found"):
        load(_cut(_wav(tmp_path / "a.wav"), 0.6))


def test_a_truncated_flac_is_refused(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, RATE * 2)
    with pytest.raises(ClipError, match=r"truncated|decoded"):
        load(_cut(_wav(tmp_path / "a.flac", noise), 0.5))


@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_a_truncated_m4a_is_refused(tmp_path, keep):
    _encode(tmp_path / "a.m4a", _tone(3.0, 44100), 44100, "aac", "mp4")
    with pytest.raises(ClipError, match=r"truncated|decoded"):
        load(_cut(tmp_path / "a.m4a", keep))


def test_a_truncated_webm_is_refused(tmp_path):
    _encode(tmp_path / "a.webm", _tone(4.0, 48000), 48000, "libopus", "webm")
    with pytest.raises(ClipError, match="truncated"):
        load(_cut(tmp_path / "a.webm", 0.5))


@pytest.mark.parametrize("length", [0x7FFFFFDB, 0xFFFFFFFF])
def test_a_wav_written_to_a_pipe_is_read(tmp_path, length):
    path = _wav(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = length.to_bytes(4, "little")
    path.write_bytes(data)
    assert len(load(path).samples) == 8000
    assert reading(path, lambda stream: stream.notes) == [notes.UNTOLD]


def test_what_follows_the_data_of_a_wav_is_no_harm(tmp_path):
    path = _wav(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes() + b"LIST\x04\x00\x00\x00abcd")
    assert len(load(path).samples) == 8000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<html>404</html>" * 50, "not audio"),
        (b"RIFF\x24\x00\x00\x00WAVE", "not audio"),
        (bytes(5000), "not audio"),
    ],
)
def test_what_is_not_audio_is_refused(tmp_path, content, reason):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ClipError, match=rf"a\.wav: .*{reason}"):
        load(tmp_path / "a.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_are_refused(tmp_path, bad):
    samples = _tone()
    samples[7] = bad
    with pytest.raises(ClipError, match="NaN or infinite"):
        load(_wav(tmp_path / "a.wav", samples, subtype="FLOAT"))


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_digital_silence_is_refused(tmp_path, level):
    with pytest.raises(ClipError, match="silent"):
        load(_wav(tmp_path / "a.wav", np.full(8000, level)))


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_channels_that_cancel_out_are_refused_for_that(tmp_path, subtype):
    """In 16 bits their mean is the noise of rounding, not silence."""
    noisy = _tone() + np.random.default_rng(0).normal(size=8000) * 1e-2
    samples = np.stack([noisy, -noisy], axis=1) + 0.1  # an offset is no sound
    with pytest.raises(ClipError, match="its 2 channels cancel each other"):
        load(_wav(tmp_path / "a.wav", samples, subtype=subtype))


@pytest.mark.parametrize(
    "others", [[1.0], [0.0], [-0.5], [0.0] * 15], ids=["same", "one", "weaker", "one of 16"]
)
def test_channels_of_which_something_is_left_are_kept(tmp_path, others):
    samples = np.stack([_tone() * level for level in (1.0, *others)], axis=1)
    audio = load(_wav(tmp_path / "a.wav", samples, subtype="FLOAT"))
    assert np.allclose(audio.samples, samples.mean(axis=1), atol=1e-6)


def test_independent_channels_are_kept(tmp_path):
    noise = np.random.default_rng(0).normal(size=(8000, 8)) * 0.1
    assert load(_wav(tmp_path / "a.wav", noise)).channels == 8


@pytest.mark.parametrize("container", ["WAV", "AIFF", "CAF"])
@pytest.mark.parametrize("bits", [16, 24, 32])
def test_floats_in_the_scale_of_integers_are_those_integers(tmp_path, container, bits):
    whole = np.round(_tone() * 2**15) / 2**15
    _wav(tmp_path / "a.wav", whole, subtype="PCM_16")
    scaled = whole * 2.0 ** (bits - 1)
    soundfile.write(tmp_path / "scaled", scaled, RATE, format=container, subtype="FLOAT")
    expected = load(tmp_path / "a.wav")
    audio = load(tmp_path / "scaled")
    np.testing.assert_array_equal(audio.samples, expected.samples)
    assert audio.pcm_sha256 == expected.pcm_sha256


@pytest.mark.parametrize("level", [1e-4, 1.0, 5.0, 60.0])
def test_floats_of_any_level_that_sound_has_are_left_alone(tmp_path, level):
    samples = (_tone() * level / 0.3).astype(np.float32)
    audio = load(_wav(tmp_path / "a.wav", samples, subtype="FLOAT"))
    np.testing.assert_array_equal(audio.samples, samples)


def test_a_click_beyond_every_scale_is_refused_and_scales_nothing(tmp_path):
    for click in (1e20, 30000.0):
        samples = _tone()
        samples[100] = click
        with pytest.raises(ClipError, match="holds damaged samples"):
            load(_wav(tmp_path / "a.wav", samples, subtype="DOUBLE"))


def test_a_whisper_is_kept(tmp_path):
    assert len(load(_wav(tmp_path / "a.wav", _tone() * 1e-3)).samples) == 8000


def test_too_short_and_no_samples_are_refused(tmp_path):
    with pytest.raises(ClipError, match=r"lasts 0\.050 s, less than the 0\.1 s"):
        load(_wav(tmp_path / "a.wav", _tone(0.05)))
    with pytest.raises(ClipError, match="no audio samples"):
        load(_wav(tmp_path / "b.wav", _tone(0)))


def test_a_video_without_sound_is_refused(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        for one in (frame, None):
            out.mux(stream.encode(one))
    with pytest.raises(ClipError, match="no audio stream"):
        load(tmp_path / "a.mp4")


@pytest.mark.parametrize("rate", [0.0, -5.0, 0.4, 2e9, 3e9, np.nan])
def test_a_rate_that_no_sound_has_is_refused(tmp_path, rate):
    soundfile.write(tmp_path / "a", _tone(), RATE, format="IRCAM", subtype="PCM_16")
    data = bytearray((tmp_path / "a").read_bytes())
    data[4:8] = np.float32(rate).tobytes()
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ClipError):
        load(tmp_path / "a")


def test_a_missing_file_is_no_clip_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.wav")


@given(
    st.integers(1, 60_000),
    st.sampled_from([7999, 8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000]),
    st.lists(st.floats(0, 1), max_size=6),
)
def test_resampling_in_pieces_gives_the_same_bits_and_the_length_foretold(n, native_rate, cuts):
    samples = np.random.default_rng(n).normal(size=n).astype(np.float32)
    pieces = np.split(samples, sorted(int(cut * n) for cut in cuts))
    # a single sample at a high rate becomes none at all
    out = np.concatenate([np.empty(0, np.float32), *resampled(iter(pieces), native_rate, RATE)])
    whole = samples if native_rate == RATE else soxr.resample(samples, native_rate, RATE, "HQ")
    np.testing.assert_array_equal(out, whole)
    assert out.dtype == np.float32
    assert len(out) == resampled_length(n, native_rate, RATE)
    assert len(out) == pytest.approx(n * RATE / native_rate, abs=1)
