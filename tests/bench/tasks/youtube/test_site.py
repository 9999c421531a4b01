"""Descriptions and searches are read as YouTube and yt-dlp give them, and end in time."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UserError
from bench.tasks.youtube.client import Options
from bench.tasks.youtube.links import Found, intact
from bench.tasks.youtube.site import YouTube, candidates, described
from bench.tasks.youtube.statuses import ItemError, Stopped
from tests.loopback.server import Answer, Server
from tests.loopback.site import LoopbackSite, LoopbackVideo, entry

WHOLE, OTHER, SECOND = "vJLZlCZ0hps", "wJLZlCZ0c-Q", "ouJLZlCZ0ts"
ID_TEXTS = st.from_regex(r"[A-Za-z0-9_-]{11}", fullmatch=True)
ID = "abcdefghijk"


def info(**more: object) -> dict[str, object]:
    sound = {"format_id": "251", "url": "https://x.googlevideo.com/", "acodec": "opus"}
    return {"id": ID, "title": " A title ", "duration": 12, "formats": [sound], **more}


def test_a_description_is_read() -> None:
    sound = described(ID, info(uploader="Someone", channel_id="UC1"))
    assert (sound.title, sound.channel, sound.channel_id) == ("A title", "Someone", "UC1")
    assert sound.duration == 12.0


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"live_status": "is_live"}, "live"),
        ({"live_status": "is_upcoming", "formats": []}, "live"),
        ({"live_status": "post_live"}, "live"),
        ({"is_live": True}, "live"),
        ({"formats": [{"acodec": "none", "vcodec": "vp9", "url": "x"}]}, "no sound"),
        ({"formats": None}, "failed"),
        ({"formats": []}, "failed"),
        ({"formats": [{"acodec": "none", "vcodec": "none", "protocol": "mhtml"}]}, "failed"),
        ({"formats": [{"acodec": "opus", "has_drm": True}]}, "unavailable"),
        ({"_type": "url"}, "unavailable"),
    ],
)
def test_what_has_no_sound_to_fetch_is_told_apart(more: dict[str, object], status: str) -> None:
    with pytest.raises(ItemError) as caught:
        described(ID, info(**more))
    assert caught.value.status == status


def test_sound_that_may_be_encrypted_is_worth_a_try() -> None:
    assert described(ID, info(formats=[{"acodec": "opus", "has_drm": "maybe"}])).id == ID


def test_what_was_live_can_be_fetched() -> None:
    assert described(ID, info(live_status="was_live")).id == ID


def test_an_id_that_is_none_is_never_asked_for() -> None:
    with pytest.raises(ItemError, match="is not the id"):
        YouTube().describe("../../etc/passwd")


def test_an_empty_title_finds_nothing() -> None:
    assert YouTube().search("  ") == ()


def test_without_youtube_a_question_fails_for_this_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # nothing listens there: what a machine without a network meets, at once
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for ask in ask_both(YouTube(options=Options(backoff=0.01))):
        with pytest.raises(ItemError) as caught:
            ask()
        assert caught.value.status == "failed"


@pytest.fixture
def dripping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A proxy that lets nobody through, one byte of its headers at a time."""
    with Server() as server:
        server.answers["www.youtube.com:443"] = Answer(rate=20, slow_head=True)
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, server.url(""))
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield server


def ask_both(youtube: YouTube) -> Iterator[Callable[[], object]]:
    yield lambda: youtube.search("a title")
    yield lambda: youtube.describe(ID)


def test_questions_end_by_their_time_limit(dripping: Server) -> None:
    for ask in ask_both(YouTube(options=Options(timeout=0.5))):
        begun = time.monotonic()
        with pytest.raises(ItemError, match=r"not done in 0\.5 s") as caught:
            ask()
        assert (caught.value.status, caught.value.passing) == ("too slow", False)
        assert time.monotonic() - begun < 5
    assert dripping.seen


def stop_once_asked(server: Server, times: int, stop: threading.Event) -> None:
    ends = time.monotonic() + 20
    while len(server.seen) < times and time.monotonic() < ends:
        time.sleep(0.02)
    stop.set()


