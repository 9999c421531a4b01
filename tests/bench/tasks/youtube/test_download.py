"""The first seconds of a video's sound come to disk whole or not at all, whatever servers do."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from bench.audio.decode import load
from bench.errors import StorageError
from bench.tasks.youtube.client import Client, Options
from bench.tasks.youtube.download import Stored, download
from bench.tasks.youtube.links import Found
from bench.tasks.youtube.site import described
from bench.tasks.youtube.statuses import FINAL, ItemError, Stopped
from tests.loopback.media import SUFFIXES, Kind, encoded, picture, shifted
from tests.loopback.server import Answer, Server
from tests.loopback.site import LoopbackSite, LoopbackVideo

ID = "abcdefghijk"
LONG = encoded("webm", 40.0, seed=1)
SHORT = encoded("webm", 5.0, seed=2)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def fetch(
    server: Server,
    folder: Path,
    options: Options,
    video: LoopbackVideo,
    stop: threading.Event | None = None,
) -> Stored:
    site = LoopbackSite(server, [video], options=options, stop=stop)
    return download(site.describe(ID), folder / f"{ID}.mka", site.client())


def stored(
    server: Server, folder: Path, answer: Answer, options: Options, **video: object
) -> Stored:
    server.answers["/sound"] = answer
    return fetch(server, folder, options, replace(LoopbackVideo(ID, "/sound"), **video))


def refused(
    server: Server, folder: Path, answer: Answer, options: Options, **video: object
) -> ItemError:
    with pytest.raises(ItemError) as caught:
        stored(server, folder, answer, options, **video)
    assert not (folder / f"{ID}.mka").exists()
    return caught.value


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", SUFFIXES)
@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no-ranges"])
def test_the_first_seconds_are_kept_as_they_are(
    server: Server, tmp_path: Path, kind: Kind, ranges: bool
) -> None:
    whole = encoded(kind, 12.0, title="REMOTE-TITLE")
    answer = Answer(whole, ranges=ranges)
    video = {"suffix": SUFFIXES[kind], "duration": 12.0}
    kept = stored(server, tmp_path, answer, Options(seconds=3), **video)
    path = tmp_path / f"{ID}.mka"
    assert kept.bytes == path.stat().st_size
    assert b"REMOTE-TITLE" not in path.read_bytes()
    assert b"REMOTE-TITLE" in whole
    audio = load(path)
    assert len(audio.samples) / audio.rate == pytest.approx(3.0, abs=0.07)
    assert kept.seconds == pytest.approx(3.0, abs=0.07)
    assert names(tmp_path) == [path.name]
    with av.open(str(path)) as container:
        assert container.format.name.startswith("matroska")
        assert container.streams.audio[0].codec_context.codec.canonical_name == kept.codec
    again = stored(server, tmp_path / "again", answer, Options(seconds=3), **video)
    assert again.sha256 == kept.sha256


@pytest.mark.parametrize("kind", SUFFIXES)
def test_all_of_a_shorter_sound_is_kept(server: Server, tmp_path: Path, kind: Kind) -> None:
    video = {"suffix": SUFFIXES[kind], "duration": 2.0}
    kept = stored(server, tmp_path, Answer(encoded(kind, 2.0)), Options(seconds=3), **video)
    assert kept.seconds == pytest.approx(2.0, abs=0.15)


def test_what_is_kept_is_what_was_sent(server: Server, tmp_path: Path) -> None:
    wave = encoded("wav", 6.0, seed=3)
    stored(server, tmp_path, Answer(wave), Options(seconds=2), suffix="wav", duration=6.0)
    (tmp_path / "whole.wav").write_bytes(wave)
    kept, sent = load(tmp_path / f"{ID}.mka").samples, load(tmp_path / "whole.wav").samples
    assert np.array_equal(kept, sent[: len(kept)])


def test_no_more_than_the_beginning_is_asked_for(server: Server, tmp_path: Path) -> None:
    whole = encoded("wav", 60.0)
    kept = stored(server, tmp_path, Answer(whole), Options(seconds=4), kbps=256.0, suffix="wav")
    assert kept.received <= server.sent("/sound") < len(whole) / 5


def test_a_wrong_estimate_is_made_up_for_without_fetching_twice(
    server: Server, tmp_path: Path
) -> None:
    whole = encoded("wav", 20.0)
    kept = stored(server, tmp_path, Answer(whole), Options(seconds=15), kbps=1.0, suffix="wav")
    assert kept.seconds == pytest.approx(15.0, abs=0.07)
    assert len(server.requests("/sound")) > 1
    assert kept.received <= server.sent("/sound") <= len(whole)


def test_an_index_at_the_end_is_waited_for(server: Server, tmp_path: Path) -> None:
    whole = encoded("m4a-index-at-end", 40.0)
    kept = stored(server, tmp_path, Answer(whole), Options(seconds=3), suffix="m4a", kbps=32.0)
    assert kept.received == len(whole) == server.sent("/sound")
    assert kept.seconds == pytest.approx(3.0, abs=0.07)


def test_an_index_at_the_end_of_too_large_a_file_is_not_waited_for(
    server: Server, tmp_path: Path
) -> None:
    whole = encoded("m4a-index-at-end", 40.0)
    options = Options(seconds=3, megabytes=0.1)
    video = {"suffix": "m4a", "size": len(whole), "duration": 40.0}
    assert refused(server, tmp_path, Answer(whole), options, **video).status == "too large"
    assert names(tmp_path) == []


def test_a_server_without_ranges_is_left_once_enough_came(server: Server, tmp_path: Path) -> None:
    whole = encoded("wav", 120.0)
    answer = Answer(whole, ranges=False, rate=2e6)
    kept = stored(server, tmp_path, answer, Options(seconds=2), suffix="wav", kbps=256.0)
    assert kept.received < len(whole) / 10
    assert server.sent("/sound") < len(whole)


def test_an_endless_stream_ends_when_enough_came(server: Server, tmp_path: Path) -> None:
    whole = encoded("mp3", 4.0)
    tag = 10 + sum(byte << 7 * (3 - place) for place, byte in enumerate(whole[6:10]))
    answer = Answer(whole[tag:], endless=True)
    kept = stored(server, tmp_path, answer, Options(seconds=10), suffix="mp3", duration=None)
    assert kept.seconds == pytest.approx(10.0, abs=0.2)


def test_an_endless_stream_of_too_little_sound_is_too_large(server: Server, tmp_path: Path) -> None:
    answer = Answer(encoded("mp3", 4.0), endless=True)
    options = Options(seconds=60, megabytes=0.05)
    error = refused(server, tmp_path, answer, options, suffix="mp3", duration=None)
    assert error.status == "too large"
    assert not error.passing
    assert names(tmp_path) == []


@pytest.mark.parametrize("slow_head", [False, True], ids=["body", "headers"])
def test_a_server_that_drips_ends_by_the_time_limit(
    server: Server, tmp_path: Path, slow_head: bool
) -> None:
    answer = Answer(SHORT, rate=20, slow_head=slow_head)
    begun = time.monotonic()
    error = refused(server, tmp_path, answer, Options(seconds=3, timeout=0.4))
    assert error.status == "too slow"
    assert "too slow" not in FINAL
    assert time.monotonic() - begun < 3


def test_what_came_too_slowly_is_gone_on_from(server: Server, tmp_path: Path) -> None:
    answer = Answer(SHORT, rate=30_000)
    options = Options(seconds=5, timeout=0.7)
    assert refused(server, tmp_path, answer, options, duration=5.0).status == "too slow"
    (part,) = tmp_path.iterdir()
    came = part.stat().st_size
    assert part.name.startswith(f"{ID}.part-")
    kept = stored(server, tmp_path, replace(answer, rate=None), Options(seconds=5), duration=5.0)
    assert kept.received == len(SHORT) - came
    assert server.requests("/sound")[1].range.startswith(f"bytes={came}-")
    assert names(tmp_path) == [f"{ID}.mka"]


def test_a_web_page_is_not_audio_whatever_its_type_says(server: Server, tmp_path: Path) -> None:
    page = b"<!doctype html><title>Sorry</title>" + b"<p>not here</p>" * 50
    error = refused(server, tmp_path, Answer(page, kind="audio/webm"), Options(seconds=3))
    assert (error.status, error.passing) == ("not audio", False)
    assert names(tmp_path) == []


def test_sound_is_sound_whatever_its_type_says(server: Server, tmp_path: Path) -> None:
    answer = Answer(encoded("mp3", 4.0), kind="text/html")
    assert stored(server, tmp_path, answer, Options(seconds=3), suffix="webm").codec == "mp3"


def test_an_endless_web_page_is_given_up(server: Server, tmp_path: Path) -> None:
    answer = Answer(b"<p>not here</p>" * 5000, endless=True)
    error = refused(server, tmp_path, answer, Options(seconds=3))
    assert error.status == "not audio"


def test_a_playlist_opens_nothing(server: Server, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(encoded("wav", 4.0))
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:4", "#EXTINF:4,", f"{tmp_path}/secret.wav"]
    playlist = "\n".join([*lines, server.url("/secret"), "#EXT-X-ENDLIST", ""]).encode()
    error = refused(server, tmp_path, Answer(playlist), Options(seconds=3))
    assert error.status == "not audio"
    assert server.requests("/secret") == []


def test_a_picture_without_sound_is_not_audio(server: Server, tmp_path: Path) -> None:
    error = refused(server, tmp_path, Answer(picture()), Options(seconds=3))
    assert error.status == "not audio"


def test_digital_silence_is_no_sound(server: Server, tmp_path: Path) -> None:
    silence = encoded("wav", samples=np.zeros(4 * 16_000, np.float32))
    error = refused(server, tmp_path, Answer(silence), Options(seconds=3), suffix="wav")
    assert error.status == "no sound"
    assert names(tmp_path) == []


def test_a_gap_is_not_taken_for_sound(server: Server, tmp_path: Path) -> None:
    sparse = shifted(SHORT, "webm", lambda begins: begins + 60 * (begins > 2))
    error = refused(server, tmp_path, Answer(sparse), Options(seconds=30), duration=65.0)
    assert error.status == "failed"
    assert "5.0 of 30.0 seconds" in str(error)


def test_gaps_are_left_out_of_what_is_kept(server: Server, tmp_path: Path) -> None:
    sparse = shifted(LONG, "webm", lambda begins: begins + 3 * (begins > 2))
    kept = stored(server, tmp_path, Answer(sparse), Options(seconds=6), duration=43.0)
    assert kept.seconds == pytest.approx(6.0, abs=0.07)
    audio = load(tmp_path / f"{ID}.mka")
    assert len(audio.samples) / audio.rate == pytest.approx(6.0, abs=0.07)
    whole = stored(server, tmp_path / "whole", Answer(LONG), Options(seconds=6), duration=40.0)
    assert whole.seconds == kept.seconds


def test_packets_that_hold_less_than_they_say_are_not_audio(server: Server, tmp_path: Path) -> None:
    stretched = shifted(encoded("m4a", 4.0), "mp4", lambda begins: begins * 10)
    video = {"suffix": "m4a", "duration": 40.0}
    error = refused(server, tmp_path, Answer(stretched), Options(seconds=30), **video)
    assert (error.status, error.passing) == ("not audio", False)


def test_what_yt_dlp_stumbles_over_ends_one_video(server: Server, tmp_path: Path) -> None:
    here = Client(LoopbackSite.hosts, Options(seconds=3))
    long_label = f"http://{'a' * 70}.127.0.0.1/x"
    for odd in ({"acodec": 3}, {"url": 5}, {"url": long_label}):
        sound = offered(server, {"url": "/x"})
        sound.info["formats"][0].update(odd)
        with pytest.raises(ItemError, match="Error: ") as caught:
            download(sound, tmp_path / "x.mka", here)
        assert (caught.value.status, caught.value.passing) == ("failed", False)


def test_bugs_of_our_own_within_yt_dlp_are_not_hidden(server: Server, tmp_path: Path) -> None:
    # a number that is none, used where yt-dlp calls back
    with pytest.raises(TypeError) as caught:
        stored(
            server, tmp_path, Answer(LONG), replace(Options(seconds=30), megabytes="5"), kbps=1.0
        )
    called = [entry.name for entry in caught.traceback]
    assert called.index("download") < called.index("_on_progress")


def test_a_length_that_is_too_short_fails_for_this_time(server: Server, tmp_path: Path) -> None:
    answer = Answer(SHORT, ranges=False, excess=-len(SHORT) // 2)
    error = refused(server, tmp_path, answer, Options(seconds=60), duration=5.0)
    assert (error.status, error.passing) == ("failed", False)
    assert "of 5.0 seconds" in str(error)


def test_a_connection_that_breaks_is_gone_on_from(server: Server, tmp_path: Path) -> None:
    answer = Answer(LONG, break_after=50_000, times=2)
    options = Options(seconds=30, attempts=4, backoff=0.01)
    kept = stored(server, tmp_path, answer, options, duration=40.0)
    assert kept.seconds == pytest.approx(30.0, abs=0.05)
    assert server.sent("/sound") <= len(LONG)
    asked = [one.range.partition("-")[0] for one in server.requests("/sound")]
    assert asked[:3] == ["bytes=0", "bytes=50000", "bytes=100000"]


def test_a_connection_that_always_breaks_is_given_up_and_gone_on_from_by_the_next_run(
    server: Server, tmp_path: Path
) -> None:
    answer = Answer(LONG, break_after=20_000)
    options = Options(seconds=30, attempts=2, backoff=0.01)
    error = refused(server, tmp_path, answer, options, duration=40.0)
    assert (error.status, error.passing) == ("failed", False)
    answer.break_after = None
    kept = stored(server, tmp_path, answer, options, duration=40.0)
    assert kept.seconds == pytest.approx(30.0, abs=0.05)
    assert server.requests("/sound")[2].range.startswith("bytes=40000-")


def test_a_server_that_always_begins_anew_is_given_up(server: Server, tmp_path: Path) -> None:
    answer = Answer(LONG, ranges=False, break_after=20_000)
    options = Options(seconds=30, attempts=3, backoff=0.01)
    error = refused(server, tmp_path, answer, options, duration=40.0)
    assert (error.status, error.passing) == ("failed", False)
    assert len(server.requests("/sound")) == 3


@pytest.mark.parametrize(
    ("status", "expected", "passing"),
    [
        (403, "failed", True),
        (404, "unavailable", False),
        (410, "unavailable", False),
        (429, "blocked", True),
        (500, "failed", False),
        (503, "failed", False),
        (451, "geo-blocked", False),
        (400, "failed", False),
    ],
)
def test_what_http_says_is_told_apart(
    server: Server, tmp_path: Path, status: int, expected: str, passing: bool
) -> None:
    answer = Answer(status=status, headers={"Retry-After": "7"})
    error = refused(server, tmp_path, answer, Options(seconds=3, attempts=2, backoff=0.01))
    assert (error.status, error.passing) == (expected, passing)
    assert error.retry_after == (7.0 if status == 429 else None)
    assert len(server.requests("/sound")) == (2 if status in (500, 503) else 1)
    assert str(status) in str(error)


def test_a_redirect_to_the_sound_is_followed(server: Server, tmp_path: Path) -> None:
    server.answers["/there"] = Answer(SHORT)
    assert stored(server, tmp_path, Answer(location="/there"), Options(seconds=3)).codec == "opus"


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "http://localhost:9/x", "http://169.254.169.254/x"]
)
def test_a_redirect_elsewhere_is_refused(server: Server, tmp_path: Path, location: str) -> None:
    error = refused(server, tmp_path, Answer(location=location), Options(seconds=3))
    assert (error.status, error.passing) == ("refused", False)


def test_a_redirect_in_a_circle_fails(server: Server, tmp_path: Path) -> None:
    error = refused(server, tmp_path, Answer(location="/sound"), Options(seconds=3))
    assert (error.status, error.passing) == ("failed", False)


def test_nobody_at_the_address_fails_for_this_time(tmp_path: Path) -> None:
    with Server() as server:
        server.answers["/sound"] = Answer(SHORT)
        options = Options(attempts=2, backoff=0.01)
        site = LoopbackSite(server, [LoopbackVideo(ID, "/sound")], options=options)
        sound = site.describe(ID)
    with pytest.raises(ItemError, match="refused") as caught:
        download(sound, tmp_path / "x.mka", site.client())
    assert caught.value.status == "failed"


def test_an_empty_answer_fails_for_this_time(server: Server, tmp_path: Path) -> None:
    error = refused(server, tmp_path, Answer(b"", ranges=False), Options(seconds=3, attempts=1))
    assert error.status == "failed"
    error = refused(server, tmp_path, Answer(b""), Options(seconds=3, attempts=1))
    assert (error.status, str(error)) == ("failed", "the server sent nothing")


def test_a_stop_ends_a_download_at_once_and_the_next_goes_on(
    server: Server, tmp_path: Path
) -> None:
    server.answers["/sound"] = Answer(LONG, rate=100_000)
    video = LoopbackVideo(ID, "/sound", duration=40.0)
    stop = threading.Event()
    timer = threading.Timer(0.5, stop.set)
    timer.start()
    begun = time.monotonic()
    with pytest.raises(Stopped):
        fetch(server, tmp_path, Options(seconds=30), video, stop)
    assert time.monotonic() - begun < 2
    came = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert came > 0
    server.answers["/sound"] = Answer(LONG)
    kept = fetch(server, tmp_path, Options(seconds=30), video, threading.Event())
    assert kept.seconds == pytest.approx(30.0, abs=0.05)
    assert server.requests("/sound")[1].range.startswith(f"bytes={came}-")


def test_another_size_of_the_same_format_begins_anew(server: Server, tmp_path: Path) -> None:
    broken = Answer(LONG, break_after=30_000)
    options = Options(seconds=30, attempts=1)
    refused(server, tmp_path, broken, options, duration=40.0, size=len(LONG))
    other = encoded("webm", 40.0, seed=9)
    kept = stored(
        server, tmp_path, Answer(other), Options(seconds=30), duration=40.0, size=len(other) + 1
    )
    fresh = stored(server, tmp_path / "fresh", Answer(other), Options(seconds=30), duration=40.0)
    assert kept.sha256 == fresh.sha256
    assert names(tmp_path) == [f"{ID}.mka", "fresh"]


def test_a_part_that_is_no_beginning_is_thrown_away(server: Server, tmp_path: Path) -> None:
    broken = Answer(LONG, break_after=30_000)
    refused(server, tmp_path, broken, Options(seconds=30, attempts=1), duration=40.0)
    (part,) = tmp_path.iterdir()
    part.write_bytes(b"\0" * 200_000)
    error = refused(server, tmp_path, Answer(LONG), Options(seconds=30), duration=40.0)
    assert (error.status, error.passing) == ("failed", True)
    kept = stored(server, tmp_path, Answer(LONG), Options(seconds=30), duration=40.0)
    assert kept.seconds == pytest.approx(30.0, abs=0.05)


def test_a_part_that_holds_everything_already_is_kept(server: Server, tmp_path: Path) -> None:
    answer = Answer(SHORT[: len(SHORT) // 2])
    refused(server, tmp_path, answer, Options(seconds=30), duration=5.0)
    (part,) = tmp_path.iterdir()
    part.write_bytes(SHORT)
    kept = stored(server, tmp_path, Answer(SHORT), Options(seconds=30), duration=5.0)
    assert [one.status for one in server.requests("/sound")][-2:] == [416, 416]
    assert (kept.received, kept.seconds) == (0, pytest.approx(5.0, abs=0.05))


def test_names_never_come_from_the_site(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    server.answers["/sound"] = Answer(
        SHORT, headers={"Content-Disposition": 'attachment; filename="../../evil.mka"'}
    )
    title = "../../../evil/$(touch evil) %(id)s \x1b[31m"
    fetch(server, folder, Options(seconds=3), LoopbackVideo(ID, "/sound", title=title))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [folder / f"{ID}.mka"]


def test_a_folder_that_is_a_file_is_a_storage_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "audio").write_bytes(b"in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        stored(server, tmp_path / "audio", Answer(SHORT), Options(seconds=3))


CHILD = """
import sys
from pathlib import Path
from bench.tasks.youtube.client import Client, Hosts, Options
from bench.tasks.youtube.download import download
from bench.tasks.youtube.site import described
url, target = sys.argv[1:]
sound = {"format_id": "251", "url": url, "ext": "webm", "protocol": "http", "acodec": "opus",
         "vcodec": "none", "abr": 32.0}
