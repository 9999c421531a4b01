"""yt-dlp as a library: silent, without configuration or plugins, on the site's own hosts, in time.

The one program that it may run is deno, where that is on the PATH: yt-dlp solves with it what
YouTube's player has to solve before it gets at a format. It runs the player's code without access
to files or the network.

yt-dlp refuses `file:` and its like itself, and tries passing faults again; but it follows redirects
to any host, and waits for ever where a server sends a byte now and then. Python announces every
address that urllib opens and every socket that connects (audit events): the one is checked, the
other kept, to be shut when the time is up.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
import traceback
import urllib.request
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import yt_dlp.globals
from yt_dlp import YoutubeDL
from yt_dlp.networking import RequestDirector, RequestHandler, Response
from yt_dlp.networking.exceptions import HTTPError, RequestError
from yt_dlp.utils import (
    ExtractorError,
    GeoRestrictedError,
    YoutubeDLError,
    int_or_none,
    timeconvert,
)

from bench.tasks.youtube.statuses import ItemError, Stopped, status_of

SOCKET_TIMEOUT = 20.0  # seconds to connect, and between two pieces
_LOOK = 0.1  # seconds between two looks at the clock and at the stop
_RETRIED = ("http", "fragment", "extractor")
BLOCK = 1 << 14  # bytes between two looks at what has come

# Sound alone in one piece; or the smallest of what has sound. Formats in fragments come last:
# of those nothing can be asked for by bytes. Other protocols would run other programs.
_FORMAT = "/".join(
    f"bestaudio[protocol~='{protocol}']/worst*[acodec!=?none][protocol~='{protocol}']"
    for protocol in ("^https?$", "^(m3u8_native|http_dash_segments)$")
)
_local = threading.local()


class Refused(RequestError):
    """An address that nothing may be fetched from; yt-dlp passes it on and never retries it."""


@dataclass(frozen=True)
class Hosts:
    """Where requests may lead: names, each for its subdomains too, and how they are spoken to.

    Under https nobody else answers in a host's place, wherever its name may lead.
    """

    names: frozenset[str]
    schemes: frozenset[str] = frozenset({"https"})

    def check(self, url: str) -> None:
        """Raise `Refused` for an address of another host or scheme, or that cannot be read."""
        try:
            request = urllib.request.Request(url)  # reads it as urllib will, who connects
            host = urlsplit(f"//{request.host}").hostname
        except ValueError as error:
            raise Refused(f"an address that cannot be read ({error})") from error
        if request.type not in self.schemes:
            raise Refused(f"{request.type} is not {' or '.join(sorted(self.schemes))}")
        if not any(f".{host}".endswith(f".{name}") for name in self.names):
            raise Refused(f"{host or 'no host'} is not a host of the site")


@dataclass(frozen=True)
class Options:
    """How to fetch."""

    seconds: float = 60.0  # of the beginning of each video are kept
    megabytes: float = 200.0  # are received for a video at most, in millions of bytes
    timeout: float = 300.0  # seconds that a download, a search, a description may take
    jobs: int = 4  # downloads at once
    interval: float = 1.0  # least seconds between two searches or descriptions
    attempts: int = 4  # of anything
    backoff: float = 5.0  # seconds to wait after the first fault, then twice as many each time
    repair: bool = True  # whether damaged ids are searched for
    again: Collection[str] = ()  # final statuses to try again


class Client(YoutubeDL):
    """A `YoutubeDL` for one thread, whose requests lead to a site's hosts alone.

    Once `stop` is set, everything under way ends.
    """

    def __init__(self, hosts: Hosts, options: Options, stop: threading.Event | None = None):
        self.hosts, self.options = hosts, options
        self._stop = stop or threading.Event()
        self._ends = float("inf")
        self.opened: list[socket.socket] = []  # what connected, to be shut
        _listen_once()
        # plugins are code that other packages and the user's configuration bring along
        yt_dlp.globals.plugin_dirs.value = []
        again = options.attempts - 1
        super().__init__(
            {
                "logger": logging.Logger("silent", logging.CRITICAL),  # errors are raised too
                "cachedir": False,
                "retries": again,
                "fragment_retries": again,
                "extractor_retries": again,
                "file_access_retries": 0,
                "retry_sleep_functions": dict.fromkeys(_RETRIED, self._rest),
                "skip_unavailable_fragments": False,
                "socket_timeout": SOCKET_TIMEOUT,
                # FFmpeg's program would make connections of its own
                "ffmpeg_location": "/nonexistent/voxgrid-never-runs-ffmpeg",
                "allowed_extractors": ["^youtube$", "^youtube:search$"],
                "extract_flat": "in_playlist",
                "format": _FORMAT,
                "nopart": True,
                "continuedl": True,
                # small blocks of one size, as limits are looked at in between
                "buffersize": BLOCK,
                "noresizebuffer": True,
            }
        )

    def build_request_director(
        self, handlers: Iterable[type[RequestHandler]], preferences: Any = None
    ) -> RequestDirector:
        """Return a director with urllib's handler alone, whose addresses Python announces."""
        plain = [handler for handler in handlers if handler.RH_KEY == "Urllib"]
        return super().build_request_director(plain, preferences)

    def urlopen(self, req: Any) -> Response:
        """Open an address; `Refused` where it or one that it redirects to is not allowed."""
        self.look()
        _local.client = self
        try:
            return super().urlopen(req)
        finally:
            _local.client = None

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Bound the time of what is done within this block: then its connections are shut.

        A server that sends one byte a second never meets a socket's own time-out.
        """
        self._ends = time.monotonic() + self.options.timeout
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(over,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            self._shut()  # a server may have more to send, to nobody
            while self.opened:
                self.opened.pop().close()

    @contextmanager
    def named(self) -> Iterator[None]:
        """Turn what yt-dlp raises within this block into an `ItemError`, or `Stopped`.

        Where a site changed, an extractor finds None where a text was, and yt-dlp lets the
        AttributeError or the like through. What code of ours raises when called back stays.
        """
        self.look()
        try:
            yield
        except (YoutubeDLError, AttributeError, LookupError, TypeError, ValueError) as error:
            self.look()
            if isinstance(error, YoutubeDLError):
                raise classify(error) from error
            if _is_ours(error):
                raise
            raise ItemError("failed", f"{type(error).__name__}: {error}") from error
        # yt-dlp answers with less where some of its questions met the end
        self.look()

    def look(self) -> None:
        """Go on only while there is time: else an `ItemError`, or `Stopped`."""
        if self._stop.is_set():
            raise Stopped("a stop was asked for: the next run goes on from there")
        if time.monotonic() >= self._ends:
            raise ItemError("too slow", f"not done in {self.options.timeout:g} s")

    def wait(self, seconds: float) -> None:
        """Do nothing for a while, but no longer than `look` allows."""
        ends = time.monotonic() + seconds
        self.look()
        while (left := ends - time.monotonic()) > 0:
            self._stop.wait(min(_LOOK, left))
            self.look()

    def _rest(self, n: int) -> float:
        """Wait before yt-dlp's next try, in place of its own sleep, which hears no stop."""
        self.wait(self.options.backoff * 2**n)
        return 0.0

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(_LOOK):
            if self._stop.is_set() or time.monotonic() >= self._ends:
                self._shut()

    def _shut(self) -> None:
        for handle in tuple(self.opened):  # a thread may be adding to it
            with suppress(OSError):  # closed by the other side, or not connected yet
                handle.shutdown(socket.SHUT_RDWR)


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    client: Client | None = getattr(_local, "client", None)
    if client is not None and event == "urllib.Request":
        client.hosts.check(arguments[0])
    elif client is not None and event == "socket.connect":
        # a second handle: TLS takes the first one over, and closes it
        client.opened.append(arguments[0].dup())


