"""yt-dlp as a library: silent, without configuration, plugins or cache.

The one program that it may run is deno, where that is on the PATH: yt-dlp solves with it what
YouTube's player has to solve before it gets at a format. It runs the player's code without access
to files or the network.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yt_dlp.globals
from yt_dlp import YoutubeDL
from yt_dlp.networking import RequestDirector, RequestHandler

from bench.tasks.youtube.site.guard import Network, guarded

SOCKET_TIMEOUT = 20.0  # seconds to connect, and between two pieces


class _Silent:
    """A logger that says nothing: what matters comes as an exception."""

    def debug(self, message: str) -> None: ...

    def warning(self, message: str) -> None: ...

    def error(self, message: str) -> None: ...


class Client(YoutubeDL):
    """A `YoutubeDL` whose requests all pass the guard.

    Args:
        network: where requests may go.
        **params: of `YoutubeDL`, on top of what makes it silent.
    """

    def __init__(self, network: Network, **params: Any):
        self.network = network
        # plugins are code that other packages and the user's configuration bring along
        yt_dlp.globals.plugin_dirs.value = []
        super().__init__(
            {
                "quiet": True,
                "no_warnings": True,
                "noprogress": True,
                "color": "never",
                "logger": _Silent(),
                "cachedir": False,
                "noplaylist": True,
                "updatetime": False,
                "enable_file_urls": False,
                # one try per call: whoever calls knows when to wait and when to stop
                "retries": 0,
                "fragment_retries": 0,
                "extractor_retries": 0,
                "file_access_retries": 0,
                "skip_unavailable_fragments": False,
                "socket_timeout": SOCKET_TIMEOUT,
                # FFmpeg's program would make connections of its own
                "ffmpeg_location": "/nonexistent/voxgrid-never-runs-ffmpeg",
                **params,
            }
        )

    def build_request_director(
        self, handlers: Iterable[type[RequestHandler]], preferences: Any = None
    ) -> RequestDirector:
        """Return a director with a single, guarded handler."""
        plain: Any = next(handler for handler in handlers if handler.RH_KEY == "Urllib")
        director = super().build_request_director([guarded(plain)], preferences)
        for handler in director.handlers.values():
            handler.network = self.network
        return director
