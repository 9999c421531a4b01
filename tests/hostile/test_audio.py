"""Audio files and scans from strangers: read as sound alone, or one reason, in seconds."""

from __future__ import annotations

import os
import sqlite3
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from backbones import reading as bounds
from bench.audio import index, recordings
from bench.audio.decode import inspected, load, resampled
from bench.audio.index import ScanResult, scan
from bench.audio.stream import BLOCK, reading
from bench.clips import Clip
from bench.errors import ClipError, StorageError
from tests.hostile.conftest import Put, refused


def noise(seconds: float = 0.5, rate: int = 16000) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32)


def wav(path: Path, samples: np.ndarray | None = None, rate: int = 16000) -> Path:
    soundfile.write(path, noise() if samples is None else samples, rate, format="WAV")
    return path


def mp4(path: Path) -> bytes:
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("alac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(noise()[None], format="fltp", layout="mono")
        frame.sample_rate = 16000
        fitted = av.AudioResampler(stream.format.name, "mono", 16000, stream.frame_size)
        for block in [*fitted.resample(frame), *fitted.resample(None), None]:
            out.mux(stream.encode(block))
    return path.read_bytes()


def refusal(path: Path) -> str:
    return refused(ClipError, reading, path, inspected)


CONCAT = "ffconcat version 1.0\nfile good.wav\n"
HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{folder}/good.wav\n"
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
    "<Period><AdaptationSet><Representation><BaseURL>good.wav</BaseURL></Representation>"
    "</AdaptationSet></Period></MPD>"
)
IMAGE = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108020000009077 53de")
SCRIPTS = {
    "script.wav": CONCAT,
    "script.ffconcat": CONCAT,
    "list.m3u8": HLS,
    "list.wav": HLS,
    "ended.m3u8": HLS + "#EXT-X-ENDLIST\n",
    "session.sdp": SDP,
    "session.wav": SDP,
    "manifest.mpd": DASH,
    "sine=f=440.wav": "sine=f=440",
    "lavfi": "anullsrc",
    "subtitles.wav": "1\n00:00:00,000 --> 00:00:01,000\nHello\n",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_only_leads_to_other_files_is_no_audio(name: str, tmp_path: Path) -> None:
    wav(tmp_path / "good.wav")
    path = tmp_path / name
    path.write_text(SCRIPTS[name].format(folder=tmp_path))
    assert refusal(path).startswith("is not audio that can be decoded")


def test_a_picture_named_like_a_series_is_no_audio(tmp_path: Path) -> None:
    for name in ("%03d.png", "001.png"):
        (tmp_path / name).write_bytes(IMAGE)
    assert refusal(tmp_path / "%03d.png").startswith("is not audio that can be decoded")


@pytest.mark.parametrize("name", ["concat:good.wav|good.wav", "data:audio", "subfile,,start,1,,:x"])
def test_a_name_is_never_an_address(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wav(tmp_path / "good.wav", noise(1.0))
    mp4(tmp_path / "plain.m4a")
    (tmp_path / "plain.m4a").rename(name)
    assert reading(Path(name), inspected).seconds == 0.5


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2**31 - 1])
def test_odd_sample_rates_are_refused_with_the_bounds(rate: int, tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 24, rate)
    path.write_bytes(data)
    with pytest.raises(ClipError, match="not between 1000 and 768000"):
        load(path)


@pytest.mark.parametrize("rate", [1_000, 768_000])
def test_the_bounds_themselves_are_read(rate: int, tmp_path: Path) -> None:
    assert load(wav(tmp_path / "a.wav", noise(0.5, rate), rate)).native_rate == rate


def test_resampling_makes_no_large_blocks() -> None:
    blocks = iter([np.zeros(BLOCK, np.float32)])
    assert max(map(len, resampled(blocks, 1_000, 192_000))) < 2 * BLOCK


@pytest.mark.parametrize("channels", [1025, 65535])
def test_more_channels_than_decoders_know_are_refused(channels: int, tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, 22, channels)
    struct.pack_into("<H", data, 32, (2 * channels) & 0xFFFF)
    path.write_bytes(data)
    assert refusal(path)


