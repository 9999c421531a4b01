"""Two hundred rows of links to a site on this machine; three in ten are broken, each in its way."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from bench.tasks.sample.topic import Channel, synthesize
from bench.tasks.youtube.client import Options
from bench.tasks.youtube.links import CATEGORIES
from bench.tasks.youtube.statuses import ItemError, Status
from tests.loopback.media import SUFFIXES, Kind, encoded, picture
from tests.loopback.server import Answer, Server
from tests.loopback.site import LoopbackSite, LoopbackVideo, entry

ROWS = 200
BROKEN = 60
CHANNELS = 40
SECONDS = 5.0  # of each video; more than is kept
KEPT = 4.0
TWINS = 3

# what each category sounds like here
_KINDS = dict(zip(CATEGORIES, ("ambience", "percussion", "music", "speech"), strict=True))
_FORMATS: tuple[Kind, ...] = ("webm", "m4a", "mp3", "wav")
_RATE = 16_000
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass
class Collection:
    """The table and what is expected to become of it.

    Attributes:
        server: sends the sound.
        site: finds and describes the videos.
        rows: of the table: link, title, description, category.
        expected: status of each video kept, by the id as the table has it.
        twins: ids of the same sound in another encoding on another channel.
        ways: how many rows are broken in which way.
    """

    server: Server
    site: LoopbackSite
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    expected: dict[str, Status] = field(default_factory=dict)
    twins: list[tuple[str, str]] = field(default_factory=list)
    ways: Counter[str] = field(default_factory=Counter)

    def csv(self) -> bytes:
        """The table as a file, its rows sorted by category as in the real one."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(("link", "title", "description", "category"))
        writer.writerows(sorted(self.rows, key=lambda row: row[3]))
        return text.getvalue().encode()


