"""A site whose videos lie on a server on this machine, in the shapes that yt-dlp gives."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.tasks.youtube.client import Hosts, Options
from bench.tasks.youtube.links import Found
from bench.tasks.youtube.site import YouTube, candidates, described
from bench.tasks.youtube.statuses import ItemError
from tests.loopback.server import Server

_CODECS = {"webm": "opus", "m4a": "mp4a.40.2", "mp3": "mp3", "wav": "pcm_s16le"}


@dataclass(frozen=True)
class LoopbackVideo:
    """A video of the site.

    Attributes:
        id: 11 characters.
        path: of its sound on the server.
        title: of the video.
        channel: that it belongs to.
        category: that it belongs to; only for those who make tables of it.
        duration: in seconds, as the site says it.
        suffix: of the sound: webm, m4a, mp3, wav.
        kbps: as the site says it; None where it does not.
        size: in bytes, as the site says it; None where it does not.
        live_status: as yt-dlp says it.
    """

    id: str
    path: str
    title: str = "A video"
    channel: str = "A channel"
    category: str = "travel"
    duration: float | None = 20.0
    suffix: str = "webm"
    kbps: float | None = 32.0
    size: int | None = None
    live_status: str = "not_live"


class LoopbackSite(YouTube):
    """Answers as YouTube does, by `search` and `describe`.

    Args:
        server: that sends the sound.
        videos: found by their titles and described by their ids.
        results: what searches find instead, by title, as `entry` makes it.
        errors: by id or title, what `describe` and `search` raise: an error always, a sequence
            one after the other and then no more.
        options: how to fetch.
        stop: ends what is under way.

    Attributes:
        asked: how often each id and title was asked for.
    """

    hosts = Hosts(frozenset({"127.0.0.1"}), frozenset({"http"}))

    def __init__(
        self,
        server: Server,
        videos: Sequence[LoopbackVideo] = (),
        results: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        errors: Mapping[str, ItemError | Sequence[ItemError]] | None = None,
        options: Options | None = None,
        stop: threading.Event | None = None,
    ):
        super().__init__(options=options, stop=stop)
        self.server = server
        self.videos = {video.id: video for video in videos}
        self.results = dict(results or {})
        self.errors = dict(errors or {})
        self.asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    def search(self, title: str) -> Sequence[Found]:
        self._count(title)
        found = self.results.get(title)
        if found is None:
            found = [entry(video) for video in self.videos.values() if video.title == title]
        return candidates({"_type": "playlist", "id": title, "entries": list(found)})

    def describe(self, id: str) -> Found:
        self._count(id)
        if id not in self.videos:
            raise ItemError("unavailable", "Video unavailable")
        return described(id, self.info(self.videos[id]))

    def info(self, video: LoopbackVideo) -> dict[str, Any]:
        """What yt-dlp's `extract_info` returns of a video, before it is processed."""
        sound = {
            "format_id": "251" if video.suffix == "webm" else "140",
            "url": self.server.url(video.path),
            "ext": video.suffix,
            "protocol": "http",
            "acodec": _CODECS[video.suffix],
            "vcodec": "none",
            "abr": video.kbps,
            "tbr": video.kbps,
            "filesize": video.size,
            "http_headers": {"Accept-Language": "en-us,en;q=0.5"},
            "downloader_options": {"http_chunk_size": 10 << 20},
        }
        pictures = {
            "format_id": "sb0",
            "url": self.server.url("/storyboard"),
            "ext": "mhtml",
            "protocol": "mhtml",
            "acodec": "none",
            "vcodec": "none",
        }
        return {
            "id": video.id,
            "title": video.title,
            "channel": video.channel,
            "channel_id": "UC" + hashlib.sha256(video.channel.encode()).hexdigest()[:22],
            "duration": video.duration,
            "live_status": video.live_status,
            "formats": [pictures, sound],
        }

    def _count(self, name: str) -> None:
        with self._lock:
            before = self.asked[name]
            self.asked[name] += 1
        error = self.errors.get(name)
        if isinstance(error, ItemError):
            raise error
        if error is not None and before < len(error):
            raise error[before]


def entry(video: LoopbackVideo) -> dict[str, Any]:
    """A video as one of the entries of yt-dlp's flat search."""
    return {
        "_type": "url",
        "ie_key": "Youtube",
        "id": video.id,
        "url": f"https://www.youtube.com/watch?v={video.id}",
        "title": video.title,
        "duration": video.duration,
        "channel": video.channel,
        "uploader": video.channel,
        "live_status": None,
    }
