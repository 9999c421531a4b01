"""One video's first seconds of sound, on disk whole or not at all, and resumable until then."""

from __future__ import annotations

import errno
import hashlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yt_dlp.downloader import FileDownloader, get_suitable_downloader
from yt_dlp.networking.exceptions import HTTPError
from yt_dlp.utils import YoutubeDLError

from bench.audio.decode import Facts, Inspection
from bench.audio.stream import Stream, reading
from bench.errors import ClipError, StorageError
from bench.tasks.youtube.fetching.sound import Heard, NotSound, beginning, hear
from bench.tasks.youtube.site.base import Sound
from bench.tasks.youtube.site.client import Client
from bench.tasks.youtube.site.connections import Connections, Stopped
from bench.tasks.youtube.site.guard import Network
from bench.tasks.youtube.site.search import positive
from bench.tasks.youtube.site.statuses import FINAL, ItemError, classify
from bench.tasks.youtube.site.stumbling import stumbling

# Sound alone in one piece; or the smallest of what has sound. Formats in fragments come last:
# of those nothing can be asked for by bytes. Other protocols would run other programs.
_PLAIN = "[protocol~='^https?$']"
_FRAGMENTS = "[protocol~='^(m3u8_native|http_dash_segments)$']"
_FORMAT = "/".join(
    f"bestaudio{protocol}/worst*[acodec!=?none]{protocol}" for protocol in (_PLAIN, _FRAGMENTS)
)
_NEEDED = ("id", "title", "duration", "formats", "http_headers", "_format_sort_fields")

_RATES = ("filesize", "filesize_approx", "abr", "tbr")

_BLOCK = 1 << 14  # bytes between two looks at what has come
_HEAD = 1 << 16  # bytes of a container's header, generously
_MARGIN = 1.15  # the rate of speech and music varies
_RATE = 16_000  # bytes per second, where nothing is known of a format
_MOST_AT_ONCE = 8_000_000  # bytes of one request; YouTube slows longer ones down
_HOPELESS = 1 << 20  # bytes in which a container has to begin
_HEADER_TOLERANCE = 0.5  # seconds; encoders' delays
_SITE_TOLERANCE = 2.0  # seconds; a site rounds, and tells the length of the picture


@dataclass(frozen=True)
class Limits:
    """What one video may take.

    Attributes:
        seconds: how much of the beginning is kept.
        megabytes: most bytes received, in millions.
        timeout: most wall time, in seconds.
    """

    seconds: float = 60.0
    megabytes: float = 200.0
    timeout: float = 300.0


@dataclass(frozen=True)
class Stored:
    """A sound on disk.

    Attributes:
        sha256: of the file.
        bytes: of the file.
        seconds: of sound in it, as decoded.
        codec: FFmpeg's name of it.
        received: bytes received for it by this call.
    """

    sha256: str
    bytes: int
    seconds: float
    codec: str
    received: int


def download(
    sound: Sound,
    target: Path,
    limits: Limits,
    network: Network,
    stop: threading.Event | None = None,
) -> Stored:
    """Get the first seconds of a video's sound, as they are, in a Matroska file.

    What has come is kept beside the target, in files named `<stem of target>.part-…`, until the
    sound is stored or final reasons speak against it; the next call goes on from there where the
    site still offers the same format in the same size.

    Args:
        sound: as described by its site, not long ago: addresses of media expire.
        target: the file to write, with the suffix `.mka`; its folder is created.
        limits: how much to keep, and what it may take.
        network: where requests may go.
        stop: once it is set, the download ends within moments.

    Raises:
        ItemError: the sound cannot be had, now or ever.
        StorageError: the folder cannot be written.
        Stopped: `stop` was set.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            Connections(limits.timeout, stop) as connections,
            Client(network, format=_FORMAT, nopart=True, **_REQUESTS) as client,
        ):
            item = _Item(sound, target, limits, client, connections)
            try:
                stored = item.get()
            except ItemError as error:
                if error.status in FINAL:
                    item.clear()
                raise
            item.clear()
            return stored
    except OSError as error:
        raise _storage_error(target.parent, error) from error


# small blocks of one size: yt-dlp's grow with the speed, and it looks at limits only in between
_REQUESTS = {"buffersize": _BLOCK, "noresizebuffer": True, "continuedl": True}


class _Enough(Exception):
    """Enough has come; raised through yt-dlp's downloader, to end it."""


