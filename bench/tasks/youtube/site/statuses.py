"""What became of a video's sound, and what an error of yt-dlp means for it."""

from __future__ import annotations

import email.utils
import re
import socket
import time
from collections.abc import Iterator
from typing import Literal, get_args

from bench.errors import VoxgridError

Status = Literal[
    "ok",
    "not repaired",
    "unavailable",
    "private",
    "removed",
    "age-restricted",
    "geo-blocked",
    "members only",
    "live",
    "no sound",
    "too large",
    "too slow",
    "not audio",
    "refused",
    "blocked",
    "failed",
]

# Tried again by the next run: what the network, the site's mood of the hour or this machine's
# means brought about. A download that was too slow goes on from what it has received, where the
# sound is one file; a format in fragments begins anew.
FINAL: frozenset[Status] = frozenset(get_args(Status)) - {"failed", "blocked", "too slow"}

_MOST = 200  # characters of a reason

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_PREFIX = re.compile(r"^(?:\s*ERROR:\s*)?(?:\[[\w:+.-]+\]\s*)?(?:[\w-]{11}:\s+)?")
# where yt-dlp stops saying what happened and begins to say what to do about yt-dlp
_ADVICE = re.compile(
    r"[;,.]?\s*(?:please report this issue on\b|confirm you are on the latest version|"
    r"(?:Use|Pass|See)\s+--?\w|Use --cookies|Also see\s+https|See\s+https?://|"
    r"For more information, refer to|It is recommended to use `|"
    r"\(caused by\b).*",
    re.IGNORECASE | re.DOTALL,
)

# The first that matches decides: "Private video. Sign in if …" before any other "Sign in".
_TEXTS: tuple[tuple[Status, str], ...] = (
    ("blocked", r"not a bot|captcha|rate-limited by youtube|IP is likely being blocked"),
    ("blocked", r"content isn.t available, try again later|unusual traffic"),
    # said to this machine, its yt-dlp or its lack of a JavaScript runtime, not of the video
    (
        "failed",
        r"\b(?:on|in|by|of) (?:this|your) (?:application|app|device|browser)\b|"
        r"session does not exist|playback id|\berror(?: code)?:? 15\d\b|"
        r"requested format is not available|only images are available|no video formats",
    ),
    ("private", r"private video|video is private|granted access to this video"),
    (
        "members only",
        r"members?[- ]only|channel.s members|join this channel|premium members|"
        r"requires? (?:payment|purchase)|must be (?:purchased|rented)|this video is only "
        r"available for (?:premium|paying)",
    ),
    ("geo-blocked", r"(?:in|from) your (?:country|location|region)|geo[- ]?restrict"),
    ("age-restricted", r"confirm your age|age[- ]restricted|age[- ]verif|inappropriate for"),
    (
        "removed",
        r"removed by|has been removed|been terminated|closed their youtube account|"
        r"(?:account|channel).{0,40}(?:terminated|closed|deleted|does not exist)|"
        r"copyright claim|was deleted",
    ),
    (
        "live",
        r"live event|premieres? in|premieres? will|is a premiere|live stream|is offline|"
        r"not currently live|^offline\.?$|is_upcoming|waiting for the (?:live|premiere)",
    ),
    ("unavailable", r"drm protected|copyright grounds"),
    (
        "unavailable",
        r"video (?:is )?(?:unavailable|not available|no longer available)|"
        r"(?:video|content) (?:isn.t|is not|is no longer) available|content is unavailable|"
        r"unsupported url|incomplete youtube id|playback on other websites|"
        r"video does not exist",
    ),
)
_REASONS = tuple((status, re.compile(text, re.IGNORECASE)) for status, text in _TEXTS)


class ItemError(VoxgridError):
    """One video's sound is not to be had, now or ever; its message is the reason alone.

    Attributes:
        status: what to note for the video, unless another try helps.
        passing: whether another try soon may help (time-outs, a broken connection, 5xx, 429).
        retry_after: seconds that the server asks to wait first; None where it says nothing.
    """

    def __init__(
        self,
        status: Status,
        reason: str,
        *,
        passing: bool = False,
        retry_after: float | None = None,
    ):
        super().__init__(cleaned(reason))
        self.status: Status = status
        self.passing = passing
        self.retry_after = retry_after


