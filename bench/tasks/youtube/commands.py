"""What `voxgrid fetch youtube` is asked for, checked and carried out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench import paths
from bench.config import parse_duration
from bench.errors import DataUnavailable, StorageError, UserError, nearest
from bench.files import replacing
from bench.progress import Reporter
from bench.tasks.youtube import task
from bench.tasks.youtube.fetching.download import Limits
from bench.tasks.youtube.fetching.run import Options, fetch_all
from bench.tasks.youtube.links.table import Table, parse
from bench.tasks.youtube.manifest import EXCLUDED, STATES, State
from bench.tasks.youtube.site.base import Site, YouTube
from bench.tasks.youtube.site.guard import Network

# A copy of the table last fetched, so that a later fetch needs no argument.
TABLE = "table.csv"


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
        UserError: a number that is not positive, no duration, or no status.
    """
    for name, value in (("--seconds", seconds), ("--megabytes", megabytes)):
        if not value > 0:
            raise UserError(f"{name} must be more than 0, not {value:g}")
    try:
        longest = parse_duration(timeout)
    except ValueError as error:
        raise UserError(f"--timeout: {error}") from error
    return Options(
        limits=Limits(seconds=seconds, megabytes=megabytes, timeout=longest),
        jobs=jobs,
        interval=interval,
        repair=repair,
        again=tuple(_state(name) for name in again),
    )


def _state(name: str) -> State:
    for state in STATES:
        if state == name:
            return state
    raise UserError(f"--again: no video has the status '{name}': {nearest(name, STATES)}")


def fetch(
    table: Path | None,
    place: Path,
    wanted: Options,
    *,
    cookies: Path | None,
    allow_private: bool,
    reporter: Reporter,
) -> str:
    """Fetch what is missing and return in one sentence what came.

    Args:
        table: the CSV file; None takes the one in the folder.
        place: the folder.
        wanted: how to fetch.
        cookies: Netscape cookies file for YouTube, or None.
        allow_private: whether private addresses may be connected to.
        reporter: where progress goes.

    Raises:
        UserError: no table or no cookies file, or another fetch is at work in the folder.
        DataUnavailable: offline, or everything is refused; what came is kept.
        StorageError: the folder cannot be written; what came is kept.
    """
    if cookies is not None and not cookies.is_file():
        raise UserError(f"there is no cookies file {cookies}; check --cookies")
    links = _read(table if table is not None else _table_in(place), place)
    if paths.offline():
        raise DataUnavailable(
            "VOXGRID_OFFLINE forbids fetching the YouTube videos: unset it, or copy the folder "
            f"{place} from a machine that fetched them"
        )
    site = _site(cookies, allow_private)
    network = Network(hosts=site.hosts, allow_private=allow_private)
    counts = links.counts()
    reporter.say(
        f"{counts.rows} rows: {counts.videos} videos, {counts.videos - counts.intact_videos} of "
        f"them with a damaged id; {len(links.excluded)} rows left out, see {place / EXCLUDED}"
    )
    summary = fetch_all(links, place, site, network, wanted, reporter)
    return (
        f"{summary.fetched} videos fetched ({summary.received / 1e6:.1f} MB received), "
        f"{summary.refused} not to be had this time; {summary.repaired} ids repaired, "
        f"{summary.not_repaired} not"
    )


def _site(cookies: Path | None, allow_private: bool) -> Site:
    return YouTube(cookies, allow_private=allow_private)


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


def _read(table: Path, place: Path) -> Table:
    """Read a table, and keep a copy of it in the folder once it proves to be one."""
    try:
        data = table.read_bytes()
    except OSError as error:
        raise UserError(f"the table {table} cannot be read: {error.strerror or error}") from error
    links = parse(data, str(table))
    if table.parent.resolve() != place.resolve():
        try:
            with replacing(place / TABLE) as partial:
                partial.write_bytes(data)
        except OSError as error:
            raise StorageError(
                f"{place} cannot be written ({error.strerror or error}): free some space, make it "
                "writable or choose another folder with --to"
            ) from error
    return links
