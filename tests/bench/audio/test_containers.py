"""Every container and codec that can be written here, whole and damaged: right, noted or refused.

What is read is compared with what was written. A damaged file may never become a shorter clip, or
other sound, without a word.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.audio import notes
from bench.audio.decode import Inspection
from bench.audio.stream import Stream, reading
from bench.errors import ClipError

RATES = {"soundfile": 16000, "pyav": 48000}
SECONDS = 1.0


@dataclass(frozen=True)
class Kind:
    """A container with a codec in it.

    Attributes:
        writer: soundfile or pyav.
        container, codec: as the writer calls them.
        delay: what the codec may add or leave out, s.
        alike: least correlation with what was written.
        noted: whether the format says nothing of its length.
        sums: whether damage always shows: checksums, or a decoder that notices.
        endian: as soundfile calls it.
        lost: why it is refused even as a whole, where no decoder here reads all of it.
        length: mark before the number that says how long the sound is, and how it is written.
        counted: bytes beside the sound in that number.
    """

    writer: str
    container: str
    codec: str
    delay: float = 0.0
    alike: float = 0.999
    noted: bool = False
    sums: bool = False
    endian: str = "FILE"
    lost: str = ""
    length: tuple[bytes, str] | None = None
    counted: int = 0

    def __str__(self) -> str:
        return f"{self.writer}-{self.container}-{self.endian}-{self.codec}".lower()


def _linear(container: str, *codecs: str, **more: object) -> list[Kind]:
    return [Kind("soundfile", container, codec, **more) for codec in codecs]  # type: ignore[arg-type]


def _lossy(container: str, codec: str, delay: float = 0.06, **more: object) -> Kind:
    return Kind("pyav", container, codec, delay, 0.99, **more)  # type: ignore[arg-type]


WAV, BIG, AIFF = (b"data", "<I"), (b"data", ">I"), (b"SSND", ">I")
KINDS = [
    *_linear("WAV", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", length=WAV),
    *_linear("WAV", "ULAW", "ALAW", length=WAV),
    *_linear("WAV", "IMA_ADPCM", "MS_ADPCM", "GSM610", "G721_32", delay=0.04, alike=0.97),
    *_linear("WAV", "PCM_16", "PCM_24", "FLOAT", "ULAW", endian="BIG", length=BIG),
    *_linear("WAVEX", "PCM_16", "FLOAT", length=WAV),
    *_linear("RF64", "PCM_16", "PCM_24", "FLOAT", length=(b"ds64" + b"\x1c\0\0\0", "<8xQ")),
    *_linear("W64", "PCM_16", "PCM_24", "DOUBLE", length=(b"data\xf3\xac", "<10xQ"), counted=24),
    *_linear("AIFF", "PCM_16", "PCM_24", "FLOAT", "ULAW", length=AIFF, counted=8),
    *_linear("AIFF", "IMA_ADPCM", "GSM610", delay=0.01, alike=0.97),
    *_linear("CAF", "PCM_16", "PCM_24", "DOUBLE", length=(b"data", ">q"), counted=4),
    *_linear("CAF", "ALAC_16", "ALAC_24"),
    *_linear("AU", "PCM_16", "FLOAT", "ALAW", length=(b".snd", ">4xI")),
    *_linear("AU", "G721_32", delay=0.01, alike=0.97),
    *_linear("NIST", "PCM_16", "PCM_24", "ULAW"),
    *_linear("SVX", "PCM_16", length=(b"BODY", ">I")),
    *_linear("FLAC", "PCM_16", "PCM_24", sums=True),
    *_linear("OGG", "VORBIS", "OPUS", alike=0.99, sums=True),
    *_linear("IRCAM", "PCM_16", "FLOAT", noted=True),
    *_linear("PVF", "PCM_16", noted=True),
    *_linear("VOC", "PCM_16", noted=True),
    *_linear("MP3", "MPEG_LAYER_III", delay=0.06, alike=0.99),
    _lossy("mp3", "libmp3lame"),
    _lossy("mp2", "mp2", noted=True),
    _lossy("adts", "aac", noted=True),
    _lossy("mp4", "aac"),
    _lossy("mp4", "ac3"),
    _lossy("mp4", "libopus"),
    _lossy("3gp", "aac"),
    Kind("pyav", "mp4", "alac"),
    Kind("pyav", "mov", "pcm_s16le"),
    Kind("pyav", "mov", "pcm_f32be"),
    _lossy("matroska", "libopus"),
    _lossy("matroska", "aac"),
    Kind("pyav", "matroska", "pcm_s16le"),
    Kind("pyav", "matroska", "pcm_f32le"),
    _lossy("webm", "libopus"),
    _lossy("ogg", "libopus", sums=True),
    _lossy("ac3", "ac3", noted=True, sums=True),
    _lossy("eac3", "eac3", noted=True, sums=True),
    _lossy("mpegts", "aac", noted=True),
    _lossy("flv", "aac"),
    Kind("pyav", "wv", "wavpack", sums=True),
    Kind("pyav", "tta", "tta", sums=True),
    Kind("pyav", "avi", "pcm_s16le", noted=True),
    Kind("pyav", "caf", "alac", lost="is truncated: 1.00 s promised, 0.98 s found"),
    Kind("pyav", "flac", "flac", sums=True),
]


def signal(rate: int) -> np.ndarray:
    """A tone that rises, in noise: no part of it is like another."""
    t = np.arange(int(SECONDS * rate)) / rate
    noise = np.random.default_rng(0).normal(size=len(t))
    return (0.3 * np.sin(2 * np.pi * (200 + 300 * t) * t) + 0.002 * noise).astype(np.float32)


@cache
def written(kind: Kind, folder: Path) -> bytes:
    rate = RATES[kind.writer]
    path = folder / f"whole-{kind}"
    if kind.writer == "soundfile":
        how = {"format": kind.container, "subtype": kind.codec, "endian": kind.endian}
        soundfile.write(path, signal(rate), rate, **how)
        return path.read_bytes()
    with av.open(str(path), "w", format=kind.container) as out:
        made = out.add_stream(kind.codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(signal(rate)[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        fitted = av.AudioResampler(made.format.name, "mono", rate, made.frame_size or 1152)
        for block in [*fitted.resample(frame), *fitted.resample(None), None]:
            out.mux(made.encode(block))
    return path.read_bytes()


def _noise(count: int) -> bytes:
    return np.random.default_rng(1).bytes(count)


def _damaged(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + _noise(32) + data[middle + 32 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "whole": lambda data: data,
    "cut at 40 %": lambda data: data[: len(data) * 2 // 5],
    "without its last bytes": lambda data: data[:-7],
    "cut in the header": lambda data: data[:20],
    "one damaged block": _damaged,
    "bytes appended": lambda data: data + _noise(1000),
    "a file appended": lambda data: data + data,
    "zero length": lambda _data: b"",
}


@dataclass(frozen=True)
class Read:
    samples: np.ndarray
    notes: list[str]


def read(kind: Kind, data: bytes, folder: Path) -> Read | str:
    """What is read, (samples,), at the rate that was written; or why nothing is."""
    path = folder / "clip"
    path.write_bytes(data)

    def consume(stream: Stream) -> Read:
        inspection = Inspection(stream.rate)
        blocks = [inspection.add(block) for block in stream.blocks]
        assert inspection.facts().rate == RATES[kind.writer]
        return Read(np.concatenate(blocks), stream.notes)

    try:
        return reading(path, consume)
    except ClipError as error:
        return str(error)


def like(found: np.ndarray, wanted: np.ndarray) -> float:
    """Correlation, at the lag where it is greatest."""
    size = len(found) + len(wanted)
    cross = np.fft.irfft(np.fft.rfft(found, size) * np.fft.rfft(wanted, size).conj(), size)
    lag = int(cross.argmax())
    lag = lag - size if lag > len(found) else lag
    found, wanted = found[max(0, lag) :], wanted[max(0, -lag) :]
    common = min(len(found), len(wanted))
    return float(np.corrcoef(found[:common], wanted[:common])[0, 1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("containers")


@pytest.mark.parametrize(("kind", "damage"), product(KINDS, DAMAGES), ids=str)
def test_every_container_and_damage_ends_as_right_sound_a_note_or_a_refusal(
    kind: Kind, damage: str, folder: Path
) -> None:
    found = read(kind, DAMAGES[damage](written(kind, folder)), folder)
    wanted = signal(RATES[kind.writer])
    if isinstance(found, str):
        assert TRUE_REASONS[damage](found) or found == kind.lost != "", found
        return
    short = (len(wanted) - len(found.samples)) / RATES[kind.writer]
    if damage == "cut at 40 %":
        assert {notes.UNTOLD, notes.NO_LAST_PAGE} & set(found.notes)
        assert like(found.samples, wanted) > kind.alike - 0.01
    elif damage == "a file appended":
        half = len(found.samples) // 2
        assert abs(short + SECONDS) <= 2 * kind.delay + 0.04, "the second is there"
        assert like(found.samples[half:], wanted) > kind.alike - 0.01
        assert like(found.samples[:half], wanted) > kind.alike - 0.01
    elif damage == "without its last bytes":
        whole = read(kind, written(kind, folder), folder)
        lost = len(whole.samples) - len(found.samples)
        assert kind.noted or lost <= 7, "no more than these bytes hold"
        assert like(found.samples, wanted) > kind.alike
    else:
        assert damage not in ("zero length", "cut in the header")
        assert found.notes == ([notes.UNTOLD] if kind.noted else [])
        assert -kind.delay - 0.04 * kind.noted <= short <= kind.delay
        if damage == "one damaged block":
            assert not kind.sums
            assert like(found.samples, wanted) > 0.6
        else:
            assert like(found.samples, wanted) > kind.alike


def _out_of_scale(reason: str) -> bool:
    """Foreign bytes taken for floating-point numbers."""
    return "holds damaged samples" in reason or "holds NaN" in reason


TRUE_REASONS: dict[str, Callable[[str], bool]] = {
    "whole": lambda _reason: False,
    "cut at 40 %": lambda reason: "truncated" in reason,
    # of ALAC in CAF the table of packets comes last, without which nothing is
    "without its last bytes": lambda reason: "truncated" in reason or "is not audio" in reason,
    "cut in the header": lambda reason: (
        "truncated" in reason or "is not audio" in reason or "lasts 0.000 s" in reason
    ),
    "one damaged block": lambda reason: (
        "is damaged" in reason
        or "is truncated" in reason
        or _out_of_scale(reason)
        or "changes at 0." in reason
    ),
    "bytes appended": lambda reason: (
        "is damaged or truncated at" in reason
        or "changes at" in reason
        or "holds more than its header promises" in reason
        or _out_of_scale(reason)
    ),
    "a file appended": lambda reason: (
        "several" in reason
        or _out_of_scale(reason)
        or "holds more than its header promises" in reason
    ),
    "zero length": lambda reason: reason == "the file is empty (0 bytes)",
}


def _with_length(kind: Kind, data: bytes, change: Callable[[int], int]) -> bytes:
    """The file with another number in place of the length of its sound, without what it counts."""
    assert kind.length is not None
    mark, form = kind.length
    at = data.index(mark) + len(mark)
    width = struct.calcsize(form)
    number = struct.calcsize(form[0] + form[-1])
    (length,) = struct.unpack_from(form, data, at)
    changed = struct.pack(form[0] + form[-1], change(length - kind.counted) + kind.counted)
    return data[: at + width - number] + changed + data[at + width :]


COUNTED = [kind for kind in KINDS if kind.length is not None]


@pytest.mark.parametrize("kind", COUNTED, ids=str)
def test_a_length_that_counts_the_header_is_no_harm(kind: Kind, folder: Path) -> None:
    whole = read(kind, written(kind, folder), folder)
    for more in (1, 20, 44):
        found = read(
            kind, _with_length(kind, written(kind, folder), lambda n, m=more: n + m), folder
        )
        np.testing.assert_array_equal(found.samples, whole.samples)
        assert found.notes == []


@pytest.mark.parametrize("kind", COUNTED, ids=str)
def test_with_a_length_of_zero_everything_is_read_and_said(kind: Kind, folder: Path) -> None:
    whole = read(kind, written(kind, folder), folder)
    found = read(kind, _with_length(kind, written(kind, folder), lambda _: 0), folder)
    np.testing.assert_array_equal(found.samples, whole.samples)
    assert found.notes == [notes.NO_LENGTH]


@pytest.mark.parametrize("kind", COUNTED, ids=str)
def test_a_length_that_is_wrong_otherwise_is_refused(kind: Kind, folder: Path) -> None:
    half = read(kind, _with_length(kind, written(kind, folder), lambda n: n // 2), folder)
    assert "holds more than its header promises" in half
    for less in (100, 2000):
        shorter = read(
            kind, _with_length(kind, written(kind, folder), lambda n, m=less: n - m), folder
        )
        assert "holds more than its header promises" in shorter
    longer = read(kind, _with_length(kind, written(kind, folder), lambda n: n + 2000), folder)
    assert "is truncated" in longer


@pytest.mark.parametrize(
    "behind",
    [b"LIST\x04\0\0\0abcd", b"TAG" + bytes(125), bytes(40_000), b"LIST" + b"\x88\x13\0\0" * 1251],
    ids=["a chunk", "a tag", "padding", "a chunk of 5000 bytes"],
)
@pytest.mark.parametrize("odd", [0, 1])
def test_what_writers_leave_behind_the_sound_is_no_harm(
    behind: bytes, odd: int, tmp_path: Path
) -> None:
    """Behind an odd number of bytes, too, though it ought to begin at an even one."""
    wanted = signal(16000)[: 16000 - odd]
    soundfile.write(tmp_path / "a.wav", wanted, 16000, subtype="PCM_U8")
    data = (tmp_path / "a.wav").read_bytes()
    end = data.index(b"data") + 8 + len(wanted)
    found = read(Kind("soundfile", "WAV", "PCM_U8"), data[:end] + behind, tmp_path)
    assert found.samples.shape == wanted.shape
    assert like(found.samples, wanted) > 0.99
    assert found.notes == []


MAGIC = [b"RIFF", b"RIFX", b"RF64", b"FORM", b"riff", b"caff", b".snd", b"NIST", b"OggS", b"fLaC"]


@settings(max_examples=300)
@given(
    magic=st.sampled_from([*MAGIC, b"\0\0\0\x20ftyp", b"ID3\x04"]),
    parts=st.lists(
        st.sampled_from([b"data", b"fmt ", b"ds64", b"SSND", b"WAVE", b"AIFF", b"fLaC\0\0\0\x22"])
        | st.integers(0, 2**32 - 1).map(lambda n: struct.pack("<I", n))
        | st.integers(0, 300).map(lambda n: struct.pack(">I", n))
        | st.binary(max_size=40),
        max_size=12,
    ),
)
def test_any_bytes_behind_a_known_beginning_are_read_or_refused(
    magic: bytes, parts: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(magic + b"".join(parts))
    with contextlib.suppress(ClipError):
        reading(path, lambda stream: list(stream.blocks))
