"""Where yt-dlp may connect to: a site's own hosts at public addresses, by http and https alone.

What a site answers (addresses of media, redirects, names that resolve to anything) is other
people's text. Two checks stand where it is used: every hop of a request is checked by name
before it is sent, and every address when a socket connects to it. The latter is an audit hook
of Python itself, which sees the address that is really used: neither a name that resolves
differently a second time nor an unusual spelling (`0177.1`, `2130706433`) gets around it.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import sys
import threading
import urllib.request
import urllib.response
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from yt_dlp.networking import Request, RequestHandler, Response
from yt_dlp.networking.exceptions import RequestError
from yt_dlp.utils.networking import HTTPHeaderDict, select_proxy

from bench.tasks.youtube.site import connections

_SCHEMES = ("http", "https")
MOST_OF_A_PAGE = 50_000_000  # bytes; a page of YouTube has 1 MB, its player 3 MB
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Refused(RequestError):
    """An address that nothing may be fetched from; yt-dlp passes it on and never retries it."""


class TooLarge(RequestError):
    """A page, not media, of more than `MOST_OF_A_PAGE`, as sent or as unpacked."""


@dataclass(frozen=True)
class Network:
    """Where requests may go.

    Attributes:
        hosts: names; each stands for its subdomains too.
        allow_private: also connect to addresses that are not public (tests on this machine).
    """

    hosts: frozenset[str]
    allow_private: bool = False

    def check(self, url: str) -> None:
        """Refuse an address by its scheme or its host.

        Raises:
            Refused: another scheme than http and https, or a host that is not among `hosts`.
        """
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").rstrip(".")
        except ValueError as error:
            raise Refused(f"an address that cannot be read ({error})") from error
        if parts.scheme.lower() not in _SCHEMES:
            raise Refused(f"{parts.scheme or 'no scheme'} is neither http nor https")
        if not any(host == one or host.endswith(f".{one}") for one in self.hosts):
            raise Refused(f"{host or 'no host'} is not a host of the site")

    def check_address(self, address: object) -> None:
        """Refuse to connect to an address that is not public.

        Args:
            address: what a socket connects to, e.g. `("203.0.113.5", 443)`.

        Raises:
            Refused: private, loopback, link-local, multicast or reserved, also inside an IPv6
                address that stands for an IPv4 one; or not an IP address at all.
        """
        if self.allow_private:
            return
        if not (isinstance(address, tuple) and address and isinstance(address[0], str)):
            raise Refused("a connection that is not one of the internet protocol")
        try:
            ip = ipaddress.ip_address(address[0].partition("%")[0])
        except ValueError as error:
            raise Refused(f"a connection to a name, {address[0]}, not an address") from error
        if not _is_public(ip):
            raise Refused(f"{ip} is not a public address")


def _is_public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


@dataclass
class _Sending:
    """A request that this thread is sending: nothing connects before a hop is checked."""

    network: Network
    checked: bool = False
    proxied: bool = False


_local = threading.local()


@cache
def guarded(handler: type[RequestHandler]) -> type[RequestHandler]:
    """Return yt-dlp's urllib handler with both checks around it.

    Args:
        handler: the class that yt-dlp registers.

    Returns:
        A class whose instances have a `network` to be set before use.
    """
    _watch_sockets()

    class GuardedUrllibRH(handler):  # type: ignore[misc, valid-type]
        _SUPPORTED_URL_SCHEMES = _SCHEMES

        network: Network = Network(frozenset())

        def validate(self, request: Request) -> None:
            self.network.check(request.url)
            super().validate(request)

        def _prepare_headers(self, _: Request, headers: HTTPHeaderDict) -> None:
            headers.setdefault("Accept-Encoding", "gzip")  # the one that `_Bodies` unpacks

        def send(self, request: Request) -> Response:
            _local.sending = _Sending(self.network)
            try:
                return super().send(request)
            finally:
                _local.sending = None

        def _create_instance(self, **settings: Any) -> urllib.request.OpenerDirector:
            # should yt-dlp rename this, no hop is ever checked, and every connection refused
            opener = super()._create_instance(**settings)
            opener.add_handler(_Hops(settings.get("proxies") or {}))
            opener.add_handler(_Bodies())
            return opener

    return GuardedUrllibRH


class _Hops(urllib.request.BaseHandler):
    """Checks each request that urllib sends, those of redirects included."""

    handler_order = 900  # after yt-dlp has brought the address into its final spelling

    def __init__(self, proxies: Mapping[str, str | None]):
        self.proxies = proxies

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        """Refuse a hop or note that it may connect."""
        sending: _Sending | None = getattr(_local, "sending", None)
        if sending is None:
            raise Refused("a request that nobody checked")
        url = request.full_url
        sending.checked = False
        sending.network.check(url)
        # what urllib connects to, should it read the address otherwise than urlsplit does
        sending.network.check(f"http://{request.host}/")
        sending.proxied = bool(select_proxy(url, self.proxies))
        sending.checked = True
        return request

    https_request = ftp_request = file_request = data_request = http_request


class _Bodies(urllib.request.BaseHandler):
    """Reads and unpacks pages, within limits; leaves media, asked for as they are, to be streamed.

    yt-dlp would read them, and unpack them, in memory and in one go, however much it becomes.
    """

    handler_order = 100  # before yt-dlp's own

    def http_response(
        self, request: urllib.request.Request, response: http.client.HTTPResponse
    ) -> http.client.HTTPResponse | urllib.response.addinfourl:
        """Return a response whose body is no danger."""
        packed = response.headers.get("Content-Encoding", "").strip().lower()
        del response.headers["Content-Encoding"]
        if 300 <= response.status < 400:
            body = b""  # which urllib would read to its end before it follows
        elif request.get_header("Accept-encoding") == "identity":
            return response
        else:
            body = _bounded(response)
            if packed in ("gzip", "x-gzip"):
                body = _unpacked(body)
        response.close()
        read = urllib.response.addinfourl(
            io.BytesIO(body), response.headers, response.url, response.status
        )
        read.msg = response.msg  # type: ignore[attr-defined]
        return read

    https_response = http_response


def _bounded(response: http.client.HTTPResponse) -> bytes:
    """Read a body.

    Raises:
        TooLarge: it is longer than any page.
        http.client.IncompleteRead: it is shorter than its header says.
    """
    if response.length is None:
        body = response.read(MOST_OF_A_PAGE + 1)
    elif response.length <= MOST_OF_A_PAGE:
        body = response.read()
    else:
        raise TooLarge(f"a page of {response.length} bytes")
    if len(body) > MOST_OF_A_PAGE:
        raise TooLarge(f"a page of more than {MOST_OF_A_PAGE} bytes")
    return body


def _unpacked(body: bytes) -> bytes:
    """Unpack what gzip packed; what follows it is junk that some servers add.

    Raises:
        TooLarge: it becomes longer than any page.
        http.client.IncompleteRead: its end is missing.
    """
    if not body:
        return body
    gzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    page = gzip.decompress(body, MOST_OF_A_PAGE + 1)
    if len(page) > MOST_OF_A_PAGE:
        raise TooLarge(f"a page that unpacks to more than {MOST_OF_A_PAGE} bytes")
    if not gzip.eof:
        raise http.client.IncompleteRead(page)
    return page


@cache
def _watch_sockets() -> None:
    sys.addaudithook(_on_event)


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "socket.connect":
        return
    sending: _Sending | None = getattr(_local, "sending", None)
    if sending is None:
        return
    if not sending.checked:
        raise Refused("a connection that nobody checked")
    # only the proxy knows the address; the user chose the proxy, often a private one
    if not sending.proxied:
        sending.network.check_address(arguments[1])
    if (open_ones := connections.current()) is not None:
        open_ones.add(arguments[0])