info = {"id": "abcdefghijk", "title": "x", "duration": 40.0, "formats": [sound]}
here = Hosts(frozenset({"127.0.0.1"}), frozenset({"http"}))
download(described("abcdefghijk", info), Path(target), Client(here, Options(seconds=30)))
"""


def child(server: Server, folder: Path, **more: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, server.url("/sound"), str(folder / f"{ID}.mka")],
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def test_what_came_before_a_kill_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    server.answers["/sound"] = Answer(LONG, rate=100_000)
    process = child(server, tmp_path)
    deadline = time.monotonic() + 30
    while sum(path.stat().st_size for path in tmp_path.iterdir()) < 40_000:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / f"{ID}.mka").exists()
    (part,) = tmp_path.iterdir()
    came = part.stat().st_size
    kept = stored(server, tmp_path, Answer(LONG), Options(seconds=30), duration=40.0)
    assert kept.seconds == pytest.approx(30.0, abs=0.05)
    assert server.requests("/sound")[1].range.startswith(f"bytes={came}-")
    assert names(tmp_path) == [f"{ID}.mka"]


def test_a_full_disk_is_a_storage_error_and_finished_files_stay(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "earlier.mka").write_bytes(SHORT)
    server.answers["/sound"] = Answer(LONG)

    def limit() -> None:
        # a write beyond this fails as one on a full disk does, with EFBIG
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    process = child(server, tmp_path, preexec_fn=limit)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.strip().splitlines()[-1].startswith("bench.errors.StorageError: ")
    assert "cannot be written (File too large): free some space" in said
    assert (tmp_path / "earlier.mka").read_bytes() == SHORT
    assert not (tmp_path / f"{ID}.mka").exists()


def offered(server: Server, *formats: dict[str, object], duration: float = 20.0) -> Found:
    common = {"ext": "webm", "protocol": "http", "acodec": "opus", "vcodec": "none"}
    return described(
        ID,
        {
            "id": ID,
            "title": "x",
            "duration": duration,
            "formats": [
                {"format_id": str(one["url"]), **common, **one, "url": server.url(str(one["url"]))}
                for one in formats
            ],
        },
    )


def test_the_best_sound_alone_is_chosen_else_the_smallest_with_sound(
    server: Server, tmp_path: Path
) -> None:
    here = Client(LoopbackSite.hosts, Options(seconds=3))
    for path in ("/low", "/high", "/small", "/big", "/playlist"):
        server.answers[path] = Answer(SHORT)
    pictured = {"vcodec": "vp9", "ext": "webm"}
    small = {"url": "/small", "tbr": 200.0, "height": 144, **pictured}
    big = {"url": "/big", "tbr": 900.0, "height": 720, **pictured}
    low, high = {"url": "/low", "abr": 48.0}, {"url": "/high", "abr": 130.0}
    playlist = {"url": "/playlist", "abr": 200.0, "protocol": "m3u8_native"}
    download(offered(server, big, low, playlist, high), tmp_path / "a.mka", here)
    download(offered(server, playlist, small, big), tmp_path / "b.mka", here)
    assert [one.path for one in server.seen] == ["/high", "/small"]


def test_protocols_that_run_other_programs_are_never_chosen(server: Server, tmp_path: Path) -> None:
    sound = offered(server, {"url": "/x", "protocol": "rtmp"}, {"url": "/y", "protocol": "m3u8"})
    with pytest.raises(ItemError) as caught:
        download(sound, tmp_path / "x.mka", Client(LoopbackSite.hosts, Options()))
    # with another program there might be sound
    assert caught.value.status == "failed"


def test_sound_in_fragments_is_put_together(server: Server, tmp_path: Path) -> None:
    pieces = tmp_path / "pieces"
    pieces.mkdir()
    (pieces / "whole.m4a").write_bytes(encoded("m4a", 20.0))
    how = {"hls_time": "2", "hls_list_size": "0"}
    with (
        av.open(str(pieces / "whole.m4a")) as whole,
        av.open(str(pieces / "list.m3u8"), "w", format="hls", options=how) as output,
    ):
        copy = output.add_stream_from_template(whole.streams.audio[0])
        for packet in whole.demux(whole.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = copy
                output.mux(packet)
    server.answers = {f"/{path.name}": Answer(path.read_bytes()) for path in pieces.iterdir()}
    sound = offered(
        server, {"url": "/list.m3u8", "protocol": "m3u8_native", "ext": "mp4", "abr": 8.0}
    )
    folder = tmp_path / "audio"
    here = Client(LoopbackSite.hosts, Options(seconds=5))
    kept = download(sound, folder / f"{ID}.mka", here)
    assert (kept.codec, kept.seconds) == ("aac", pytest.approx(5.0, abs=0.07))
    assert "/list9.ts" in server.answers
    assert not server.requests("/list9.ts")
    assert names(folder) == [f"{ID}.mka"]
