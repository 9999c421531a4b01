"""One video's first seconds of sound, on disk whole or not at all, and resumable until then."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yt_dlp.downloader import get_suitable_downloader
from yt_dlp.networking.exceptions import HTTPError
from yt_dlp.utils import DownloadError

from bench.audio.decode import inspected
from bench.audio.stream import reading
from bench.errors import ClipError
from bench.files import storing, unlinked
from bench.tasks.youtube.client import BLOCK, Client
from bench.tasks.youtube.links import Found
from bench.tasks.youtube.manifest import UNWRITABLE
from bench.tasks.youtube.site import positive
from bench.tasks.youtube.sound import Beginning, NotSound, beginning
from bench.tasks.youtube.statuses import FINAL, ItemError

_NEEDED = ("title", "duration", "http_headers", "_format_sort_fields")

_HEAD = 1 << 16  # bytes of a container's header, generously
_MARGIN = 1.15  # the rate of speech and music varies
_KBPS = 128.0  # where nothing is known of a format
_MOST_AT_ONCE = 8_000_000  # bytes of one request; YouTube slows longer ones down
_HOPELESS = 8_000_000  # bytes in which a container has to begin, or to end with its index
_HEADER_TOLERANCE = 0.5  # seconds; encoders' delays
_SITE_TOLERANCE = 2.0  # seconds; a site rounds, and tells the length of the picture


@dataclass(frozen=True)
class Stored:
    """A sound on disk: facts of its file, and how many bytes this call received for it."""

    sha256: str
    bytes: int
    seconds: float
    codec: str
    received: int


def download(sound: Found, target: Path, client: Client) -> Stored:
    """Get the first seconds of a video's sound, as they are, in a Matroska file.

    What has come is kept beside the target, in files named `<stem of target>.part-…`, until the
    sound is stored or final reasons speak against it; the next call goes on from there where the
    site still offers the same format in the same size.

    The site has described the sound not long ago: addresses of media expire. The target's
    suffix is `.mka`; its folder is created. The client's options say how much to keep.

    Raises:
        ItemError: the sound cannot be had, now or ever.
        StorageError: the folder cannot be written.
        Stopped: the client's stop was set.
    """
    with storing(target.parent, UNWRITABLE), client.limited():
        target.parent.mkdir(parents=True, exist_ok=True)
        item = _Item(sound, unlinked(target, target.parent.parent), client)
        resumed = item.part.exists()
        try:
            return item.get()
        except ItemError as error:
            if error.status in FINAL:
                item.clear()
            if resumed and error.status in ("not audio", "no sound"):
                reason = "what an earlier fetch left is not the beginning of it"
                raise ItemError("failed", reason, passing=True) from error
            raise


class _Enough(Exception):
    """Enough has come; raised through yt-dlp's downloader, to end it."""


