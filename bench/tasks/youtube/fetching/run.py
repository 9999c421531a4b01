"""From a table of links to sound on disk: ids repaired, then several downloads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from bench.errors import StorageError, UserError
from bench.progress import Reporter
from bench.tasks.youtube import manifest
from bench.tasks.youtube.fetching.download import Limits, Stopped, Stored, download
from bench.tasks.youtube.fetching.ledger import Ledger
from bench.tasks.youtube.fetching.pace import Pacer
from bench.tasks.youtube.fetching.patience import Patience, Streak
from bench.tasks.youtube.links.repair import repair
from bench.tasks.youtube.links.table import Table
from bench.tasks.youtube.links.videos import Video
from bench.tasks.youtube.manifest import Item, State
from bench.tasks.youtube.site.base import Site, Sound
from bench.tasks.youtube.site.guard import Network
from bench.tasks.youtube.site.statuses import FINAL, ItemError


@dataclass(frozen=True)
class Options:
    """How to fetch.

    Attributes:
        limits: of each video.
        jobs: downloads at once.
        interval: least seconds between two requests for a search or a video's page.
        attempts: how often a video is tried before it has failed for this time.
        backoff: seconds to wait after the first passing fault, twice as many after each further.
        repair: whether damaged ids are searched for.
        again: final statuses to try again.
    """

    limits: Limits = field(default_factory=Limits)
    jobs: int = 4
    interval: float = 1.0
    attempts: int = 4
    backoff: float = 5.0
    repair: bool = True
    again: Collection[State] = ()


@dataclass
class Summary:
    """What one fetch did.

    Attributes:
        repaired: ids given back.
        not_repaired: ids that cannot be.
        fetched: videos whose sound came.
        refused: videos that ended with another status.
        unfinished: those of them that the next fetch tries again.
        received: bytes that came, sound and all.
    """

    repaired: int = 0
    not_repaired: int = 0
    fetched: int = 0
    refused: int = 0
    unfinished: int = 0
    received: int = 0


def fetch_all(
    table: Table,
    folder: Path,
    site: Site,
    network: Network,
    options: Options,
    reporter: Reporter,
    *,
    stop: threading.Event | None = None,
    original: bytes | None = None,
) -> Summary:
    """Fetch the sound of a table's videos; goes on where an earlier call stopped.

    Args:
        table: of links.
        folder: gets `manifest.parquet`, `repairs.parquet`, `excluded.csv` and `audio/`.
        site: finds and describes videos.
        network: where connections may lead.
        options: how to fetch.
        reporter: where progress goes.
        stop: set by this function where threads are to end at their next step; for a site that
            heeds it too.
        original: the table's file, kept as `table.csv` once the folder is ours.

    Raises:
        UserError: another fetch works in the folder, or it holds clips of another length.
        DataUnavailable: the site or the network refuses everything; what came is kept.
        StorageError: a full disk or a read-only folder; what came is kept.
    """
    with _exclusive(folder):
        ledger = Ledger(folder, table, options.limits.seconds, options.again)
        if original is not None:
            manifest.write_table(folder, original)
        run = _Run(ledger, site, network, options, reporter, stop or threading.Event())
        if options.repair:
            run.repair_ids()
        run.fetch_sound()
        return run.summary


class _Run:
    """One fetch under way; its threads share the pace, the streak of faults and the counts."""

    def __init__(
        self,
        ledger: Ledger,
        site: Site,
        network: Network,
        options: Options,
        reporter: Reporter,
        stop: threading.Event,
    ) -> None:
        self.summary = Summary()
        self._ledger = ledger
        self._site = site
        self._network = network
        self._options = options
        self._reporter = reporter
        self._stop = stop
        self._streak = Streak()
        self._counting = threading.Lock()
        self._patience = Patience(
            Pacer(options.interval), self._stop, options.attempts, options.backoff
        )

    def repair_ids(self) -> None:
        """Search for every damaged id."""
        self._each("repair ids (videos)", self._ledger.to_repair(), self._repair)

    def fetch_sound(self) -> None:
        """Fetch the sound of every video with an id."""
        self._each("fetch sound (videos)", self._ledger.to_fetch(), self._fetch)

    def _each(self, label: str, items: Sequence[Item], work: Callable[[Item], str]) -> None:
        if not items:
            return
        with self._reporter.phase(label, len(items)) as advance:
            pool = ThreadPoolExecutor(self._options.jobs, thread_name_prefix="fetch")
            finished = False
            try:
                for done in as_completed([pool.submit(self._do, work, item) for item in items]):
                    said = done.result()
                    advance(1)
                    advance.detail(said)
                finished = True
            finally:
                if not finished:  # Ctrl-C, for one: threads end at their next step
                    self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)

    def _do(self, work: Callable[[Item], str], item: Item) -> str:
        """Do one item; what is raised here ends the whole fetch, other threads included."""
        finished = False
        try:
            said = work(item)
            finished = True
        except Stopped:
            finished = True
            said = f"row {item.row} is left for the next run"
        finally:
            if not finished:
                self._stop.set()
        return said

    def _repair(self, item: Item) -> str:
        video = Video(item.row, "", item.left, item.title, item.category, item.channel)
        try:
            found = self._patience(lambda: repair(video, self._site.search))
        except ItemError as error:
            self._end(item, error)
            return f"row {item.row}: {error.status}: {error}"
        self._streak.good()
        self._ledger.settle_repair(item, found)
        with self._counting:
            self.summary.repaired += found.id is not None
            self.summary.not_repaired += found.id is None
        return f"row {item.row}: '{found.left}' {found.outcome}"

    def _fetch(self, item: Item) -> str:
        try:
            sound, stored = self._patience(lambda: self._get(item))
        except ItemError as error:
            self._end(item, error)
            return f"{item.id}: {error.status}: {error}"
        self._streak.good()
        self._ledger.settle(self._described(item, sound, stored))
        with self._counting:
            self.summary.fetched += 1
            self.summary.received += stored.received
        return f"{item.id}: {stored.seconds:.0f} s of sound, {stored.received / 1e6:.1f} MB"

    def _get(self, item: Item) -> tuple[Sound, Stored]:
        """One attempt: described anew each time, since links to the sound expire."""
        sound = self._site.describe(str(item.id))
        target = item.target(self._ledger.folder)
        return sound, download(sound, target, self._options.limits, self._network, self._stop)

    def _described(self, item: Item, sound: Sound, stored: Stored) -> Item:
        return replace(
            item,
            status="ok",
            reason="",
            file=item.target(self._ledger.folder).name,
            sha256=stored.sha256,
            seconds=stored.seconds,
            asked_seconds=self._options.limits.seconds,
            bytes=stored.bytes,
            codec=stored.codec,
            duration=sound.duration,
            found_title=sound.title,
            found_channel=sound.channel,
            channel_id=sound.channel_id,
            fetched_at=_now(),
        )

    def _end(self, item: Item, error: ItemError) -> None:
        """Note why a video has no sound, and give up on all where there is no sense in going on."""
        self._ledger.settle(
            replace(item, status=error.status, reason=str(error), fetched_at=_now())
        )
        with self._counting:
            self.summary.refused += 1
            self.summary.unfinished += error.status not in FINAL
        self._streak.bad(error)


# Locks that end with the process, and not before.
_held: list[FileLock] = []


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Hold a folder; the lock ends with the process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".fetch.lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UserError(
            f"another fetch is writing to {folder}: wait for it, or choose a folder with --to"
        ) from error
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written ({error.strerror or error}): make it writable or choose "
            "another folder with --to"
        ) from error
    try:
        for left in folder.glob(".*.partial"):  # of a fetch killed while it wrote
            left.unlink(missing_ok=True)
        yield
    except KeyboardInterrupt:
        # who presses it twice ends the wait for threads that still write
        _held.append(lock)
        raise
    finally:
        if lock not in _held:
            lock.release()