class _Maker:
    """Adds videos to a collection; everything follows from their number."""

    def __init__(self, made: Collection) -> None:
        self.made = made
        self._count = 0
        self._channels = [_channel(number) for number in range(CHANNELS)]
        self._samples: dict[str, np.ndarray] = {}

    def video(self, like: LoopbackVideo | None = None) -> tuple[LoopbackVideo, Answer]:
        """A video, known to the site and sent by the server; not in the table yet.

        Args:
            like: a video with the same sound; its own sound by default.
        """
        self._count += 1
        own = self._count
        category = like.category if like else CATEGORIES[own % len(CATEGORIES)]
        # a channel makes videos of one category or two
        channel = (own // 4 % (CHANNELS // 2)) * 2 + CATEGORIES.index(category) % 2
        if like is not None:  # as far from its channel as can be
            channel = (int(like.channel.removeprefix("Channel ")) + CHANNELS // 2) % CHANNELS
        if like is None:
            sound = synthesize(
                self._channels[channel], _KINDS[category], (9, own), _RATE, SECONDS
            ).astype(np.float32)
            samples = sound / 32768
        else:
            samples = self._samples[like.id]
        format = _FORMATS[own % len(_FORMATS)]
        content = encoded(format, samples=samples)
        answer = Answer(content, f"audio/{SUFFIXES[format]}")
        video = LoopbackVideo(
            # no letter at its ends that the scraper strips
            id=f"{_LETTERS[own % 26]}{own:09d}Z",
            path=f"/sound/{own}",
            title=f"Video number {own}",
            channel=f"Channel {channel}",
            category=category,
            duration=SECONDS,
            suffix=SUFFIXES[format],
            size=len(content),
        )
        self._samples[video.id] = samples
        self.made.site.videos[video.id] = video
        self.made.server.answers[video.path] = answer
        return video, answer

    def row(
        self,
        video: LoopbackVideo,
        status: Status | None,
        *,
        id: str | None = None,
        link: str | None = None,
        category: str | None = None,
    ) -> None:
        """A row of the table, and what is to become of it where it is kept."""
        written = video.id if id is None else id
        label = video.category if category is None else category
        self.made.rows.append(
            (
                f"https://www.youtube.com/watch?v={written}" if link is None else link,
                video.title,
                f"{video.channel}\n1.2K subscribers\nAbout {video.title}.",
                # the author's table spells one category with words
                {"art_music": "Art and Music"}.get(label, label),
            )
        )
        if status is not None:
            self.made.expected[written] = status

    def broken(self, way: str, times: int = 1) -> Iterator[tuple[LoopbackVideo, Answer]]:
        """Videos of which one row each is to be broken."""
        for _ in range(times):
            self.made.ways[way] += 1
            yield self.video()


def make(server: Server, options: Options) -> Collection:
    """Return the collection; the sound is generated here."""
    made = Collection(server, LoopbackSite(server, options=options))
    maker = _Maker(made)
    _rows_that_contradict(maker)
    _damaged_ids(maker)
    _refused_by_the_site(maker)
    _faults_of_the_server(maker)
    while len(made.rows) < ROWS:
        video, _ = maker.video()
        maker.row(video, "ok")
        if len(made.twins) < TWINS:
            again, _ = maker.video(like=video)
            maker.row(again, "ok")
            made.twins.append((video.id, again.id))
    return made


def _channel(number: int) -> Channel:
    """A channel with a room, a tint and a level of its own."""
    draw = np.random.default_rng(number).uniform
    return Channel(
        kinds=(),
        echo=(float(draw(0.005, 0.05)), float(draw(0.1, 0.6))),
        tint=float(draw(-0.5, 1.8)),
        loudness=float(draw(0.02, 0.08)),
        hiss=float(draw(0.0003, 0.003)),
        hum=float(draw(0.0002, 0.003)),
        mains=50.0,
    )


def _rows_that_contradict(maker: _Maker) -> None:
    for video, _ in maker.broken("two categories of one link", 4):
        others = [category for category in CATEGORIES if category != video.category]
        maker.row(video, None)
        maker.row(video, None, category=others[0])
        maker.made.ways["two categories of one link"] += 1
    for video, _ in maker.broken("a spreadsheet's error for a link", 2):
        maker.row(video, None, link="#NAME?")
    for video, _ in maker.broken("an unknown category", 2):
        maker.row(video, None, category="cats")
    for video, _ in maker.broken("a row twice", 3):
        maker.row(video, "ok")
        maker.made.rows.append(maker.made.rows[-1])


def _damaged_ids(maker: _Maker) -> None:
    """Ids of which the scraper ate both ends, and what a search for the title finds."""
    site = maker.made.site

    def damaged(video: LoopbackVideo, front: str) -> tuple[LoopbackVideo, str]:
        """The same video under an id that begins with what the scraper strips."""
        left = video.id[len(front) :]
        whole = replace(video, id=front + left)
        del site.videos[video.id]
        site.videos[whole.id] = whole
        return whole, left

    for number, (video, _) in enumerate(maker.broken("id repaired", 6)):
        whole, left = damaged(video, ("w", "htt", "ye")[number % 3])
        # as in a real answer: others come too, and one entry is a channel
        site.results[whole.title] = [
            {"_type": "url", "ie_key": "YoutubeTab", "id": "UCxyz", "title": whole.title},
            entry(replace(whole, id="XXXXXXXXXXX")),
            entry(whole),
        ]
        maker.row(whole, "ok", id=left)
    for video, _ in maker.broken("id lost, no results", 3):
        whole, left = damaged(video, "w")
        site.results[whole.title] = []
        maker.row(whole, "not repaired", id=left)
    for video, _ in maker.broken("id lost, another video found", 3):
        whole, left = damaged(video, "w")
        site.results[whole.title] = [entry(replace(whole, id="XXXXXXXXXXX"))]
        maker.row(whole, "not repaired", id=left)
    for video, _ in maker.broken("id lost, two videos fit", 3):
        whole, left = damaged(video, "w")
        site.results[whole.title] = [entry(whole), entry(replace(whole, id=f"h{left}"))]
        maker.row(whole, "not repaired", id=left)


def _refused_by_the_site(maker: _Maker) -> None:
    reasons: tuple[tuple[Status, str, int], ...] = (
        ("private", "Private video. Sign in if you've been granted access to this video", 2),
        ("removed", "This video has been removed by the uploader", 2),
        ("age-restricted", "Sign in to confirm your age", 2),
        ("geo-blocked", "The uploader has not made this video available in your country", 2),
        ("members only", "Join this channel to get access to members-only content", 1),
    )
    for status, reason, times in reasons:
        for video, _ in maker.broken(status, times):
            maker.made.site.errors[video.id] = ItemError(status, reason)
            maker.row(video, status)
    for video, _ in maker.broken("live"):
        maker.made.site.videos[video.id] = replace(video, live_status="is_upcoming")
        maker.row(video, "live")


def _faults_of_the_server(maker: _Maker) -> None:
    def gone(answer: Answer) -> None:
        answer.status = 404

    def gone_for_good(answer: Answer) -> None:
        answer.status = 410

    def always_500(answer: Answer) -> None:
        answer.status = 500

    def too_many(answer: Answer) -> None:
        answer.status, answer.headers = 429, {"Retry-After": "0"}

    def expired_once(answer: Answer) -> None:
        answer.status, answer.times = 403, 1

    def too_many_once(answer: Answer) -> None:
        answer.status, answer.times, answer.headers = 429, 1, {"Retry-After": "1"}

    def breaks_once(answer: Answer) -> None:
        answer.break_after, answer.times = len(answer.content) // 3, 1

    def a_page(answer: Answer) -> None:
        answer.content = b"<!DOCTYPE html><title>Before you continue</title>" * 50
        answer.kind = "text/html"

    def endless(answer: Answer) -> None:
        seed = len(answer.content)
        answer.content, answer.endless = encoded("mp3", seconds=20.0, seed=seed), True

    def without_ranges(answer: Answer) -> None:
        answer.ranges = False

    def without_sound(answer: Answer) -> None:
        answer.content = picture()

    def empty(answer: Answer) -> None:
        answer.content = b""

    def to_a_file(answer: Answer) -> None:
        answer.location = "file:///etc/passwd"

    def in_a_circle(answer: Answer) -> None:
        answer.location = "/circle"

    faults: tuple[tuple[str, Callable[[Answer], None], int, Status], ...] = (
        ("404", gone, 2, "unavailable"),
        ("410", gone_for_good, 1, "unavailable"),
        ("always 500", always_500, 2, "failed"),
        ("always 429", too_many, 1, "blocked"),
        ("403 once", expired_once, 2, "ok"),
        ("429 once", too_many_once, 1, "ok"),
        ("breaks off once", breaks_once, 1, "ok"),
        ("a page in place of sound", a_page, 2, "not audio"),
        ("endless", endless, 2, "ok"),
        ("no ranges", without_ranges, 2, "ok"),
        ("a picture without sound", without_sound, 1, "not audio"),
        ("nothing at all", empty, 1, "failed"),
        ("redirect to a file", to_a_file, 1, "refused"),
        ("redirect in a circle", in_a_circle, 1, "failed"),
    )
    maker.made.server.answers["/circle"] = Answer(location="/circle")
    for way, spoil, times, status in faults:
        for video, answer in maker.broken(way, times):
            spoil(answer)
            maker.row(video, status)
