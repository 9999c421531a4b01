"""yt-dlp asks the site's own hosts alone, in time, and what it says is told apart."""

from __future__ import annotations

import io
import socket
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yt_dlp.networking import Response
from yt_dlp.networking.exceptions import (
    CertificateVerifyError,
    HTTPError,
    IncompleteRead,
    RequestError,
    TransportError,
)
from yt_dlp.utils import (
    ContentTooShortError,
    DownloadError,
    ExtractorError,
    GeoRestrictedError,
    UnsupportedError,
)

from bench.tasks.youtube.client import Client, Hosts, Options, Refused, classify
from bench.tasks.youtube.site import YOUTUBE
from bench.tasks.youtube.statuses import FINAL, ItemError, cleaned
from tests.loopback.server import Answer, Server

ID = "abcdefghijk"
HERE = Hosts(frozenset({"127.0.0.1"}), frozenset({"http"}))


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        server.answers["/sound"] = Answer(b"sound")
        yield server


def get(url: str, hosts: Hosts) -> bytes:
    with Client(hosts, Options()) as client:
        return client.urlopen(url).read()


@pytest.mark.parametrize(
    "url",
    [
        "https://youtube.com/watch",
        "https://www.youtube.com/watch",
        "https://YOUTUBE.com:8080/",
        "https://someone:secret@www.youtube.com/",
    ],
)
def test_a_host_and_its_subdomains_are_let_through(url: str) -> None:
    YOUTUBE.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://notyoutube.com/",
        "https://youtube.com.evil.example/",
        "https://evil.example/youtube.com",
        "https://youtube.com@evil.example/",
        "https://evil.example#youtube.com",
        "https://evil.example\\@x",
        "https://[::1]/",
        "https://evil.example%2f.youtube.com/",
        "http://www.youtube.com/",
        "http://[youtube.com/",
        "https:///nothing",
        "file:///etc/passwd",
        "ftp://youtube.com/",
        "data:text/plain,x",
        "//youtube.com/",
        "youtube.com",
        "",
    ],
)
def test_other_hosts_and_schemes_are_refused(url: str) -> None:
    with pytest.raises(Refused):
        YOUTUBE.check(url)


def test_an_allowed_server_answers_and_errors_stay_errors(server: Server) -> None:
    assert get(server.url("/sound"), HERE) == b"sound"
    with pytest.raises(HTTPError, match="404"):
        get(server.url("/nothing"), HERE)


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:{port}/sound",
        "http://127.0.0.2:{port}/sound",
        "http://2130706433:{port}/sound",
        "http://169.254.169.254/latest/meta-data",
        "https://evil.example/",
        "//evil.example/",
        "ftp://127.0.0.1/sound",
        "http://127.0.0.1:{port}@evil.example/",
        "https://127.0.0.1:{port}/sound",
    ],
)
def test_a_redirect_elsewhere_is_refused(server: Server, location: str) -> None:
    server.answers["/away"] = Answer(location=location.format(port=server.port))
    with pytest.raises(Refused):
        get(server.url("/away"), HERE)
    assert [one.path for one in server.seen] == ["/away"]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "data:text/plain,x", "gopher://x/"])
def test_a_redirect_to_another_scheme_is_not_followed(server: Server, location: str) -> None:
    server.answers["/away"] = Answer(location=location)
    with pytest.raises(HTTPError, match="302"):
        get(server.url("/away"), HERE)


def test_redirects_within_the_site_are_followed(server: Server) -> None:
    server.answers["/first"] = Answer(location="/second")
    server.answers["/second"] = Answer(location=server.url("/sound"))
    assert get(server.url("/first"), HERE) == b"sound"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x"])
def test_other_schemes_are_refused_from_the_start(url: str) -> None:
    with pytest.raises(RequestError):
        get(url, HERE)


def test_a_proxy_of_the_user_works_and_hosts_are_still_checked(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url(""))
    network = Hosts(frozenset({"media.example"}), HERE.schemes)
    server.answers["http://media.example/sound"] = Answer(b"by proxy")
    server.answers["http://media.example/away"] = Answer(location="http://evil.example/")
    assert get("http://media.example/sound", network) == b"by proxy"
    with pytest.raises(Refused, match=r"evil\.example"):
        get("http://media.example/away", network)
    assert len(server.seen) == 2


def test_other_connections_of_the_program_are_left_alone(server: Server) -> None:
    with pytest.raises(Refused):
        get(server.url("/sound"), YOUTUBE)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain:
        plain.sendall(b"GET /sound HTTP/1.0\r\n\r\n")
        assert plain.makefile("rb").read().endswith(b"sound")


def test_clients_neither_speak_nor_keep_nor_load_plugins(
    server: Server,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Client(HERE, Options()) as client:
        client.report_warning("a warning")
        client.to_screen("something")
        client.report_error("an error", is_error=False)
        assert not any("yt_dlp_plugins" in ie.__module__ for ie in client._ies.values())
    assert capfd.readouterr() == ("", "")
    assert not (tmp_path / "cache").exists()


def test_connections_of_a_block_end_with_its_time(server: Server) -> None:
    server.answers["/slow"] = Answer(b"x" * 1000, rate=10)
    with Client(HERE, Options(timeout=0.5)) as client, client.limited():
        begun = time.monotonic()
        # one byte at a time never meets a time-out of the socket
        with pytest.raises(ItemError, match=r"not done in 0\.5 s") as caught, client.named():
            client.urlopen(server.url("/slow")).read()
        assert caught.value.status == "too slow"
        assert time.monotonic() - begun < 5


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
        (TransportError("timed out"), "failed", False),
        (IncompleteRead(partial=3, expected=5), "failed", False),
        (ContentTooShortError(3, 5), "failed", False),
        (said("Unable to download API page", cause=TransportError("reset")), "failed", False),
        (said("Unable to download API page", cause=answered(404)), "failed", False),
        (said("Unable to download API page", cause=answered(429)), "blocked", True),
        (said("Unable to download API page", cause=answered(500)), "failed", False),
        (said("Failed to extract any player response"), "failed", False),
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
    assert classify(answered(429, **{"Retry-After": later})).retry_after == pytest.approx(60, abs=3)
    assert classify(answered(429, **{"Retry-After": "soon"})).retry_after is None
    assert classify(answered(429)).retry_after is None


@given(st.text())
def test_a_reason_is_one_short_line(text: str) -> None:
    message = str(ItemError("failed", text))
    assert 0 < len(message) <= 200
    assert message.isprintable() or not any(ord(one) < 32 or one == "\x7f" for one in message)
    assert len(message.splitlines()) == 1


def test_only_what_may_change_by_itself_is_tried_again() -> None:
    assert {"failed", "blocked", "too slow"}.isdisjoint(FINAL)
    assert {"ok", "private", "removed", "refused", "not audio", "live"} <= FINAL
