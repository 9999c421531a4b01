"""From a table of links to sound on disk: ids repaired, then several downloads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from bench.errors import UserError
from bench.progress import Phase, Reporter
from bench.tasks.youtube import manifest
from bench.tasks.youtube.client import Options
from bench.tasks.youtube.download import download
from bench.tasks.youtube.links import repair
from bench.tasks.youtube.manifest import Item, Ledger
from bench.tasks.youtube.patience import Patience
from bench.tasks.youtube.site import YouTube
from bench.tasks.youtube.statuses import FINAL, ItemError
from bench.tasks.youtube.table import LinkTable


@dataclass
class FetchSummary:
    """What one fetch did."""

    repaired: int = 0  # ids given back
    not_repaired: int = 0  # ids that cannot be
    fetched: int = 0  # videos whose sound came
    refused: int = 0  # videos that ended with another status
    unfinished: int = 0  # those of them that the next fetch tries again
    received: int = 0  # bytes that came, sound and all


def fetch_all(
    table: LinkTable,
    folder: Path,
    site: YouTube,
    options: Options,
    reporter: Reporter,
    *,
    stop: threading.Event | None = None,
) -> FetchSummary:
    """Fetch the sound of a table's videos; goes on where an earlier call stopped.

    Args:
        table: of links.
        folder: gets `manifest.parquet`, `excluded.csv`, `table.csv` and `audio/`.
        site: finds and describes videos.
        options: how to fetch.
        reporter: where progress goes.
        stop: set here where threads are to end; for a site that heeds it too.

    Raises:
        UserError: another fetch works in the folder, or it holds clips of another length.
        DataUnavailable: the site or the network refuses everything; what came is kept.
        StorageError: a full disk or a read-only folder; what came is kept.
    """
    with _exclusive(folder):
        ledger = Ledger(folder, table, options.seconds, options.again)
        run = _Run(ledger, site, options, stop or threading.Event())
        if options.repair and (damaged := ledger.to_repair()):
            with reporter.phase("repair ids (videos)", len(damaged)) as phase:
                run.each(damaged, run.repair, phase)
        if wanted := ledger.to_fetch():
            with reporter.phase("fetch sound (videos)", len(wanted)) as phase:
                run.each(wanted, run.fetch, phase)
        return run.summary


class _Run:
    """One fetch under way; its threads share the pace, the faults in a row and the counts."""

    def __init__(
        self, ledger: Ledger, site: YouTube, options: Options, stop: threading.Event
    ) -> None:
        self.summary = FetchSummary()
        self._ledger, self._site = ledger, site
        self._options, self._stop = options, stop
        self._counting = threading.Lock()
        self._patience = Patience(options, stop)

    def each(self, items: Sequence[Item], work: Callable[[Item], str], phase: Phase) -> None:
        """Work on items in several threads; what one raises ends all."""
        with ThreadPoolExecutor(self._options.jobs, thread_name_prefix="fetch") as pool:
            finished = False
            try:
                for done in as_completed([pool.submit(self._do, work, item) for item in items]):
                    phase(1)
                    phase.detail(done.result())
                finished = True
            finally:
                if not finished:  # Ctrl-C, for one: threads end at their next step
                    self._stop.set()
                    pool.shutdown(wait=False, cancel_futures=True)

    def _do(self, work: Callable[[Item], str], item: Item) -> str:
        """Work on one item; note why where it cannot be had, and count the faults in a row."""
        try:
            said = self._patience(lambda: work(item))
        except ItemError as error:
            status, reason = error.status, str(error)
            self._ledger.settle(replace(item, status=status, reason=reason, fetched_at=_now()))
            unrepaired = status == "not repaired"
            self._count(
                not_repaired=unrepaired, refused=not unrepaired, unfinished=status not in FINAL
            )
            self._patience.count(error)
            return f"row {item.row}: {status}: {reason}"
        self._patience.count(None)
        return f"row {item.row}: {said}"

    def repair(self, item: Item) -> str:
        """Search for a damaged id."""
        found = repair(item.left, self._site.search(item.title))
        self._ledger.settle(
            replace(
                item.untried(),
                id=found.id,
                duration=found.duration,
                found_title=found.title,
                found_channel=found.channel,
            )
        )
        self._count(repaired=1)
        return f"'{item.left}' is {found.id}"

    def fetch(self, item: Item) -> str:
        """Fetch the sound of a video, described anew each time since links to the sound expire."""
        sound = self._site.describe(str(item.id))
        target = item.target(self._ledger.folder)
        stored = download(sound, target, self._options, self._site.hosts, self._stop)
        of_file = asdict(stored)
        received = of_file.pop("received")
        self._ledger.settle(
            replace(
                item,
                status="ok",
                reason="",
                file=target.name,
                asked_seconds=self._options.seconds,
                duration=sound.duration,
                found_title=sound.title,
                found_channel=sound.channel,
                channel_id=sound.channel_id,
                fetched_at=_now(),
                **of_file,
            )
        )
        self._count(fetched=1, received=received)
        return f"{stored.seconds:.0f} s of sound, {received / 1e6:.1f} MB"

    def _count(self, **more: int) -> None:
        with self._counting:
            for name, amount in more.items():
                setattr(self.summary, name, getattr(self.summary, name) + amount)


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
        raise manifest.unwritable(folder, error) from error
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
