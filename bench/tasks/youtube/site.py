"""Where videos are looked for and described."""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from http.cookiejar import LoadError
from pathlib import Path
from typing import Any

from yt_dlp.cookies import YoutubeDLCookieJar

from backbones.reading import SETTINGS, read_text
from bench.errors import UserError
from bench.tasks.youtube.client import Client, Hosts, Options
from bench.tasks.youtube.links import Found, intact, short
from bench.tasks.youtube.statuses import ItemError

_NAMES = ("youtube.com", "youtube-nocookie.com", "googlevideo.com", "ytimg.com")
# the last is where it asks whether someone is a bot
YOUTUBE = Hosts(frozenset({*_NAMES, "youtubei.googleapis.com", "google.com"}))
_FOUND = 5  # videos that a search looks at
_NOT_YET = ("is_live", "is_upcoming", "post_live")


class YouTube:
    """YouTube by yt-dlp: finds videos by title and describes them by id.

    Either raises an `ItemError` where that fails, and `Stopped` once the stop is set. `cookies`
    is a file in Netscape's format, only read: for videos that YouTube shows to people who are
    signed in, or where it takes the machine for a bot.

    Raises:
        UserError: the file of cookies cannot be read, or is none.
    """

    hosts = YOUTUBE

    def __init__(
        self,
        cookies: Path | None = None,
        options: Options | None = None,
        stop: threading.Event | None = None,
    ):
        self.options = options or Options()
        self.stop = stop or threading.Event()
        self._cookies = None if cookies is None else _read(cookies)
        # yt-dlp's object belongs to one thread; it keeps YouTube's player from video to video
        self._of_thread = threading.local()

    def search(self, title: str) -> Sequence[Found]:
        """Return what its page finds, best first, without looking at the videos found."""
        query = " ".join(title.split())
        return candidates(self._ask(f"ytsearch{_FOUND}:{query}", process=True)) if query else ()

    def describe(self, id: str) -> Found:
        """Return what is known of one video that has sound to download."""
        if not intact(id):
            raise ItemError("unavailable", f"{short(id)} is not the id of a video")
        return described(id, self._ask(f"https://www.youtube.com/watch?v={id}", process=False))

    def _ask(self, question: str, process: bool) -> dict[str, Any]:
        client = self.client()
        with client.limited(), client.named():
            return client.extract_info(question, download=False, process=process) or {}

    def client(self) -> Client:
        """Return this thread's yt-dlp."""
        client: Client | None = getattr(self._of_thread, "client", None)
        if client is None:
            client = self._of_thread.client = Client(self.hosts, self.options, self.stop)
            if self._cookies is not None:
                client.cookiejar = self._cookies  # and no file that it would write back to
        return client


def candidates(result: Mapping[str, object]) -> tuple[Found, ...]:
    """Read the videos out of a flat search result of yt-dlp, in its order.

    Entries without a video's id (channels, playlists, what could not be read) are left out.

    Raises:
        ItemError: there is no list: YouTube was not understood. One that finds nothing has one.
    """
    entries = result.get("entries")
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise ItemError("failed", "the search came back without a list")
    return tuple(
        _found(id, entry)
        for entry in entries
        if isinstance(entry, Mapping) and (id := _text(entry, "id")) and intact(id)
    )


def described(id: str, info: Mapping[str, Any]) -> Found:
    """Read yt-dlp's unprocessed info dict of the video asked for.

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
    return _found(id, info)


def positive(value: object) -> float | None:
    """Return a duration, size or rate that yt-dlp says; None where it does not."""
    # a live stream has none, and bool is an int to Python
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value > 0 else None


def _text(entry: Mapping[str, object], key: str) -> str | None:
    value = entry.get(key)
    return value.strip() or None if isinstance(value, str) else None


def _found(id: str, info: Mapping[str, Any]) -> Found:
    title, channel_id = _text(info, "title"), _text(info, "channel_id")
    channel = _text(info, "channel") or _text(info, "uploader")
    return Found(id, title, channel, positive(info.get("duration")), channel_id, info)


def _read(cookies: Path) -> YoutubeDLCookieJar:
    """Return the cookies of a file, those that yt-dlp cannot read left out."""
    try:
        jar = YoutubeDLCookieJar(io.StringIO(read_text(cookies, SETTINGS), newline=None))
        # of a line it cannot read it prints every word, and those are secrets
        with redirect_stderr(io.StringIO()):
            jar.load()
        why = "" if len(jar) else "holds no cookie"
    except LoadError:
        why = "is not in Netscape's format"
    except (OSError, ValueError) as error:
        why = f"cannot be read ({getattr(error, 'strerror', None) or error})"
    if why:
        raise UserError(
            f"the file of cookies {cookies} {why}: export it once more from a browser that is "
            "signed in, as 'cookies.txt' in Netscape's format, and give that with --cookies"
        )
    return jar