_listen_once = cache(lambda: sys.addaudithook(_on_event))


def classify(error: YoutubeDLError) -> ItemError:
    """Say what an error of yt-dlp means for the video it happened with.

    A media address answered by 403 has usually expired. A 404 or 410 of the media itself is
    final, one of a page in between is not: YouTube's interface gives some that go away.
    """
    chain = tuple(_chain(error))
    # what an extractor said, without yt-dlp's frame around it
    text = next((said for one in chain if (said := getattr(one, "orig_msg", None))), str(error))
    for one in chain:
        if isinstance(one, Refused):
            return ItemError("refused", str(one))
        if isinstance(one, GeoRestrictedError):
            return ItemError("geo-blocked", text)
    answered = next((one for one in chain if isinstance(one, HTTPError)), None)
    extracting = any(isinstance(one, ExtractorError) for one in chain)
    if (answered is None or extracting) and (status := status_of(text)):
        return ItemError(status, text)
    if answered is None:
        return ItemError("failed", text)
    if 300 <= answered.status < 400 and not answered.redirect_loop:
        return ItemError("refused", "the server redirects to something else than http and https")
    if answered.status == 429:
        wait = _retry_after(answered.response.headers.get("Retry-After") or "")
        return ItemError("blocked", text, passing=True, retry_after=wait)
    if answered.status == 451:
        return ItemError("geo-blocked", text)
    if answered.status in (404, 410) and not extracting:
        return ItemError("unavailable", text)
    return ItemError("failed", text, passing=answered.status in (403, 408))


def _retry_after(value: str) -> float | None:
    """The seconds that a Retry-After header names, as a number or as a date."""
    seconds, date = int_or_none(value), timeconvert(value)
    return date - time.time() if seconds is None and date is not None else seconds


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from, outermost first, none twice."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            yield one
            _, held, _ = getattr(one, "exc_info", None) or (None, None, None)
            waiting += [held, getattr(one, "cause", None), one.__cause__, one.__context__]


def _is_ours(error: Exception) -> bool:
    """Whether code of ours was at work, which yt-dlp called back; not yt-dlp's."""
    names = (frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(error.__traceback__))
    packages = [str(name).partition(".")[0] for name in names]
    return [name for name in packages if name in ("bench", "yt_dlp")][-1] == "bench"
