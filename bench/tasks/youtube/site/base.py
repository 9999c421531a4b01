"""Where videos are looked for and described: YouTube, or in tests a server on this machine."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bench.errors import UserError
from bench.tasks.youtube.links.ids import intact
from bench.tasks.youtube.links.repair import Candidate
from bench.tasks.youtube.links.videos import short
from bench.tasks.youtube.site.search import candidates, seconds, text_of
from bench.tasks.youtube.site.statuses import ItemError, classify

if TYPE_CHECKING:
    from bench.tasks.youtube.site.client import Client

_HOSTS = frozenset(
    {
        "youtube.com",
        "youtube-nocookie.com",
        "googlevideo.com",
        "ytimg.com",
        "youtubei.googleapis.com",
        "google.com",
    }
)
_NOT_YET = ("is_live", "is_upcoming", "post_live")


@dataclass(frozen=True)
class Sound:
    """What a site says about a video, enough to download its sound.

    Attributes:
        id: of the video.
        title: None where the site does not say it.
        channel: None where the site does not say it.
        channel_id: None where the site does not say it.
        duration: of the whole video, in seconds; None where the site does not say it.
        info: yt-dlp's info dict of it, formats included.
    """

    id: str
    title: str | None
    channel: str | None
    channel_id: str | None
    duration: float | None
    info: Mapping[str, Any]


class Site(Protocol):
    """Finds videos by title and describes them by id."""

    @property
    def hosts(self) -> frozenset[str]:
        """Return hosts that media and redirects may lead to, each for its subdomains too."""
        ...

    def search(self, title: str) -> Sequence[Candidate]:
        """Return what is found, best first; nothing where nothing is.

        Raises:
            ItemError: the search itself failed.
        """
        ...

    def describe(self, id: str) -> Sound:
        """Return what is known of one video.

        Raises:
            ItemError: it has no sound to download, or the question failed.
        """
        ...


class YouTube:
    """YouTube itself, by yt-dlp.

    Args:
        cookies: a file of cookies in Netscape's format, only read; for videos that YouTube shows
            to people who are signed in, or where it takes the machine for a bot.
        found: how many videos a search looks at.
        allow_private: whether its names may lead to private addresses, as behind some proxies.

    Raises:
        UserError: the file of cookies cannot be read.
    """

    def __init__(self, cookies: Path | None = None, found: int = 5, *, allow_private: bool = False):
        self.found = found
        self._allow_private = allow_private
        self._cookies = None if cookies is None else _read(cookies)
        # yt-dlp's object belongs to one thread; it keeps YouTube's player from video to video
        self._of_thread = threading.local()

    @property
    def hosts(self) -> frozenset[str]:
        """YouTube's hosts; google.com is where it asks whether someone is a bot."""
        return _HOSTS

    def search(self, title: str) -> Sequence[Candidate]:
        """Search as its page does, without looking at the videos found; see `Site`."""
        query = " ".join(title.split())
        if not query:
            return ()
        return candidates(self._ask(f"ytsearch{self.found}:{query}", process=True))

    def describe(self, id: str) -> Sound:
        """Ask for one video and its formats; see `Site`."""
        if not intact(id):
            raise ItemError("unavailable", f"{short(id)} is not the id of a video")
        info = self._ask(f"https://www.youtube.com/watch?v={id}", process=False)
        return described(id, info)

    def _ask(self, question: str, process: bool) -> dict[str, Any]:
        from yt_dlp.utils import YoutubeDLError

        try:
            return self._client().extract_info(question, download=False, process=process) or {}
        except YoutubeDLError as error:
            raise classify(error) from error

    def _client(self) -> Client:
        from bench.tasks.youtube.site.client import Client
        from bench.tasks.youtube.site.guard import Network

        client: Client | None = getattr(self._of_thread, "client", None)
        if client is None:
            # a copy of the cookies: yt-dlp writes back to a file it is given by name
            cookies = {} if self._cookies is None else {"cookiefile": io.StringIO(self._cookies)}
            client = self._of_thread.client = Client(
                Network(_HOSTS, self._allow_private),
                extract_flat="in_playlist",
                allowed_extractors=["^youtube$", "^youtube:search$"],
                **cookies,
            )
        return client


def described(id: str, info: Mapping[str, Any]) -> Sound:
    """Read an info dict of yt-dlp.

    Args:
        id: that was asked for.
        info: what `extract_info(…, download=False)` returns.

    Raises:
        ItemError: it is no video (any more), it is or will be live, or nothing of it has sound.
    """
    if info.get("_type", "video") != "video":
        raise ItemError("unavailable", "the site answers with something else than the video")
    if info.get("live_status") in _NOT_YET or info.get("is_live"):
        raise ItemError("live", f"its live status is {info.get('live_status') or 'is_live'}")
    formats = [one for one in info.get("formats") or () if one.get("acodec") != "none"]
    if not formats:
        raise ItemError("no sound", "none of its formats has sound")
    if all(one.get("has_drm") for one in formats):
        raise ItemError("unavailable", "its sound is encrypted (DRM)")
    return Sound(
        id=id,
        title=text_of(info, "title"),
        channel=text_of(info, "channel") or text_of(info, "uploader"),
        channel_id=text_of(info, "channel_id"),
        duration=seconds(info.get("duration")),
        info=info,
    )


def _read(cookies: Path) -> str:
    try:
        return cookies.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"the file of cookies {cookies} cannot be read ({error}): give a file in Netscape's "
            "format, as browsers' cookie exporters write it"
        ) from error
