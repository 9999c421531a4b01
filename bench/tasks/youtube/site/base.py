"""Where videos are looked for and described: YouTube, or in tests a server on this machine."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from http.cookiejar import LoadError
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bench.errors import UserError
from bench.tasks.youtube.links.ids import intact
from bench.tasks.youtube.links.repair import Candidate
from bench.tasks.youtube.links.videos import short
from bench.tasks.youtube.site.connections import Connections, Stopped
from bench.tasks.youtube.site.search import candidates, positive, text_of
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
            Stopped: a stop was asked for meanwhile.
        """
        ...

    def describe(self, id: str) -> Sound:
        """Return what is known of one video.

        Raises:
            ItemError: it has no sound to download, or the question failed.
            Stopped: a stop was asked for meanwhile.
        """
        ...


class YouTube:
    """YouTube itself, by yt-dlp.

    Args:
        cookies: a file of cookies in Netscape's format, only read; for videos that YouTube shows
            to people who are signed in, or where it takes the machine for a bot.
        found: how many videos a search looks at.
        allow_private: whether its names may lead to private addresses, as behind some proxies.
        timeout: seconds that a search or a description may take.
        stop: ends them earlier once it is set.

    Raises:
        UserError: the file of cookies cannot be read, or is none.
    """

    def __init__(
        self,
        cookies: Path | None = None,
        found: int = 5,
        *,
        allow_private: bool = False,
        timeout: float = 60.0,
        stop: threading.Event | None = None,
    ):
        self.found = found
        self.timeout = timeout
        self._stop = stop
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
        result = self._ask(f"ytsearch{self.found}:{query}", process=True)
        entries = result.get("entries")
        # a search that finds nothing has an empty list; without any, YouTube was not understood
        if not isinstance(entries, Sequence) or isinstance(entries, str):
            raise ItemError("failed", "the search came back without a list", passing=True)
        return candidates(result)

    def describe(self, id: str) -> Sound:
        """Ask for one video and its formats; see `Site`."""
        if not intact(id):
            raise ItemError("unavailable", f"{short(id)} is not the id of a video")
        info = self._ask(f"https://www.youtube.com/watch?v={id}", process=False)
        return described(id, info)

    def _ask(self, question: str, process: bool) -> dict[str, Any]:
        from yt_dlp.utils import YoutubeDLError

        from bench.tasks.youtube.site.stumbling import stumbling

        client = self._client()
        with Connections(self.timeout, self._stop) as connections:
            try:
                with stumbling():
                    answer = client.extract_info(question, download=False, process=process)
            except YoutubeDLError as error:
                self._look_at_cut(connections)
                raise classify(error) from error
            # yt-dlp answers with less where some of its questions met a cut
            self._look_at_cut(connections)
        return answer or {}

    def _look_at_cut(self, connections: Connections) -> None:
        if connections.cut_for == "stop":
            raise Stopped("a question to YouTube was stopped")
        if connections.cut_for == "time":
            raise ItemError("failed", f"no whole answer in {self.timeout:g} s", passing=True)

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
        ItemError: it is no video (any more), it is or will be live, nothing of it has sound, or
            nothing of it can be played here.
    """
    if info.get("_type", "video") != "video":
        raise ItemError("unavailable", "the site answers with something else than the video")
    if info.get("live_status") in _NOT_YET or info.get("is_live"):
        raise ItemError("live", f"its live status is {info.get('live_status') or 'is_live'}")
    formats = [one for one in info.get("formats") or () if isinstance(one, Mapping)]
    # YouTube offers previews, series of small pictures, even where all else is missing
    films = [one for one in formats if not one.get("acodec") == one.get("vcodec") == "none"]
    if not films:
        raise ItemError(
            "failed",
            "the site offers no format that can be played here (those of YouTube need a "
            "JavaScript runtime)",
        )
    sounds = [one for one in films if one.get("acodec") != "none"]
    if not sounds:
        raise ItemError("no sound", "none of its formats has sound")
    # yt-dlp says 'maybe' where it is worth a try
    if all(one.get("has_drm") and one.get("has_drm") != "maybe" for one in sounds):
        raise ItemError("unavailable", "its sound is encrypted (DRM)")
    return Sound(
        id=id,
        title=text_of(info, "title"),
        channel=text_of(info, "channel") or text_of(info, "uploader"),
        channel_id=text_of(info, "channel_id"),
        duration=positive(info.get("duration")),
        info=info,
    )


def _read(cookies: Path) -> str:
    """Return the cookies of a file as yt-dlp writes them, those it cannot read left out."""
    from yt_dlp.cookies import YoutubeDLCookieJar

    try:
        text = cookies.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _no_cookies(cookies, f"cannot be read ({error})") from error
    jar = YoutubeDLCookieJar(io.StringIO(text))
    try:
        # of a line it cannot read it prints every word, and those are secrets
        with redirect_stderr(io.StringIO()):
            jar.load()
    except LoadError as error:
        raise _no_cookies(cookies, "is not in Netscape's format") from error
    if not len(jar):
        raise _no_cookies(cookies, "holds no cookie")
    readable = io.StringIO()
    jar.save(readable)
    return readable.getvalue()


def _no_cookies(cookies: Path, why: str) -> UserError:
    return UserError(
        f"the file of cookies {cookies} {why}: export it once more from a browser that is signed "
        "in, as 'cookies.txt' in Netscape's format, and give that with --cookies"
    )