def test_a_stop_ends_questions_at_once(dripping: Server) -> None:
    stop = threading.Event()
    for asked, ask in enumerate(ask_both(YouTube(stop=stop)), start=1):
        stop.clear()
        watching = threading.Thread(target=stop_once_asked, args=(dripping, asked, stop))
        watching.start()
        with pytest.raises(Stopped):
            ask()
        # the proxy was in the midst of its headers
        assert len(dripping.seen) == asked
        watching.join()
    with pytest.raises(Stopped):  # it was set before
        YouTube(stop=stop).describe(ID)
    assert len(dripping.seen) == 2


SECRET = "c0ffee"
HEADER = b"# Netscape HTTP Cookie File\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'[{"domain": ".youtube.com", "name": "A", "value": "c0ffee"}]', "not in Netscape"),
        (b".youtube.com\tTRUE\t/\tTRUE\t0\tA\tc0ffee\n", "not in Netscape"),
        (HEADER + b"youtube.com\tTRUE\t/\tTRUE\t0\tA\tc0ffee\n", "not in Netscape"),
        (HEADER + b".youtube.com TRUE / TRUE 0 A c0ffee\n", "holds no cookie"),
        (HEADER, "holds no cookie"),
        (b"\xff\xfe# c0ffee", "cannot be read"),
        (b"", "not in Netscape"),
    ],
    ids=["json", "no-header", "bad-domain", "spaces", "header-alone", "utf-16", "empty"],
)
@pytest.mark.filterwarnings("ignore:http.cookiejar bug")
def test_a_file_of_cookies_that_is_none_is_refused_at_once_and_its_secrets_kept(
    content: bytes, why: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cookies = tmp_path / "cookies.txt"
    cookies.write_bytes(content)
    with pytest.raises(UserError, match=why) as caught:
        YouTube(cookies)
    assert str(cookies) in str(caught.value)
    assert "--cookies" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_lines_that_are_no_cookie_are_left_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cookies = tmp_path / "cookies.txt"
    good = ".youtube.com\tTRUE\t/\tTRUE\t0\tA\tB"
    # with a byte order mark, as some editors of Windows save it
    lines = ["\ufeff# Netscape HTTP Cookie File", SECRET, good, ""]
    cookies.write_bytes("\r\n".join(lines).encode())
    client = YouTube(cookies).client()
    assert [(cookie.name, cookie.value) for cookie in client.cookiejar] == [("A", "B")]
    client.close()
    assert capfd.readouterr() == ("", "")


def test_cookies_are_read_once_and_never_written(tmp_path: Path) -> None:
    cookies = tmp_path / "cookies.txt"
    text = "# Netscape HTTP Cookie File\n.youtube.com\tTRUE\t/\tTRUE\t2147483647\tA\tB\n"
    cookies.write_text(text)
    client = YouTube(cookies).client()
    assert [cookie.name for cookie in client.cookiejar] == ["A"]
    client.close()
    assert cookies.read_text() == text
    with pytest.raises(UserError, match="cannot be read"):
        YouTube(tmp_path / "missing.txt")


def test_the_site_of_tests_searches_as_youtube_does() -> None:
    videos = [
        LoopbackVideo("hDFGIJKLwvh", "/1", title="Whole"),
        LoopbackVideo("DFGIJKLwwww", "/2", title="Twins"),
        LoopbackVideo("wwwDFGIJKLw", "/3", title="Twins"),
    ]
    with Server() as server:
        site = LoopbackSite(
            server,
            videos,
            results={"Gone": [], "Other": [entry(LoopbackVideo("zzzzzzzzzzz", "/4"))]},
            errors={"Later": [ItemError("failed", "timed out", passing=True)]},
        )
        assert site.search("Whole") == (Found("hDFGIJKLwvh", "Whole", "A channel", 20.0),)
        assert site.search("Gone") == ()
        assert [found.id for found in site.search("Other")] == ["zzzzzzzzzzz"]
        assert [found.id for found in site.search("Twins")] == ["DFGIJKLwwww", "wwwDFGIJKLw"]
        with pytest.raises(ItemError):
            site.search("Later")
        assert site.search("Later") == ()


def test_the_site_of_tests_refuses_as_it_is_told() -> None:
    with Server() as server:
        site = LoopbackSite(
            server, [LoopbackVideo(ID, "/1")], errors={ID: ItemError("private", "Private video")}
        )
        for _ in range(2):
            with pytest.raises(ItemError, match="Private video"):
                site.describe(ID)
        with pytest.raises(ItemError, match="unavailable"):
            site.describe("zzzzzzzzzzz")


# the shape of a flat search: a playlist of links, most fields of which are None


def _result(entries: object) -> dict[str, object]:
    return {
        "id": "Off to Arunachal",
        "title": "Off to Arunachal",
        "_type": "playlist",
        "entries": entries,
        "webpage_url": "ytsearch5:Off to Arunachal",
        "extractor": "youtube:search",
        "extractor_key": "YoutubeSearch",
    }


def _entry(id: str, **more: object) -> dict[str, object]:
    return {
        "_type": "url",
        "ie_key": "Youtube",
        "id": id,
        "url": f"https://www.youtube.com/watch?v={id}",
        "title": "Off To Arunachal | The Journey Begins",
        "description": None,
        "duration": 754.0,
        "channel_id": "UC0000000000000000000000",
        "channel": "Tanya Khanijow",
        "uploader": "Tanya Khanijow",
        "view_count": 1234567,
        "live_status": None,
        "timestamp": None,
    } | more


@pytest.mark.parametrize("entries", [[], [None]])
def test_a_search_may_find_nothing(entries: list[object]) -> None:
    assert candidates(_result(entries)) == ()


@pytest.mark.parametrize(
    "result", [{}, {"entries": None}, _result("text"), _result({"id": 1}), _result(3)]
)
def test_a_search_without_a_list_is_not_one_that_found_nothing(result: dict[str, object]) -> None:
    with pytest.raises(ItemError, match="without a list") as caught:
        candidates(result)
    assert caught.value.status == "failed"


def test_what_is_found_is_read():
    found = candidates(_result([_entry(OTHER)]))
    assert found == (
        Found(
            OTHER,
            "Off To Arunachal | The Journey Begins",
            "Tanya Khanijow",
            754.0,
            "UC0000000000000000000000",
        ),
    )


def test_what_is_found_is_read_in_order_and_twice():
    found = candidates(_result([_entry(WHOLE), _entry(SECOND, title="A copy"), _entry(WHOLE)]))
    assert [candidate.id for candidate in found] == [WHOLE, SECOND, WHOLE]


def test_missing_and_empty_fields_are_none_and_an_older_uploader_is_the_channel():
    entries = [
        {"id": WHOLE},
        {"id": WHOLE, "title": None, "channel": None, "uploader": None, "duration": None},
        {"id": WHOLE, "title": " ", "channel": "", "uploader": "Tanya", "duration": 75},
    ]
    assert candidates(_result(entries)) == (
        Found(WHOLE),
        Found(WHOLE),
        Found(WHOLE, None, "Tanya", 75.0),
    )


@pytest.mark.parametrize("duration", [0, -1, True, "754", math.nan, math.inf, [754]])
def test_a_duration_that_is_none_is_none(duration):
    assert candidates(_result([_entry(WHOLE, duration=duration)]))[0].duration is None


@pytest.mark.parametrize("id", [None, "", 12345678901, "UC0000000000000000000000", "PL123"])
def test_channels_playlists_and_entries_without_an_id_are_left_out(id):
    assert candidates(_result([_entry(WHOLE) | {"id": id}, _entry(WHOLE)])) == (
        Found(
            WHOLE,
            "Off To Arunachal | The Journey Begins",
            "Tanya Khanijow",
            754.0,
            "UC0000000000000000000000",
        ),
    )


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=11) | ID_TEXTS,
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "title", "channel", "uploader", "duration", "entries"]), values
        )
    ),
    max_leaves=12,
)


@given(st.lists(_JSON, max_size=3))
def test_whatever_entries_hold_only_whole_ids_come_out(entries: list[object]) -> None:
    assert all(intact(candidate.id) for candidate in candidates({"entries": entries}))
