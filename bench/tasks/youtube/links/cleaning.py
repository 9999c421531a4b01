"""What rows say together: links and titles of two categories, and videos listed twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.clips import shortened
from bench.tasks.youtube.links.ids import intact
from bench.tasks.youtube.links.videos import Excluded, Video, link_key, short, title_key


def conflicts(
    videos: Iterable[Video], key: Callable[[Video], str]
) -> dict[str, dict[str, list[int]]]:
    """Find what has several categories.

    Args:
        videos: rows of the table; an empty category contradicts nothing.
        key: what they are compared by; rows whose key is empty are not.

    Returns:
        By key, the rows of each of its categories.
    """
    found: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for video in videos:
        if key(video) and video.category:
            found[key(video)][video.category].append(video.row)
    return {text: dict(rows) for text, rows in found.items() if len(rows) > 1}


def without_conflicts(
    videos: Sequence[Video], evidence: Sequence[Video], excluded: list[Excluded]
) -> list[Video]:
    """Drop links and titles with several categories: nobody can say which one is right.

    Both are looked for in all rows, so that dropping a link does not hide that its title, kept
    under another link, has a second category too.

    Args:
        videos: rows that are usable alone.
        evidence: rows whose category counts, the usable ones among them.
        excluded: what is dropped is added here.
    """
    links, titles = conflicts(evidence, link_key), conflicts(evidence, title_key)
    kept = []
    for video in videos:
        if rows := links.get(link_key(video)):
            reason = f"the link is {_in_rows(rows)}"
            excluded.append(Excluded(video, "link with several categories", reason))
        elif rows := titles.get(title_key(video)):
            reason = f"the title is {_in_rows(rows)}"
            excluded.append(Excluded(video, "title with several categories", reason))
        else:
            kept.append(video)
    return kept


def _in_rows(categories: Mapping[str, Sequence[int]]) -> str:
    return " and ".join(
        f"{short(category)} in row {shortened([str(row) for row in rows], most=3)}"
        for category, rows in sorted(categories.items())
    )


def one_of_each(videos: Sequence[Video], excluded: list[Excluded]) -> list[Video]:
    """Keep one video of those tied by links and titles: best the one that needs no repair.

    Ties are followed from row to row (two links share a title that only a second row of one of
    them has), so that how many are kept does not depend on the order of the table.

    Args:
        videos: rows that contradict each other in nothing.
        excluded: the other copies are added here.
    """
    above: dict[str, str] = {}

    def top(key: str) -> str:
        while above.setdefault(key, key) != key:
            above[key] = key = above[above[key]]
        return key

    def link(video: Video) -> str:
        return f"link:{link_key(video)}"

    for video in videos:
        if title_key(video):  # videos without a title do not share one
            above[top(f"title:{title_key(video)}")] = top(link(video))
    kept: dict[str, Video] = {}
    for video in sorted(videos, key=lambda v: (not intact(v.id), v.channel is None, v.row)):
        first = kept.setdefault(top(link(video)), video)
        if first is video:
            continue
        if link_key(video) == link_key(first):
            excluded.append(Excluded(video, "repeated link", f"the same link as row {first.row}"))
        elif title_key(video) == title_key(first):
            excluded.append(Excluded(video, "repeated title", f"the same title as row {first.row}"))
        else:
            reason = f"titles and links in between lead to row {first.row}"
            excluded.append(Excluded(video, "repeated title", reason))
    return list(kept.values())
