"""What YouTube and yt-dlp say is told apart, and the sites of tests answer as YouTube does."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yt_dlp.extractor.youtube import YoutubeIE, YoutubeSearchIE
from yt_dlp.networking import Response
from yt_dlp.networking.exceptions import (
    CertificateVerifyError,
    HTTPError,
    IncompleteRead,
    TransportError,
)
from yt_dlp.utils import (
    ContentTooShortError,
    DownloadError,
    ExtractorError,
    GeoRestrictedError,
    UnsupportedError,
)

from bench.errors import UserError
from bench.tasks.youtube.links.repair import Candidate, choose
from bench.tasks.youtube.site.base import YouTube, described
from bench.tasks.youtube.site.connections import Stopped
from bench.tasks.youtube.site.guard import Refused
from bench.tasks.youtube.site.statuses import FINAL, ItemError, classify, cleaned
from tests.loopback.server import Answer, Server
from tests.loopback.site import LoopbackSite, LoopbackVideo, entry

ID = "abcdefghijk"


def said(text: str, **more: object) -> DownloadError:
    """An error as `extract_info` raises it."""
    try:
        try:
            raise ExtractorError(text, expected=True, video_id=ID, ie="youtube", **more)
        except ExtractorError as error:
            raise DownloadError(f"\x1b[0;31mERROR:\x1b[0m {error}", sys.exc_info()) from error
    except DownloadError as error:
        return error


def answered(status: int, **headers: str) -> HTTPError:
    import io

    return HTTPError(Response(io.BytesIO(), "https://www.youtube.com/", headers, status=status))


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("Private video. Sign in if you've been granted access to this video", "private"),
        ("Video unavailable. This video is private", "private"),
        ("Video unavailable", "unavailable"),
        ("Video unavailable. This video is not available", "unavailable"),
        ("This video isn't available anymore", "unavailable"),
        ("This video is unavailable", "unavailable"),
        ("This video is DRM protected", "unavailable"),
        ("Incomplete YouTube ID abc. URL https://youtu.be/abc looks truncated.", "unavailable"),
        ("Video unavailable. This video has been removed by the uploader", "removed"),
        (
            "This video has been removed for violating YouTube's Community Guidelines",
            "removed",
        ),
        (
            "This video is no longer available because the YouTube account associated with this "
            "video has been terminated.",
            "removed",
        ),
        (
            "This video is no longer available because the uploader has closed their YouTube "
            "account.",
            "removed",
        ),
        (
            "Video unavailable. This video is no longer available due to a copyright claim by X",
            "removed",
        ),
        (
            "Video unavailable. The uploader has not made this video available in your country",
            "geo-blocked",
        ),
        (
            "Video unavailable. This video contains content from SME, who has blocked it in your "
            "country on copyright grounds",
            "geo-blocked",
        ),
        (
            "Video unavailable. This video contains content from SME, who has blocked it on "
            "copyright grounds",
            "unavailable",
        ),
        (
            "Sign in to confirm your age. This video may be inappropriate for some users.",
            "age-restricted",
        ),
        ("This video is age-restricted and only available on YouTube", "age-restricted"),
        ("Sign in to confirm you’re not a bot. Use --cookies-from-browser or --cookies", "blocked"),
        ("Sign in to confirm you're not a bot", "blocked"),
        (
            "This content isn't available, try again later. The current session has been "
            "rate-limited by YouTube for up to an hour. It is recommended to use `-t sleep`",
            "blocked",
        ),
        (
            "Video unavailable. YouTube is requiring a captcha challenge before playback",
            "blocked",
        ),
        ("All player responses are invalid. Your IP is likely being blocked by Youtube", "blocked"),
        (
            "Join this channel to get access to members-only content like this video, and other "
            "exclusive perks.",
            "members only",
        ),
        (
            "This video is available to this channel's members on level: Fans (or any higher "
            "level). Join this channel to get access to members-only content",
            "members only",
        ),
        ("This video is only available to Music Premium members", "members only"),
        ("This video requires payment to watch.", "members only"),
        ("This live event will begin in 3 days.", "live"),
        ("Premieres in 5 hours", "live"),
        ("Premiere will begin shortly", "live"),
        ("This live stream recording is not available.", "live"),
        ("Requested format is not available. Use --list-formats for a list", "failed"),
        ("Only images are available for download", "failed"),
        ("No video formats found!", "failed"),
        (
            "The following content is not available on this app.. Watch on the latest version of "
            "YouTube.",
            "failed",
        ),
        ("YouTube is no longer supported in this application or device.", "failed"),
        ("This video is not available on this device", "failed"),
        ("Try signing in; The current session does not exist", "failed"),
        ("Playback ID error. This video is not available", "failed"),
        ("Error code: 152 - 18. This video is unavailable", "failed"),
        ("This video does not exist anymore", "unavailable"),
        ("Some new sentence that nobody knows yet", "failed"),
    ],
)
def test_what_youtube_says_is_told_apart(text: str, status: str) -> None:
    error = classify(said(text))
    assert (error.status, error.passing) == (status, False)
    message = str(error)
    assert message.startswith(text[:20])
    assert "\x1b" not in message
    assert ID not in message
    assert "ERROR" not in message
    assert "--" not in message


def test_geo_restriction_needs_no_known_text() -> None:
    assert classify(GeoRestrictedError("nicht in Ihrem Land")).status == "geo-blocked"


def test_reports_to_yt_dlp_are_left_out() -> None:
    error = ExtractorError("Unable to extract something", video_id=ID, ie="youtube")
    assert "please report" in str(error)
    assert str(classify(error)) == "Unable to extract something"
    assert cleaned(str(error)) == "Unable to extract something"


@pytest.mark.parametrize(
    ("error", "status", "passing"),
    [
        (TransportError("timed out"), "failed", True),
        (IncompleteRead(partial=3, expected=5), "failed", True),
        (ContentTooShortError(3, 5), "failed", True),
        (said("Unable to download API page", cause=TransportError("reset")), "failed", True),
        (said("Unable to download API page", cause=answered(404)), "failed", True),
        (said("Unable to download API page", cause=answered(429)), "blocked", True),
        (said("Unable to download API page", cause=answered(500)), "failed", True),
        (said("Failed to extract any player response"), "failed", True),
        (answered(404), "unavailable", False),
        (answered(403), "failed", True),
        (CertificateVerifyError("expired"), "failed", False),
        (Refused("evil.example is not a host of the site"), "refused", False),
        (UnsupportedError("https://example.org"), "unavailable", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_the_network_says_is_told_apart(error: Exception, status: str, passing: bool) -> None:
    found = classify(error)
    assert (found.status, found.passing) == (status, passing)


def test_a_server_may_say_how_long_to_wait() -> None:
    assert classify(answered(429, **{"Retry-After": "12"})).retry_after == 12.0
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert classify(answered(503, **{"Retry-After": later})).retry_after == pytest.approx(60, abs=3)
    assert classify(answered(429, **{"Retry-After": "soon"})).retry_after is None
    assert classify(answered(429)).retry_after is None


@given(st.text())
def test_a_reason_is_one_short_line(text: str) -> None:
    message = str(ItemError("failed", text))
    assert 0 < len(message) <= 200
    assert message.isprintable() or not any(ord(one) < 32 or one == "\x7f" for one in message)
    assert len(message.splitlines()) == 1
    assert cleaned(message) == message or len(message) == 200


def test_only_what_may_change_by_itself_is_tried_again() -> None:
    assert {"failed", "blocked", "too slow"}.isdisjoint(FINAL)
    assert {"ok", "private", "removed", "refused", "not audio", "live"} <= FINAL


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


def test_without_youtube_a_question_may_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    # nothing listens there: what a machine without a network meets, at once
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    youtube = YouTube()
    for ask in (lambda: youtube.search("a title"), lambda: youtube.describe(ID)):
        with pytest.raises(ItemError) as caught:
            ask()
        assert (caught.value.status, caught.value.passing) == ("failed", True)


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
    for ask in ask_both(YouTube(timeout=0.5)):
        begun = time.monotonic()
        with pytest.raises(ItemError, match=r"no whole answer in 0\.5 s") as caught:
            ask()
        assert (caught.value.status, caught.value.passing) == ("failed", True)
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


@pytest.mark.parametrize(
    "error",
    [
        AttributeError("'NoneType' object has no attribute 'get'"),
        TypeError("'NoneType' object is not subscriptable"),
        ValueError("video is not available"),
        UnicodeEncodeError("ascii", "\ud800", 0, 1, "surrogates not allowed"),
        IndexError("list index out of range"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_extractor_that_stumbles_says_nothing_of_the_video(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(extractor: object, asked: str) -> None:
        raise error

    monkeypatch.setattr(YoutubeIE, "_real_extract", broken)
    monkeypatch.setattr(YoutubeSearchIE, "_real_extract", broken)
    for ask in ask_both(YouTube()):
        with pytest.raises(ItemError, match=f"^{type(error).__name__}: ") as caught:
            ask()
        assert (caught.value.status, caught.value.passing) == ("failed", False)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {"_type": "playlist", "id": "x", "title": "x"},
        {"_type": "playlist", "id": "x", "title": "x", "entries": None},
    ],
)
def test_a_search_without_a_list_is_not_one_that_found_nothing(
    answer: dict[str, object] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(YoutubeSearchIE, "_real_extract", lambda *_: answer)
    with pytest.raises(ItemError) as caught:
        YouTube().search("a title")
    assert (caught.value.status, caught.value.passing) == ("failed", True)


def test_a_search_may_find_nothing_or_something(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[dict[str, object]] = []
    monkeypatch.setattr(YoutubeSearchIE, "_search_results", lambda *_: iter(found))
    assert YouTube().search("a title") == ()
    found.append(entry(LoopbackVideo(ID, "/1", title="Whole")))
    assert YouTube().search("a title") == (Candidate(ID, "Whole", "A channel", 20.0),)


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
    client = YouTube(cookies)._client()
    assert [(cookie.name, cookie.value) for cookie in client.cookiejar] == [("A", "B")]
    client.close()
    assert capfd.readouterr() == ("", "")


def test_cookies_are_read_once_and_never_written(tmp_path: Path) -> None:
    cookies = tmp_path / "cookies.txt"
    text = "# Netscape HTTP Cookie File\n.youtube.com\tTRUE\t/\tTRUE\t2147483647\tA\tB\n"
    cookies.write_text(text)
    client = YouTube(cookies)._client()
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
        assert site.search("Whole") == (Candidate("hDFGIJKLwvh", "Whole", "A channel", 20.0),)
        assert choose("DFGIJKL", site.search("Whole")).id == "hDFGIJKLwvh"
        assert site.search("Gone") == ()
        assert choose("DFGIJKL", site.search("Other")).outcome == "none fits"
        assert choose("DFGIJKL", site.search("Twins")).outcome == "several fit"
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
