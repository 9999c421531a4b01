"""An HTTP server on the loopback interface that answers each path as it is told to."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

_PIECE = 1 << 14
_TICKS = 50  # pieces per second of a throttled answer


@dataclass
class Answer:
    """How a path answers. Faults are met by the first `times` requests, or by all of them.

    Attributes:
        content: the body.
        kind: Content-Type.
        ranges: whether ranges are served; otherwise the whole body comes with 200.
        etag: for If-Range; None for none.
        rate: bytes per second; None for as fast as it goes.
        endless: the body begins anew whenever it ends, without a Content-Length.
        headers: further ones.
        times: how many requests meet the faults below; None for all.
        status: an error instead of the body.
        location: a redirect, with the body.
        break_after: bytes of the body after which the connection closes.
        excess: bytes that Content-Length says too many, or, below 0, too few.
        slow_head: whether the headers come at `rate` too.
    """

    content: bytes = b""
    kind: str = "application/octet-stream"
    ranges: bool = True
    etag: str | None = None
    rate: float | None = None
    endless: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    times: int | None = None
    status: int | None = None
    location: str | None = None
    break_after: int | None = None
    excess: int = 0
    slow_head: bool = False


@dataclass
class Seen:
    """A request that came, and what it got."""

    path: str
    range: str | None
    status: int = 0
    sent: int = 0


class Server:
    """A server that lives as long as the block.

    Attributes:
        answers: by path; other paths are 404.
        seen: the requests, in the order in which they came.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.seen: list[Seen] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._http = _HTTP(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._http.server_address[1])

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The address of a path."""
        return f"http://{host}:{self.port}{path}"

    def requests(self, path: str) -> list[Seen]:
        """The requests for one path."""
        with self._lock:
            return [one for one in self.seen if one.path == path]

    def sent(self, path: str) -> int:
        """How many bytes of bodies went out for one path."""
        return sum(one.sent for one in self.requests(path))

    def note(self, path: str, asked: str | None) -> tuple[Seen, Answer | None, bool]:
        """Note a request; return its record, how to answer, and whether its faults apply."""
        with self._lock:
            before = sum(one.path == path for one in self.seen)
            seen = Seen(path, asked)
            self.seen.append(seen)
        answer = self.answers.get(path)
        return seen, answer, answer is not None and (answer.times is None or before < answer.times)


class _HTTP(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    owner: Server

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what many tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _HTTP

    def do_GET(self) -> None:
        self.close_connection = True
        path = self.path.partition("?")[0]
        seen, answer, faulty = self.server.owner.note(path, self.headers.get("Range"))
        if answer is None:
            self._head(seen, 404, {})
        elif faulty and answer.status is not None:
            self._head(seen, answer.status, answer.headers)
        elif faulty and answer.location is not None:
            length = {"Content-Length": str(len(answer.content))}
            self._head(seen, 302, {**answer.headers, **length, "Location": answer.location})
            self._send(seen, answer.content, answer.rate)
        else:
            self._content(seen, answer, faulty)

    # to whom it is a proxy, `host:port` is a path like others
    do_CONNECT = do_GET  # noqa: N815

    def _content(self, seen: Seen, answer: Answer, faulty: bool) -> None:
        size = len(answer.content)
        start, stop = 0, size
        asked = self._asked(answer, size)
        headers = {"Content-Type": answer.kind, **answer.headers}
        if answer.etag is not None:
            headers["ETag"] = answer.etag
        if asked is not None:
            start, stop = asked
            if start >= size:
                self._head(seen, 416, headers | {"Content-Range": f"bytes */{size}"})
                return
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        elif answer.ranges and not answer.endless:
            headers["Accept-Ranges"] = "bytes"
        if answer.endless:
            headers.pop("Content-Length", None)
        else:
            headers["Content-Length"] = str(stop - start + (answer.excess if faulty else 0))
        self._head(
            seen,
            200 if asked is None else 206,
            headers,
            rate=answer.rate if answer.slow_head else None,
        )
        body = answer.content[start:stop]
        if faulty and answer.break_after is not None:
            body = body[: answer.break_after]
        while True:
            self._send(seen, body, answer.rate)
            if not answer.endless or self.server.owner.closing.is_set():
                return

    def _asked(self, answer: Answer, size: int) -> tuple[int, int] | None:
        """The range asked for, cut to what there is; None to send everything."""
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if match is None or not answer.ranges or answer.endless:
            return None
        if self.headers.get("If-Range") not in (None, answer.etag):
            return None
        return int(match[1]), min(int(match[2]) + 1 if match[2] else size, size)

    def _head(
        self, seen: Seen, status: int, headers: dict[str, str], rate: float | None = None
    ) -> None:
        seen.status = status
        self.send_response(status)
        if status >= 300:
            headers = {"Content-Length": "0", **headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        if rate is None:
            self.end_headers()
            return
        lines = b"".join(self._headers_buffer) + b"\r\n"
        self._headers_buffer = []
        self._send(Seen("", None), lines, rate)

    def _send(self, seen: Seen, body: bytes, rate: float | None) -> None:
        piece = _PIECE if rate is None else max(1, int(rate / _TICKS))
        for start in range(0, len(body), piece):
            if self.server.owner.closing.is_set():
                return
            sending = body[start : start + piece]
            self.wfile.write(sending)
            seen.sent += len(sending)
            if rate is not None:
                time.sleep(len(sending) / rate)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the record is in `Server.seen`."""