class _Item:
    """One download under way.

    Attributes:
        chosen: yt-dlp's info dict of the format chosen.
        part: the file that bytes are received into.
        want: how many bytes should do.
        have: how many bytes the downloader has reported, from the beginning of the file.
        received: how many bytes came over the network.
    """

    def __init__(
        self,
        sound: Sound,
        target: Path,
        limits: Limits,
        client: Client,
        connections: Connections,
    ):
        self.sound = sound
        self.target = target
        self.limits = limits
        self.client = client
        self.connections = connections
        self.most = int(limits.megabytes * 1e6)
        self.received = 0
        self.have = 0
        self.why_not: NotSound | None = None
        self.chosen = self._choose()
        self.part = self._sibling(_identity(sound, self.chosen))
        self.fragmented = self.chosen["protocol"] not in ("http", "https")
        self.want = self._first_want()

    def get(self) -> Stored:
        self.clear(but=None if self.fragmented else self.part)
        resumed = self.part.exists()
        try:
            return self._store(self._receive())
        except ItemError as error:
            if not resumed or error.status not in ("not audio", "no sound"):
                raise
        # what an earlier run has left need not be the beginning of this
        self.clear()
        self.want = self._first_want()
        return self._store(self._receive())

    def clear(self, but: Path | None = None) -> None:
        """Remove what was received, also of other formats."""
        prefix = self._sibling("").name
        for path in self.target.parent.iterdir():
            if path.name.startswith(prefix) and path != but:
                path.unlink(missing_ok=True)

    def _sibling(self, what: str) -> Path:
        return self.target.with_name(f"{self.target.stem}.part-{what}")

    def _choose(self) -> dict[str, Any]:
        info = {key: self.sound.info[key] for key in _NEEDED if key in self.sound.info}
        info["formats"] = [
            dict(one) for one in info.get("formats") or () if isinstance(one, Mapping)
        ]
        info |= {"id": self.sound.id, "_type": "video", "extractor": "voxgrid"}
        info |= {"extractor_key": "voxgrid", "webpage_url": ""}
        try:
            with stumbling():
                result = self.client.process_ie_result(info, download=False)
        except YoutubeDLError as error:
            raise classify(error) from error
        # yt-dlp merges the format chosen into what it returns
        return {key: value for key, value in result.items() if key != "formats"}

    def _first_want(self) -> int:
        says = {key: positive(self.chosen.get(key)) for key in _RATES}
        size = says["filesize"] or says["filesize_approx"]
        kbps = says["abr"] or says["tbr"]
        if size and self.sound.duration:
            rate = size / self.sound.duration
        elif kbps:
            rate = kbps * 125
        else:
            rate = _RATE
        return min(self.most, int(_HEAD + rate * self.limits.seconds * _MARGIN))

    def _receive(self) -> Heard:
        """Fetch until the file holds enough, or all there is; return what it seems to hold."""
        self._wait_until_available()
        size = self._size()
        heard = self._listen() if size else None
        while heard is None or not self._enough(heard):
            if size >= self.want:
                self.want = self._next_want(size, heard)
            asked = min(self.want, size + _MOST_AT_ONCE)
            error = self._fetch(asked)
            before, size = size, self._size()
            heard = self._listen()
            if heard is not None and self._enough(heard):
                break
            if error is not None or self.fragmented or size != asked or size == before:
                return self._accepted(heard, error)
        return heard

    def _wait_until_available(self) -> None:
        # YouTube says from when on an address works; yt-dlp would sleep, deaf to a stop
        self.connections.wait((positive(self.chosen.pop("available_at", None)) or 0) - time.time())
        self._look_at_cut()

    def _fetch(self, asked: int) -> ItemError | None:
        """Go on from what the part file holds to a number of bytes.

        Returns:
            Why it ended early, where another try may help; None where it did not end early, or
            the server said nothing of the kind.
        """
        info = dict(self.chosen)
        # pieces of their own would not fit the range that is asked for
        info.pop("downloader_options", None)
        if not self.fragmented:
            headers = dict(info.get("http_headers") or {})
            info["http_headers"] = headers | {"Range": f"bytes=0-{asked - 1}"}
        self.have = self._size()
        try:
            with stumbling():
                kind = _raising(get_suitable_downloader(info, self.client.params))
                downloader = kind(self.client, self.client.params)
                downloader.add_progress_hook(self._on_progress)
                downloader.download(str(self.part), info)
        except _Enough:
            return None
        except YoutubeDLError as error:
            self._look_at_cut()
            if isinstance(error, HTTPError) and error.status == 416:
                return None  # all of it is there
            _raise_if_of_disk(error)
            reason = classify(error)
            if not reason.passing:
                raise reason from error
            return reason
        finally:
            # the server may have more to send, to nobody
            self.connections.close()
        self._look_at_cut()
        return None

    def _on_progress(self, status: Mapping[str, Any]) -> None:
        self._look_at_cut()
        have = int(status.get("downloaded_bytes") or 0)
        # fewer than before: the server began anew, and so did yt-dlp
        self.received += have - self.have if have >= self.have else have
        self.have = have
        if have >= self.want:
            heard = self._listen()
            if self._enough(heard):
                raise _Enough
            self.want = self._next_want(have, heard)
        if max(have, self.received) >= self.most:
            raise self._too_large()

    def _next_want(self, size: int, heard: Heard | None) -> int:
        """Return how many bytes should do, now that so many did not."""
        if size >= self.most:
            raise self._too_large()
        if heard is not None and heard.seconds >= 1.0:
            missing = self.limits.seconds - heard.seconds
            want = int(size + size / heard.seconds * missing * _MARGIN + _HEAD)
        elif heard is None and self._index_at_end():
            want = self.chosen.get("filesize") or size * 4
            if want > self.most:
                raise self._too_large()
        elif heard is None and size >= _HOPELESS:
            raise ItemError("not audio", f"what the server sends {self.why_not}")
        else:
            want = size * 2 + _HEAD
        return min(self.most, max(want, size + _HEAD))

    def _index_at_end(self) -> bool:
        """Whether it is an MP4 file, which cannot be read before its index has come."""
        with self.part.open("rb") as file:
            return file.read(8)[4:] == b"ftyp"

    def _listen(self) -> Heard | None:
        if not self._size():
            return None
        try:
            return hear(self.part, self.limits.seconds)
        except NotSound as error:
            if error.certain:
                raise ItemError("not audio", f"what the server sends {error}") from error
            self.why_not = error
            return None

    def _enough(self, heard: Heard | None) -> bool:
        return heard is not None and heard.seconds >= self.limits.seconds

    def _accepted(self, heard: Heard | None, error: ItemError | None) -> Heard:
        """Return a sound that ends before the seconds wanted, if it is as long as it should be.

        Raises:
            ItemError: it is not, or nothing says how long it should be and the server broke off.
        """
        if heard is None or not heard.seconds:
            if error is not None:
                raise error
            if not self._size():
                raise ItemError("failed", "the server sent nothing", passing=True)
            raise ItemError("not audio", f"what the server sent {self.why_not or 'is empty'}")
        if heard.promised is not None:
            expected, tolerance = heard.promised, _HEADER_TOLERANCE
        elif self.sound.duration is not None:
            expected, tolerance = self.sound.duration, _SITE_TOLERANCE
        elif error is not None:
            raise error
        else:
            return heard
        if heard.seconds < min(expected, self.limits.seconds) - tolerance:
            raise error or ItemError(
                "failed",
                f"the server sent {heard.seconds:.1f} of {expected:.1f} seconds",
                passing=True,
            )
        return heard

    def _store(self, heard: Heard) -> Stored:
        try:
            made = beginning(self.part, self.limits.seconds)
        except NotSound as error:
            raise ItemError("not audio", f"what the server sent {error}") from error
        whole = self._sibling("whole.mka")
        whole.write_bytes(made.content)
        try:
            facts = reading(whole, _decoded)
        except ClipError as error:
            silent = str(error).startswith("is silent")
            raise ItemError("no sound" if silent else "not audio", f"the sound {error}") from error
        needed = min(heard.seconds, self.limits.seconds)
        if facts.seconds < needed - _HEADER_TOLERANCE:
            raise ItemError(
                "not audio", f"of {needed:.1f} s of sound {facts.seconds:.1f} can be decoded"
            )
        whole.replace(self.target)
        return Stored(
            sha256=hashlib.sha256(made.content).hexdigest(),
            bytes=len(made.content),
            seconds=facts.seconds,
            codec=made.codec,
            received=self.received,
        )

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _look_at_cut(self) -> None:
        if self.connections.cut_for == "stop":
            raise Stopped(f"{self.sound.id} was stopped: the next run goes on from there")
        if self.connections.cut_for == "time":
            raise ItemError(
                "too slow",
                f"not enough came in {self.limits.timeout:g} s ({self.received} bytes)",
            )

    def _too_large(self) -> ItemError:
        return ItemError(
            "too large",
            f"{self.limits.megabytes:g} MB do not hold its first {self.limits.seconds:g} s",
        )