def cleaned(text: str) -> str:
    """Return a message of yt-dlp as one short line that only says what happened.

    Colours, control characters, the `ERROR: [youtube] <id>:` in front and the advice to users of
    the yt-dlp command behind are left out.
    """
    line = _PREFIX.sub("", _ANSI.sub("", text), count=1)
    line = " ".join(_CONTROL.sub(" ", _ADVICE.sub("", line)).split()).rstrip(" .;,:")
    if not line:
        line = "no reason given"
    return line if len(line) <= _MOST else line[: _MOST - 1] + "…"


def classify(error: Exception) -> ItemError:
    """Say what an error of yt-dlp means for the video it happened with.

    Args:
        error: what `YoutubeDL` or one of its downloaders raised.

    Returns:
        The same in words of the manifest, not raised. Texts of YouTube come first, then what
        HTTP says. A media address answered by 403 has usually expired: that passes when the
        video is described anew. A 404 or 410 of the media itself is final, one of a page in
        between is not: YouTube's interface gives some that go away.
    """
    from yt_dlp.networking.exceptions import (
        CertificateVerifyError,
        HTTPError,
        RequestError,
        TransportError,
    )
    from yt_dlp.utils import ContentTooShortError, ExtractorError, GeoRestrictedError

    from bench.tasks.youtube.site.guard import Refused
    from bench.tasks.youtube.site.stumbling import Stumbled

    chain = tuple(_chain(error))
    for one in chain:
        if isinstance(one, ItemError):
            return one
        if isinstance(one, Refused):
            return ItemError("refused", str(one))
        if isinstance(one, Stumbled):
            return ItemError("failed", str(one))
    text = _text(error)
    if any(isinstance(one, GeoRestrictedError) for one in chain):
        return ItemError("geo-blocked", text)
    answered = next((one for one in chain if isinstance(one, HTTPError)), None)
    extracting = any(isinstance(one, ExtractorError) for one in chain)
    if answered is None or extracting:
        for status, pattern in _REASONS:
            if pattern.search(text):
                return ItemError(status, text)
    if answered is not None:
        return _answered(answered.status, answered.response.headers, answered, extracting)
    for one in chain:
        if isinstance(one, CertificateVerifyError):
            return ItemError("failed", text)
        if isinstance(one, TransportError | ContentTooShortError | TimeoutError | socket.gaierror):
            return ItemError("failed", _text(one), passing=True)
        if isinstance(one, RequestError):
            return ItemError("failed", text)
    return ItemError("failed", text, passing=_PASSING.search(text) is not None)


_PASSING = re.compile(
    r"player response|timed out|timeout|connection|got error|incomplete|did not get any data|"
    r"there are no entries",
    re.IGNORECASE,
)


def _answered(status: int, headers: object, error: Exception, extracting: bool) -> ItemError:
    reason = _text(error)
    if getattr(error, "redirect_loop", False):
        return ItemError("failed", "the server redirects in a circle")
    if 300 <= status < 400 and "is not allowed" in str(error.__cause__):  # urllib's words
        return ItemError("refused", "the server redirects to something else than http and https")
    if status == 429 or status >= 500:
        return ItemError(
            "blocked" if status == 429 else "failed",
            reason,
            passing=True,
            retry_after=_retry_after(headers) if status in (429, 503) else None,
        )
    if status == 451:
        return ItemError("geo-blocked", reason)
    if status in (404, 410):
        if extracting:
            return ItemError("failed", reason, passing=True)
        return ItemError("unavailable", reason)
    return ItemError("failed", reason, passing=status in (403, 408))


def _retry_after(headers: object) -> float | None:
    """Return the seconds to wait that a Retry-After header names, as a number or as a date."""
    get = getattr(headers, "get", None)
    value = get("Retry-After") if get is not None else None
    if not isinstance(value, str):
        return None
    if re.fullmatch(r"\s*\d{1,9}\s*", value, re.ASCII):
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())


def _text(error: BaseException) -> str:
    # what an extractor said, without yt-dlp's frame around it
    for one in _chain(error):
        original = getattr(one, "orig_msg", None)
        if isinstance(original, str) and original:
            return original
    return str(error) or type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from, outermost first, none twice."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        held = getattr(one, "exc_info", None)
        if isinstance(held, tuple) and len(held) == 3:
            waiting.append(held[1])
        # urllib's URLError holds what happened as its reason
        waiting += [getattr(one, "cause", None), one.__cause__, getattr(one, "reason", None)]