def test_a_clip_lasts_no_longer_than_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "LONGEST", 2)
    assert reading(wav(tmp_path / "a.wav", noise(2.0)), inspected).seconds == 2.0
    assert refusal(wav(tmp_path / "b.wav", noise(2.1))).startswith("lasts more than 2 s")
    soundfile.write(tmp_path / "c.flac", noise(2.1), 16000)
    assert refusal(tmp_path / "c.flac").startswith("lasts more than 2 s")


def test_a_few_bytes_do_not_unpack_to_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_SAMPLES", 1 << 20)
    monkeypatch.setattr(bounds, "MOST_SAMPLES_PER_BYTE", 10)
    path = tmp_path / "a.flac"
    with soundfile.SoundFile(path, "w", 655_350, 8, "PCM_16", format="FLAC") as file:
        file.write(np.tile(noise(0.01, 655_350)[:, None], 8))
        for _ in range(20):
            file.write(np.zeros((65536, 8), np.int16))
    assert path.stat().st_size < 200_000
    assert refusal(path).startswith("unpacks to more than")


PARTS: dict[str, bytes] = {
    "RIFF": b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 500_001,
    "FORM": b"FORM\0\0\0\0AIFF" + b"junk\0\0\0\0" * 500_001,
    "caff": b"caff\0\1\0\0" + b"junk\0\0\0\0\0\0\0\0" * 500_001,
    "MP4": b"\0\0\0\x10ftypM4A \0\0\0\0" + b"\0\0\0\x08free" * 500_001,
}


