"""What `voxgrid fetch youtube` is asked for, checked and carried out."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path

from bench import paths
from bench.config.spec import parse_duration
from bench.errors import DataUnavailable, UserError, nearest
from bench.progress import Reporter
from bench.tasks.youtube import task
from bench.tasks.youtube.fetching.download import Limits
from bench.tasks.youtube.fetching.run import Options, fetch_all
from bench.tasks.youtube.links.table import parse
from bench.tasks.youtube.manifest import EXCLUDED, NOT_TRIED, STATES, TABLE, State
from bench.tasks.youtube.site.base import Site, YouTube
from bench.tasks.youtube.site.guard import Network


def folder(to: Path | None) -> Path:
    """Where sound is fetched to: the folder asked for, `VOXGRID_DATA`/youtube, or the cache's."""
    return to if to is not None else task.folder(paths.data_root(), paths.cache_dir())


def options(
    *,
    seconds: float,
    megabytes: float,
    timeout: str,
    jobs: int,
    interval: float,
    repair: bool,
    again: Sequence[str],
) -> Options:
    """Check what was asked for.

    Raises:
        UserError: a number out of range, no duration, no status, or what contradicts itself.
    """
    try:
        longest = parse_duration(timeout)
    except ValueError as error:
        raise UserError(f"--timeout: {error}") from error
    for name, value, least in (
        ("--seconds", seconds, 1.0),
        ("--megabytes", megabytes, 0.1),
        ("--timeout", longest, 1.0),
    ):
        if not (math.isfinite(value) and value >= least):
            raise UserError(f"{name} must be {least:g} or more, and not {value:g}")
    if "not repaired" in again and not repair:
        raise UserError("--again 'not repaired' searches for ids: leave out --no-repair")
    return Options(
        limits=Limits(seconds=seconds, megabytes=megabytes, timeout=longest),
        jobs=jobs,
        interval=interval,
        repair=repair,
        again=tuple(_state(name) for name in again),
    )


def _state(name: str) -> State:
    known = [state for state in STATES if state not in ("ok", NOT_TRIED)]
    for state in known:
        if state == name:
            return state
    raise UserError(f"--again knows no status '{name}': {nearest(name, known)}")


def fetch(
    table: Path | None,
    place: Path,
    wanted: Options,
    *,
    cookies: Path | None,
    allow_private: bool,
    reporter: Reporter,
) -> tuple[str, bool]:
    """Fetch what is missing.

    Args:
        table: the CSV file; None takes the one in the folder.
        place: the folder.
        wanted: how to fetch.
        cookies: Netscape cookies file for YouTube, or None.
        allow_private: whether private addresses may be connected to.
        reporter: where progress goes.

    Returns:
        What came, in one sentence, and whether nothing is left for another fetch.

    Raises:
        UserError: no table or no cookies file, or another fetch is at work in the folder.
        DataUnavailable: offline, or everything is refused; what came is kept.
        StorageError: the folder cannot be written; what came is kept.
    """
    if cookies is not None and not cookies.is_file():
        raise UserError(f"there is no cookies file {cookies}; check --cookies")
    source = table if table is not None else _table_in(place)
    content = _read(source)
    links = parse(content, str(source))
    if paths.offline():
        raise DataUnavailable(
            "VOXGRID_OFFLINE forbids fetching the YouTube videos: unset it, or copy the folder "
            f"{place} from a machine that fetched them"
        )
    stop = threading.Event()
    site = _site(cookies, allow_private, wanted.limits.timeout, stop)
    network = Network(hosts=site.hosts, allow_private=allow_private)
    counts = links.counts()
    reporter.say(
        f"{counts.rows} rows: {counts.videos} videos, {counts.videos - counts.intact_videos} of "
        f"them with a damaged id; {len(links.excluded)} rows left out, see {place / EXCLUDED}"
    )
    summary = fetch_all(links, place, site, network, wanted, reporter, stop=stop, original=content)
    said = (
        f"{summary.fetched} videos fetched ({summary.received / 1e6:.1f} MB received), "
        f"{summary.refused} not to be had this time; {summary.repaired} ids repaired, "
        f"{summary.not_repaired} not"
    )
    if summary.unfinished:
        said += f"; {summary.unfinished} to be tried again by the same command"
    return said, summary.unfinished == 0


def _site(cookies: Path | None, allow_private: bool, timeout: float, stop: threading.Event) -> Site:
    return YouTube(cookies, allow_private=allow_private, timeout=timeout, stop=stop)


def _table_in(place: Path) -> Path:
    """The table of a folder: the copy of an earlier fetch, or the only CSV file there."""
    if (place / TABLE).is_file():
        return place / TABLE
    found = sorted(path for path in place.glob("*.csv") if path.name != EXCLUDED)
    if len(found) == 1:
        return found[0]
    which = f"{len(found)} CSV files" if found else "no CSV file"
    raise UserError(
        f"which table of links? there is {which} in {place}: name it, as in "
        "'voxgrid fetch youtube TABLE.csv'"
    )


def _read(table: Path) -> bytes:
    try:
        return table.read_bytes()
    except OSError as error:
        raise UserError(f"the table {table} cannot be read: {error.strerror or error}") from error