class _Item:
    """One download under way."""

    def __init__(self, sound: Found, target: Path, client: Client):
        self.sound, self.target, self.client = sound, target, client
        self.options = client.options
        self.received = 0  # bytes over the network
        self.have = 0  # bytes from the beginning of the file, as the downloader reports them
        self.listen_at = _HEAD  # bytes that may be enough
        self.chosen = self._choose()
        self.fragmented = self.chosen["protocol"] not in ("http", "https")
        # what a part file goes on from: the same format in the same size
        facts = [sound.id, *(self.chosen.get(key) for key in ("format_id", "filesize", "ext"))]
        self.part = self._sibling(hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16])

    def get(self) -> Stored:
        self.clear(but=None if self.fragmented else self.part)
        return self._store(self._receive())

    def clear(self, but: Path | None = None) -> None:
        """Remove what was received, also of other formats."""
        prefix = self._sibling("").name
        for path in self.target.parent.iterdir():
            kept = path == but and path.is_file() and not path.is_symlink()
            if path.name.startswith(prefix) and not kept:
                path.unlink(missing_ok=True)

    def _sibling(self, what: str) -> Path:
        return self.target.with_name(f"{self.target.stem}.part-{what}")

    def _choose(self) -> dict[str, Any]:
        """Return yt-dlp's info dict of the format chosen."""
        given = self.sound.info
        info = {key: given[key] for key in _NEEDED if key in given}
        # a copy, which yt-dlp changes
        info["formats"] = [dict(one) for one in given["formats"] if isinstance(one, Mapping)]
        info |= {"id": self.sound.id, "_type": "video", "extractor": "voxgrid"}
        info |= {"extractor_key": "voxgrid", "webpage_url": ""}
        with self.client.named():
            chosen = self.client.process_ie_result(info, download=False)
        # pieces of the site's choice would not fit the range that is asked for
        return chosen | {"formats": None, "downloader_options": {}}

    def _receive(self) -> Beginning:
        """Fetch until the file holds enough, or all there is."""
        # asked for in pieces: the first should do, and servers send ahead of what is read
        kbps = positive(self.chosen.get("abr")) or positive(self.chosen.get("tbr")) or _KBPS
        piece = min(int(_HEAD + kbps * 125 * self.options.seconds * _MARGIN), _MOST_AT_ONCE)
        heard, more = self._listen(), True
        while more and (heard is None or heard.seconds < self.options.seconds):
            asked = self._size() + piece
            self._fetch(asked)
            more = self._size() == asked
            heard = self._listen(last=not more)
        if heard is None:
            raise ItemError("failed", "the server sent nothing")
        tolerance = _SITE_TOLERANCE if heard.promised is None else _HEADER_TOLERANCE
        expected = min(heard.promised or self.sound.duration or 0.0, self.options.seconds)
        if heard.seconds < expected - tolerance:
            raise ItemError(
                "failed", f"the server sent {heard.seconds:.1f} of {expected:.1f} seconds"
            )
        return heard

    def _fetch(self, asked: int) -> None:
        """Go on from what the part file holds to so many bytes, where the site gives ranges."""
        info = dict(self.chosen)
        headers = dict(info.get("http_headers") or {})
        if not self.fragmented:
            info["http_headers"] = headers | {"Range": f"bytes=0-{asked - 1}"}
        # YouTube says from when on an address works; yt-dlp would sleep, deaf to a stop
        self.client.wait((positive(info.pop("available_at", None)) or 0) - time.time())
        self.have = self._size()
        try:
            with self.client.named():
                kind = get_suitable_downloader(info, self.client.params)
                downloader = kind(self.client, self.client.params)
                downloader.add_progress_hook(self._on_progress)
                downloader.download(str(self.part), info)
        except _Enough:
            pass
        except ItemError as error:
            cause = error.__cause__
            if isinstance(cause, DownloadError) and isinstance(cause.exc_info[1], OSError):
                raise cause.exc_info[1] from error  # of the disk; the network's lie deeper
            if not (isinstance(cause, HTTPError) and cause.status == 416):  # all of it is there
                raise

    def _on_progress(self, status: Mapping[str, Any]) -> None:
        self.client.look()
        have = int(status.get("downloaded_bytes") or 0)
        # fewer than before: the server began anew, and so did yt-dlp
        self.received += have - self.have if have >= self.have else have
        self.have = have
        if have >= self.listen_at:
            heard = self._listen(last=have >= _HOPELESS)
            if heard is None or heard.seconds < 1.0:
                self.listen_at = have * 2
            elif heard.seconds < self.options.seconds:
                self.listen_at = int(have * self.options.seconds / heard.seconds) + BLOCK
            else:
                raise _Enough
        if max(have, self.received) >= self.options.megabytes * 1e6:
            raise ItemError(
                "too large",
                f"{self.options.megabytes:g} MB do not hold its first {self.options.seconds:g} s",
            )

    def _listen(self, last: bool = False) -> Beginning | None:
        """Return what the file holds; None where nothing, which more of it may change."""
        try:
            return beginning(self.part, self.options.seconds) if self._size() else None
        except NotSound as error:
            if error.certain or last:
                raise ItemError("not audio", f"what the server sends {error}") from error
            return None

    def _store(self, heard: Beginning) -> Stored:
        whole = self._sibling("whole.mka")
        whole.write_bytes(heard.content)
        try:
            facts = reading(whole, inspected)
        except ClipError as error:
            silent = str(error).startswith("is silent")
            raise ItemError("no sound" if silent else "not audio", f"the sound {error}") from error
        needed = min(heard.seconds, self.options.seconds)
        if facts.seconds < needed - _HEADER_TOLERANCE:
            raise ItemError(
                "not audio", f"of {needed:.1f} s of sound {facts.seconds:.1f} can be decoded"
            )
        whole.replace(self.target)
        self.clear()
        digest = hashlib.sha256(heard.content).hexdigest()
        return Stored(digest, len(heard.content), facts.seconds, heard.codec, self.received)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0