@pytest.mark.parametrize("name", PARTS)
def test_a_walk_over_empty_chunks_ends(name: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(PARTS[name])
    assert refusal(tmp_path / "a").startswith("consists of more than 500000 chunks")


def _page(serial: int, number: int, flags: int) -> bytes:
    reverse = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, 0, serial, number, 0, 0)
    plain = zlib.crc32(head.translate(reverse), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return head[:22] + struct.pack("<I", int(f"{plain:032b}"[::-1], 2)) + head[26:]


def test_a_stream_for_each_page_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.ogg").write_bytes(b"".join(_page(serial, 0, 2) for serial in range(100)))
    assert refusal(tmp_path / "a.ogg").startswith("holds more than 64 streams")


def test_an_index_of_mp4_that_promises_more_than_the_file_is_refused(tmp_path: Path) -> None:
    data = bytearray(mp4(tmp_path / "a.m4a"))
    at = data.index(b"stsz") + 8
    struct.pack_into(">II", data, at, 1, 150_000_000)
    (tmp_path / "a.m4a").write_bytes(data)
    assert refusal(tmp_path / "a.m4a").startswith("is truncated: 150000000 bytes promised")


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


@pytest.mark.parametrize("way", ["another version", "another beginning", "fragments"])
def test_no_table_of_mp4_is_out_of_sight(way: str, tmp_path: Path) -> None:
    data = bytearray(mp4(tmp_path / "a.m4a"))
    at = data.index(b"stsz")
    if way == "fragments":
        run = box(b"trun", struct.pack(">II", 0, 150_000_000))
        data += box(b"moof", box(b"traf", run))
    else:
        struct.pack_into(">II", data, at + 8, 1, 150_000_000)
    if way == "another version":
        data[at + 4] = 1
    if way == "another beginning":
        data = bytearray(box(b"free", b"")) + data
    (tmp_path / "a.m4a").write_bytes(data)
    assert refusal(tmp_path / "a.m4a").startswith("is truncated: 150000000 bytes promised")


def test_pictures_in_a_file_are_not_looked_at(tmp_path: Path) -> None:
    """Ten covers of 64 million pixels each, in two megabytes."""
    samples = noise(3.0)[:48_000]
    soundfile.write(tmp_path / "plain.mp3", samples, 48_000, format="MP3")
    side = 8000
    rows = zlib.compress(bytes((1 + side * 4) * side), 9)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)),
        (b"IDAT", rows),
        (b"IEND", b""),
    ]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )
    frame = b"\0image/png\0\x03\0" + png
    frames = (b"APIC" + struct.pack(">IH", len(frame), 0) + frame) * 10
    size = bytes(len(frames) >> shift & 127 for shift in (21, 14, 7, 0))
    sound = (tmp_path / "plain.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(b"ID3\x03\0\0" + size + frames + sound)
    assert load(tmp_path / "a.mp3").samples.shape[0] == 16_000


@pytest.mark.parametrize(
    ("start", "count"), [(b" -99999", b"100"), (b"   1024", b"-100"), (b"   1024", b"9" * 500)]
)
def test_numbers_of_nist_headers_are_no_places_before_the_file(
    start: bytes, count: bytes, tmp_path: Path
) -> None:
    head = b"NIST_1A\n" + start + b"\nsample_count -i " + count
    head += b"\nchannel_count -i 1\nsample_n_bytes -i 2\nend_head\n"
    (tmp_path / "a").write_bytes(head.ljust(1024, b"\0") + bytes(100))
    assert refusal(tmp_path / "a")


def _scan(path: Path, folder: Path) -> ScanResult:
    clips = [Clip("good", wav(folder / "good.wav"), "a", "g"), Clip("odd", path, "a", "g")]
    return scan(clips, folder / "cache" / "audio.sqlite3")


def test_a_clip_that_is_no_file_is_left_out(no_file: Put, tmp_path: Path) -> None:
    no_file(tmp_path / "odd.wav")
    found = _scan(tmp_path / "odd.wav", tmp_path)
    assert [one.clip.id for one in found.usable] == ["good"]
    assert found.excluded[0].reason.startswith("cannot be read (")


def test_a_file_that_goes_between_hash_and_decoding_is_left_out_and_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = wav(tmp_path / "odd.wav", noise(0.3))
    data = path.read_bytes()
    hashed = index._hash_file

    def then_gone(one: Path) -> tuple[str, str]:
        digest = hashed(one)
        if one == path:
            path.unlink()
        return digest

    with monkeypatch.context() as patched:
        patched.setattr(index, "_hash_file", then_gone)
        found = _scan(path, tmp_path)
    assert found.excluded[0].reason == "cannot be read (No such file or directory)"
    path.write_bytes(data)
    assert len(_scan(path, tmp_path).usable) == 2


def test_many_copies_with_many_labels_give_short_reasons(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav")
    clips = [Clip(f"clip{i}", path, f"label{i}", "g") for i in range(200)]
    found = scan(clips, tmp_path / "audio.sqlite3")
    assert len(found.excluded) == 200
    assert max(len(one.reason) for one in found.excluded) < 300


FILES = (
    "CREATE TABLE files (file_sha256, decode_version, reading_version, decoders, pcm_sha256, "
    "seconds, channels, native_rate, notes, error, "
    "PRIMARY KEY (file_sha256, decode_version, reading_version, decoders))"
)
ENDLESS = (
    "CREATE VIEW files AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT i file_sha256, 1 decode_version, 3 reading_version, '' decoders, '' pcm_sha256, "
    "1 seconds, 1 channels, 1 native_rate, '[]' notes, '' error FROM n"
)
TRIGGER = (
    "CREATE TRIGGER t AFTER INSERT ON files BEGIN INSERT INTO files WITH RECURSIVE n(i) AS "
    "(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, 1, 1, 1, 1, 1, 1, 1, 1, 1 FROM n; END"
)
MEMORIES = {
    "endless view": [ENDLESS],
    "trigger": [FILES, TRIGGER],
    "other columns": ["CREATE TABLE files (a)"],
    "other table": ["CREATE TABLE bookmarks (a)"],
    "generated column": [FILES.replace("error,", "error, x AS (abs(-9223372036854775808)),", 1)],
}


@pytest.mark.parametrize("name", MEMORIES)
def test_a_memory_that_is_no_plain_table_is_begun_anew(name: str, tmp_path: Path) -> None:
    memory = tmp_path / "cache" / "audio.sqlite3"
    memory.parent.mkdir()
    with sqlite3.connect(memory) as file:
        for statement in MEMORIES[name]:
            file.execute(statement)
    file.close()
    assert len(_scan(wav(tmp_path / "odd.wav", noise(0.3)), tmp_path).usable) == 2
    with sqlite3.connect(memory) as file:
        assert file.execute("SELECT type, sql FROM sqlite_master WHERE sql NOTNULL").fetchall() == [
            ("table", FILES)
        ]


VALUES: dict[str, tuple[str, object]] = {
    "notes NULL": ("notes", None),
    "notes nested": ("notes", "[" * 5000),
    "notes numbers": ("notes", "[1]"),
    "seconds text": ("seconds", "abc"),
    "seconds inf": ("seconds", float("inf")),
    "seconds negative": ("seconds", -1.0),
    "seconds NULL": ("seconds", None),
    "channels text": ("channels", "x"),
    "channels many": ("channels", 2**62),
    "rate": ("native_rate", 1),
    "digest": ("pcm_sha256", "../../x"),
    "blob": ("pcm_sha256", bytes(64)),
    "error NULL": ("error", None),
    "error long": ("error", "x" * 100_000),
    "error larger": ("error", "x" * 5_000_000),
    "no UTF-8": ("error", sqlite3.Binary(b"\xff")),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_row_of_odd_values_is_computed_again(name: str, tmp_path: Path) -> None:
    column, value = VALUES[name]
    odd = wav(tmp_path / "odd.wav", noise(0.3))
    wanted = _scan(odd, tmp_path)
    with sqlite3.connect(tmp_path / "cache" / "audio.sqlite3") as file:
        cast = "CAST(? AS TEXT)" if name == "no UTF-8" else "?"
        file.execute(f"UPDATE files SET {column} = {cast}", (value,))
    file.close()
    assert _scan(odd, tmp_path) == wanted


@pytest.mark.parametrize("words", [b"abc", "abcd", None, 7])
def test_prints_of_odd_values_are_computed_again(words: object, tmp_path: Path) -> None:
    memory = tmp_path / "prints.sqlite3"
    clips = _scan(wav(tmp_path / "odd.wav", noise(0.3)), tmp_path).usable
    wanted = recordings.by_ear(clips, memory)
    with sqlite3.connect(memory) as file:
        file.execute("UPDATE prints SET words = ?", (words,))
    file.close()
    assert recordings.by_ear(clips, memory) == wanted


def _journal_naming(victim: Path, database: Path) -> bytes:
    """What SQLite plays back, and then removes the file that it names."""
    size = 4096
    page = database.read_bytes()[:size]
    magic = bytes.fromhex("d9d505f920a163d7")
    pages = database.stat().st_size // size
    head = (magic + struct.pack(">IIIII", 1, 1, pages, 512, size)).ljust(512, b"\0")
    check = (1 + sum(page[at] for at in range(size - 200, 0, -200))) & 0xFFFFFFFF
    name = os.fsencode(victim)
    end = struct.pack(">I", 0x40000000 // size + 1) + name
    end += struct.pack(">II", len(name), sum(name)) + magic
    return head + struct.pack(">I", 1) + page + struct.pack(">I", check) + end


def test_a_journal_that_names_another_file_removes_nothing(tmp_path: Path) -> None:
    odd = wav(tmp_path / "odd.wav", noise(0.3))
    wanted = _scan(odd, tmp_path)
    memory = tmp_path / "cache" / "audio.sqlite3"
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    journal = memory.with_name("audio.sqlite3-journal")
    journal.write_bytes(_journal_naming(victim, memory))
    assert _scan(odd, tmp_path) == wanted
    assert victim.read_text() == "precious"


def _link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def _pipe(path: Path, victim: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("suffix", ["", "-journal", "-wal"])
@pytest.mark.parametrize("put", [_link, _pipe])
def test_a_memory_is_not_written_through_links_nor_waited_for(
    put: Callable[[Path, Path], None], suffix: str, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    with sqlite3.connect(victim) as file:
        file.execute("CREATE TABLE bookmarks (a)")
    file.close()
    before = victim.read_bytes()
    (tmp_path / "cache").mkdir()
    put(tmp_path / "cache" / f"audio.sqlite3{suffix}", victim)
    with pytest.raises(StorageError, match=r"is a link|it is a pipe"):
        _scan(wav(tmp_path / "odd.wav", noise(0.3)), tmp_path)
    assert victim.read_bytes() == before
