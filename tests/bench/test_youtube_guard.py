"""Whatever a site answers, yt-dlp connects to its own hosts at public addresses alone."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from yt_dlp.networking import Request
from yt_dlp.networking.exceptions import HTTPError, IncompleteRead, TransportError

from bench.tasks.youtube.site import guard
from bench.tasks.youtube.site.client import Client
from bench.tasks.youtube.site.connections import Connections
from bench.tasks.youtube.site.guard import Network, Refused, TooLarge
from tests.loopback.server import Answer, Server

HERE = Network(frozenset({"127.0.0.1"}), allow_private=True)


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


def get(url: str, network: Network) -> bytes:
    with Client(network) as client:
        return client.urlopen(url).read()


@pytest.mark.parametrize(
    "url",
    [
        "https://youtube.com/watch",
        "https://www.youtube.com/watch",
        "http://YOUTUBE.com:8080/",
        "https://youtube.com./",
        "https://someone:secret@www.youtube.com/",
    ],
)
def test_a_host_and_its_subdomains_are_let_through(url: str) -> None:
    Network(frozenset({"youtube.com"})).check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://notyoutube.com/",
        "https://youtube.com.evil.example/",
        "https://evil.example/youtube.com",
        "https://youtube.com@evil.example/",
        "https://evil.example#youtube.com",
        "https://evil.example\\@x",
        "http://[::1]/",
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
        Network(frozenset({"youtube.com"})).check(url)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "::",
        "::1",
        "fe80::1%eth0",
        "fec0::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:db8::1",
        "localhost",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    with pytest.raises(Refused):
        Network(frozenset()).check_address((address, 80))
    Network(frozenset(), allow_private=True).check_address((address, 80))


@pytest.mark.parametrize("address", ["142.250.1.1", "2a00:1450:4001:800::200e", "::ffff:8.8.8.8"])
def test_public_addresses_are_let_through(address: str) -> None:
    Network(frozenset()).check_address((address, 443))


def test_a_unix_socket_is_refused() -> None:
    with pytest.raises(Refused):
        Network(frozenset()).check_address("/run/some.socket")


def test_an_allowed_server_answers_and_errors_stay_errors(server: Server) -> None:
    assert get(server.url("/sound"), HERE) == b"sound"
    with pytest.raises(HTTPError, match="404"):
        get(server.url("/nothing"), HERE)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0177.0.0.1", "0x7f.1", "127.1", "[::ffff:127.0.0.1]"],
)
def test_a_private_address_is_refused_however_it_is_spelled(server: Server, host: str) -> None:
    allowed = Network(frozenset({host.strip("[]"), "::ffff:7f00:1"}))
    with pytest.raises(Refused, match="not a public address"):
        get(server.url("/sound", host), allowed)
    assert not server.seen


def test_a_name_that_resolves_to_another_address_later_is_refused_then(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["93.184.215.14", "127.0.0.1"])

    def rebinding(host: str, port: int, *_: object, **__: object) -> list[tuple]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    network = Network(frozenset({"media.example"}))
    assert socket.getaddrinfo("media.example", 80)[0][4][0] == "93.184.215.14"
    with pytest.raises(Refused, match=r"127\.0\.0\.1 is not a public address"):
        get(server.url("/sound", "media.example"), network)
    assert not server.seen


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


def test_a_redirect_to_a_private_address_of_an_allowed_host_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url(""))
    monkeypatch.setenv("no_proxy", "localhost")
    server.answers["http://media.example/away"] = Answer(location=server.url("/sound", "localhost"))
    with pytest.raises(Refused, match="not a public address"):
        get("http://media.example/away", Network(frozenset({"media.example", "localhost"})))
    assert len(server.seen) == 1


def test_redirects_within_the_site_are_followed(server: Server) -> None:
    server.answers["/first"] = Answer(location="/second")
    server.answers["/second"] = Answer(location=server.url("/sound"))
    assert get(server.url("/first"), HERE) == b"sound"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x"])
def test_other_schemes_are_refused_from_the_start(url: str) -> None:
    with pytest.raises(Refused):
        get(url, HERE)


def test_a_proxy_of_the_user_works_and_hosts_are_still_checked(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url(""))
    network = Network(frozenset({"media.example"}))
    server.answers["http://media.example/sound"] = Answer(b"by proxy")
    server.answers["http://media.example/away"] = Answer(location="http://evil.example/")
    assert get("http://media.example/sound", network) == b"by proxy"
    with pytest.raises(Refused, match=r"evil\.example"):
        get("http://media.example/away", network)
    assert len(server.seen) == 2


def test_without_a_check_of_the_hop_nothing_connects(server: Server) -> None:
    with Client(HERE) as client:
        director = client.build_request_director(_plain_handlers())
        (handler,) = director.handlers.values()
        # as if yt-dlp built its opener in another way than the guard knows of
        base = type(handler).__mro__[1]
        handler._create_instance = lambda **settings: base._create_instance(handler, **settings)
        with pytest.raises(Refused, match="nobody checked"):
            director.send(Request(server.url("/sound")))
    assert not server.seen


def _plain_handlers() -> list[type]:
    from yt_dlp.networking._urllib import UrllibRH

    return [UrllibRH]


def test_other_connections_of_the_program_are_left_alone(server: Server) -> None:
    with pytest.raises(Refused):
        get(server.url("/sound"), Network(frozenset({"127.0.0.1"})))
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain:
        plain.sendall(b"GET /sound HTTP/1.0\r\n\r\n")
        assert plain.makefile("rb").read().endswith(b"sound")


def test_a_body_is_not_unpacked_where_no_compression_was_asked_for(server: Server) -> None:
    server.answers["/bomb"] = Answer(b"not gzip", headers={"Content-Encoding": "gzip"})
    with Client(HERE) as client:
        asked = Request(server.url("/bomb"), headers={"Accept-Encoding": "identity"})
        assert client.urlopen(asked).read() == b"not gzip"


def test_a_packed_page_is_unpacked(server: Server) -> None:
    page = b"<p>here</p>" * 500
    packed = {"Content-Encoding": "gzip"}
    server.answers["/page"] = Answer(gzip.compress(page) + b"junk", headers=packed)
    assert get(server.url("/page"), HERE) == page
    server.answers["/cut"] = Answer(gzip.compress(page)[:-30], headers=packed)
    with pytest.raises(IncompleteRead):
        get(server.url("/cut"), HERE)


def test_a_page_is_bounded_and_media_are_not(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "MOST_OF_A_PAGE", 1000)
    server.answers = {
        "/page": Answer(b"x" * 1000),
        "/long": Answer(b"x" * 1001),
        "/endless": Answer(b"x" * 100, endless=True),
        "/bomb": Answer(gzip.compress(b"x" * 100_000), headers={"Content-Encoding": "gzip"}),
        "/broken": Answer(b"x" * 900, excess=50),
    }
    assert len(get(server.url("/page"), HERE)) == 1000
    for path in ("/long", "/endless", "/bomb"):
        with pytest.raises(TooLarge):
            get(server.url(path), HERE)
    with pytest.raises(IncompleteRead):
        get(server.url("/broken"), HERE)
    with Client(HERE) as client:
        media = Request(server.url("/long"), headers={"Accept-Encoding": "identity"})
        assert len(client.urlopen(media).read()) == 1001


def test_the_body_of_a_redirect_is_not_waited_for(server: Server) -> None:
    server.answers["/away"] = Answer(b"x" * 1000, location="/sound", rate=10)
    begun = time.monotonic()
    assert get(server.url("/away"), HERE) == b"sound"
    assert time.monotonic() - begun < 5


def test_clients_neither_speak_nor_keep_nor_load_plugins(
    server: Server,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with Client(HERE) as client:
        client.report_warning("a warning")
        client.to_screen("something")
        client.report_error("an error", is_error=False)
        assert client.params["enable_file_urls"] is False
        assert not any("yt_dlp_plugins" in ie.__module__ for ie in client._ies.values())
    assert capfd.readouterr() == ("", "")
    assert not (tmp_path / "cache").exists()


def test_connections_of_a_block_end_with_its_time(server: Server) -> None:
    server.answers["/slow"] = Answer(b"x" * 1000, rate=10)
    with Client(HERE) as client, Connections(0.5) as connections:
        # one byte at a time never meets a time-out of the socket
        with pytest.raises(IncompleteRead):
            client.urlopen(server.url("/slow")).read()
        assert connections.cut_for == "time"
        with pytest.raises(TransportError, match="were cut"):
            client.urlopen(server.url("/sound"))