def _decoded(stream: Stream) -> Facts:
    seen = Inspection(stream.rate)
    for block in stream.blocks:
        seen.add(block)
    return seen.facts()


def _identity(sound: Sound, chosen: Mapping[str, Any]) -> str:
    """Return what a part file goes on from: the same format in the same size."""
    facts = [sound.id, chosen.get("format_id"), chosen.get("filesize"), chosen.get("ext")]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _raising(downloader: type[FileDownloader]) -> type[FileDownloader]:
    """Return a downloader that raises the error itself, of which yt-dlp's only keeps the text."""

    class Raising(downloader):  # type: ignore[misc, valid-type]
        def report_retry(self, err: Exception, *_: Any, **__: Any) -> None:
            raise err

    return Raising


def _raise_if_of_disk(error: YoutubeDLError) -> None:
    """Raise the OSError that yt-dlp met when it wrote; those of the network lie deeper."""
    held = getattr(error, "exc_info", None)
    if held and isinstance(held[1], OSError):
        raise held[1]


def _storage_error(folder: Path, error: OSError) -> StorageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StorageError(
            f"the disk of {folder} is full ({error.strerror}): free some space, or set "
            "VOXGRID_DATA to a folder on another disk, and run the same command again"
        )
    return StorageError(
        f"{folder} cannot be written ({error}): set VOXGRID_DATA to a writable folder"
    )
