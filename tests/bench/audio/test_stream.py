"""Files that are read block by block: the same bits whatever the blocks, in little memory."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from bench.audio import notes
from bench.audio.decode import Inspection, Sound, load
from bench.audio.stream import Stream, reading
from bench.errors import ClipError

SECONDS = 1.3
FORMATS = {
    "a.wav": ("WAV", "PCM_16", 48000, 2),
    "b.wav": ("WAV", "FLOAT", 11025, 1),
    "a.flac": ("FLAC", "PCM_24", 44100, 6),
    "a.aiff": ("AIFF", "PCM_16", 22050, 1),
    "vorbis.ogg": ("OGG", "VORBIS", 32000, 2),
    "opus.ogg": ("OGG", "OPUS", 48000, 1),
}
CODECS = {
    "a.mp3": ("libmp3lame", "mp3", 44100, "stereo"),
    "a.m4a": ("aac", "mp4", 44100, "mono"),
    "a.webm": ("libopus", "webm", 48000, "stereo"),
}


def _noise(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    random = np.random.default_rng(rate + channels)
    return random.uniform(-0.4, 0.4, (int(seconds * rate), channels)).astype(np.float32)


def encoded(path: Path, samples: np.ndarray, rate: int, codec: str, container: str, layout: str):
    with av.open(str(path), "w", format=container) as out:
        made = out.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.T), format="fltp", layout=layout
        )
        frame.sample_rate = rate
        fitted = av.AudioResampler(made.format.name, layout, rate, made.frame_size or 1152)
        for block in [*fitted.resample(frame), *fitted.resample(None), None]:
            out.mux(made.encode(block))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("formats")
    for name, (container, subtype, rate, channels) in FORMATS.items():
        noise = _noise(SECONDS, rate, channels)
        soundfile.write(folder / name, noise, rate, format=container, subtype=subtype)
    for name, (codec, container, rate, layout) in CODECS.items():
        noise = _noise(SECONDS, rate, 2 if layout == "stereo" else 1)
        encoded(folder / name, noise, rate, codec, container, layout)
    return {path.name: path for path in folder.iterdir()}


def _own(path: Path, block: int) -> tuple[int, list[np.ndarray]]:
    return reading(path, lambda found: (found.rate, list(found.blocks)), block)


@pytest.mark.parametrize("name", [*FORMATS, *CODECS])
def test_small_blocks_give_the_same_bits_as_one(name: str, files: dict[str, Path]) -> None:
    whole = load(files[name], 16000, block=1 << 20)
    rate, (samples,) = _own(files[name], 1 << 20)
    again = load(files[name], 16000, block=3000)
    same_rate, blocks = _own(files[name], 3000)
    assert len(blocks) > 3
    assert rate == same_rate
    np.testing.assert_array_equal(np.concatenate(blocks), samples)
    np.testing.assert_array_equal(again.samples, whole.samples)
    assert again.pcm_sha256 == whole.pcm_sha256


@pytest.mark.parametrize("name", FORMATS)
def test_blocks_are_what_soundfile_reads_at_once(name: str, files: dict[str, Path]) -> None:
    _, blocks = _own(files[name], 3000)
    samples, _ = soundfile.read(files[name], dtype="float32", always_2d=True)
    np.testing.assert_array_equal(np.concatenate(blocks), samples)


@given(
    st.integers(1600, 40_000),
    st.integers(1, 9),
    st.sampled_from([8000, 16000, 22050, 44100, 48000]),
    st.lists(st.floats(0, 1), max_size=5),
    st.integers(0, 2**32 - 1),
)
def test_any_chunking_gives_the_same_sound_and_the_same_facts(
    n: int, channels: int, rate: int, cuts: list[float], seed: int
) -> None:
    samples = np.random.default_rng(seed).normal(size=(max(n, rate // 10), channels))
    samples = samples.astype(np.float32)

    def passed(blocks: list[np.ndarray]) -> tuple[np.ndarray, object, int]:
        sound = Sound(Stream(rate, iter(blocks)), 16000)
        out = np.concatenate(list(sound.blocks))
        return out, sound.facts(), sound.length(len(samples) / rate)

    whole, facts, length = passed([samples])
    again, same_facts, _ = passed(np.split(samples, sorted(int(c * len(samples)) for c in cuts)))
    np.testing.assert_array_equal(again, whole)
    assert same_facts == facts
    assert length == len(whole)


@pytest.mark.parametrize("name", ["a.wav", "a.m4a"])
def test_the_beginning_is_that_of_the_whole_and_the_rest_is_not_read(
    name: str, files: dict[str, Path]
) -> None:
    whole = load(files[name]).samples
    seen: list[int] = []

    def counted(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            seen.append(len(block))
            yield block

    def first(samples: int) -> np.ndarray:
        def consume(found: Stream) -> np.ndarray:
            return Sound(Stream(found.rate, counted(found.blocks)), 16000).first(samples)

        return reading(files[name], consume, 3000)

    for samples in (1, 4000, 8000):
        np.testing.assert_array_equal(first(samples), whole[:samples])
    rate, blocks = _own(files[name], 3000)
    assert sum(seen) / rate < 1.5 * 12_001 / 16000 < 3 * sum(map(len, blocks)) / rate
    with pytest.raises(ClipError, match="is shorter than when it was scanned"):
        first(len(whole) + 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_in_the_last_block_is_found(bad: float, tmp_path: Path) -> None:
    samples = _noise(1.0, 16000, 2)
    samples[-1, 1] = bad
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(ClipError, match=r"a\.wav: holds NaN or infinite samples"):
        load(tmp_path / "a.wav", block=1000)


def test_sound_after_a_silent_block_is_kept(tmp_path: Path) -> None:
    samples = np.zeros(16000)
    samples[-1] = 0.5
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    assert load(tmp_path / "a.wav", block=1000).samples[-1] == 0.5


def _with_frames(path: Path, frames: int) -> Path:
    """A FLAC whose header promises so many samples (the last 36 bits of that field)."""
    data = bytearray(path.read_bytes())
    (packed,) = struct.unpack_from(">Q", data, 18)  # rate, channels, bits, total samples
    struct.pack_into(">Q", data, 18, packed >> 36 << 36 | frames)
    path.write_bytes(data)
    return path


def test_a_flac_written_to_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """It could not know its length when it wrote its header, and promises 0 samples."""
    noise = _noise(2.0, 16000)
    soundfile.write(tmp_path / "a.flac", noise, 16000)
    assert soundfile.info(_with_frames(tmp_path / "a.flac", 0)).frames == 2**63 - 1
    assert load(tmp_path / "a.flac").samples.shape == (32000,)


def test_a_flac_is_no_shorter_than_it_says(tmp_path: Path) -> None:
    noise = _noise(1.0, 16000)
    soundfile.write(tmp_path / "a.flac", noise, 16000)
    with pytest.raises(ClipError, match=r"is truncated: 16100 samples promised, 16000 found"):
        load(_with_frames(tmp_path / "a.flac", 16100))


@pytest.mark.parametrize("promised", [16000, 31999])
def test_a_flac_that_holds_more_than_it_says_is_refused(tmp_path: Path, promised: int) -> None:
    soundfile.write(tmp_path / "a.flac", _noise(2.0, 16000), 16000)
    expected = rf"holds more than its header promises: {promised} samples promised, 32000 found"
    with pytest.raises(ClipError, match=expected):
        load(_with_frames(tmp_path / "a.flac", promised))


@pytest.mark.parametrize(
    "tag", [b"TAG" + b" " * 125, b"APETAGEX" + bytes(range(256)), b"\xff\xf8\xc9\x18" * 99]
)
def test_a_tag_behind_a_flac_is_no_sound(tmp_path: Path, tag: bytes) -> None:
    soundfile.write(tmp_path / "a.flac", _noise(2.0, 16000), 16000)
    with (tmp_path / "a.flac").open("ab") as file:
        file.write(tag)
    assert load(tmp_path / "a.flac").samples.shape == (32000,)


def test_a_header_that_promises_years_takes_no_memory(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", _noise(1.0, 16000), 16000)
    with pytest.raises(ClipError, match="truncated"):
        load(_with_frames(tmp_path / "a.flac", 2**36 - 1))


@pytest.mark.parametrize("name", ["long.mp2", "long.wav"])
def test_ten_minutes_are_looked_at_in_the_memory_of_some_seconds(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    minute = _noise(60, 16000)
    if path.suffix == ".mp2":
        short = encoded(tmp_path / "minute.mp2", minute, 16000, "mp2", "mp2", "mono")
        path.write_bytes(short.read_bytes() * 10)  # its frames know nothing of one another
    else:
        with soundfile.SoundFile(path, "w", 16000, 1, "PCM_U8") as file:
            for _ in range(10):
                file.write(minute)

    def inspected(found: Stream) -> float:
        inspection = Inspection(found.rate)
        for block in found.blocks:
            inspection.add(block)
        return inspection.facts().seconds

    tracemalloc.start()
    try:
        seconds = reading(path, inspected)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seconds == pytest.approx(600, rel=0.01)
    assert peak < 8e6 < 600 * 16000 * 4 / 4


def _interleaved(path: Path, samples: np.ndarray, codec: str, container: str, layout: str) -> Path:
    """Like `encoded`, at 48 kHz, for more channels than PyAV takes as planes."""
    with av.open(str(path), "w", format=container) as out:
        made = out.add_stream(codec, rate=48000, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate = 48000
        fitted = av.AudioResampler(made.format.name, layout, 48000, made.frame_size or 1152)
        for block in [*fitted.resample(frame), *fitted.resample(None), None]:
            out.mux(made.encode(block))
    return path


@pytest.mark.parametrize(
    ("codec", "container", "layout", "channels"),
    [
        ("aac", "adts", "7.1", 8),
        ("aac", "mp4", "7.1", 8),
        ("libopus", "webm", "7.1", 8),
        ("wavpack", "wv", "7.1", 8),
        ("wavpack", "wv", "hexadecagonal", 16),
        ("pcm_s16le", "mov", "hexadecagonal", 16),
    ],
)
def test_eight_channels_and_more_are_read(
    codec: str, container: str, layout: str, channels: int, tmp_path: Path
) -> None:
    """PyAV hands over too many planes of them, and the process used to end with SIGSEGV."""
    t = np.arange(48000) / 48000
    hertz = 60 + 17 * np.arange(channels)  # low, for the channel of low frequencies has no others
    tones = (0.2 * np.sin(2 * np.pi * hertz * t[:, None])).astype(np.float32)
    path = _interleaved(tmp_path / "a", tones, codec, container, layout)
    rate, blocks = _own(path, 1 << 18)
    samples = np.concatenate(blocks)[4800:43200]
    assert rate == 48000
    assert samples.shape[1] == channels
    strongest = np.abs(np.fft.rfft(samples, axis=0)).argmax(axis=0) / (len(samples) / 48000)
    np.testing.assert_allclose(np.sort(strongest), hertz, atol=1.3)


def test_a_file_whose_channels_change_says_where(tmp_path: Path) -> None:
    mono = encoded(tmp_path / "m.aac", _noise(1.0, 44100), 44100, "aac", "adts", "mono")
    stereo = encoded(tmp_path / "s.aac", _noise(1.0, 44100, 2), 44100, "aac", "adts", "stereo")
    (tmp_path / "a.aac").write_bytes(mono.read_bytes() + stereo.read_bytes())
    with pytest.raises(ClipError, match=r"a\.aac: changes at 1\.0\d s from 1 channels at 44100 Hz"):
        load(tmp_path / "a.aac")


def test_raw_aac_is_whole_however_quiet_it_begins(tmp_path: Path) -> None:
    """Its length is a guess from the bit rate of the beginning."""
    samples = _noise(4.0, 16000) * np.repeat([[0.0], [1.0]], [48000, 16000], axis=0)
    path = encoded(tmp_path / "a.aac", samples.astype(np.float32), 16000, "aac", "adts", "mono")
    with av.open(str(path)) as container:
        guess = container.streams.audio[0].duration * container.streams.audio[0].time_base
    assert guess > 5.0
    assert len(load(path).samples) == pytest.approx(64000, abs=2048)


@pytest.mark.parametrize("tagged", [False, True])
def test_mp3_files_one_after_the_other_are_all_read(tagged: bool, tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.mp3", _noise(1.0, 44100), 44100, "libmp3lame", "mp3", "mono")
    one, whole = load(path).samples, path.read_bytes()
    if not tagged:
        whole = whole[whole.index(b"\xff\xfb") :]
        path.write_bytes(whole)
    path.write_bytes(whole * 3)
    seen = reading(path, lambda found: (len(np.concatenate(list(found.blocks))), found.notes))
    assert seen[0] == pytest.approx(3 * 44100, abs=2 * 3600)
    assert seen[1] == [notes.JOINED] * tagged  # without a tag nothing looks odd
    np.testing.assert_array_equal(load(path).samples[:15000], one[:15000])


@pytest.mark.parametrize(("codec", "container"), [("libmp3lame", "mp3"), ("aac", "adts")])
def test_a_damaged_packet_is_refused_with_its_place(
    codec: str, container: str, tmp_path: Path
) -> None:
    path = encoded(tmp_path / "a", _noise(3.0, 44100), 44100, codec, container, "mono")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = np.random.default_rng(0).bytes(200)
    path.write_bytes(data)
    with pytest.raises(ClipError, match=r"a: is damaged or truncated at 1\.[45]\d s \("):
        load(path)


def test_an_ogg_without_its_last_page_is_read_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, _noise(4.0, 16000), 16000, format="OGG", subtype="VORBIS")
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"OggS")])
    seen = reading(path, lambda found: (len(np.concatenate(list(found.blocks))), found.notes))
    assert 16000 < seen[0] < 64000
    assert seen[1] == [notes.NO_LAST_PAGE]


def test_an_ogg_that_lacks_a_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, _noise(4.0, 16000), 16000, format="OGG", subtype="VORBIS")
    pages = [b"OggS" + page for page in path.read_bytes().split(b"OggS")[1:]]
    path.write_bytes(b"".join(pages[:-2] + pages[-1:]))
    with pytest.raises(ClipError, match=r"a page is missing before byte \d+"):
        load(path)


def test_a_file_is_closed_when_its_consumer_fails(files: dict[str, Path]) -> None:
    for name in ("a.wav", "a.webm"):
        kept: list[Stream] = []

        def failing(found: Stream, kept: list[Stream] = kept) -> None:
            next(found.blocks)
            kept.append(found)
            raise RuntimeError("of the consumer")

        with pytest.raises(RuntimeError, match="of the consumer"):
            reading(files[name], failing)
        assert len(kept) == 1  # and is not called again
