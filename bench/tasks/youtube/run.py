"""From a table of links to sound on disk: what a site is asked, how often, and for how long."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from bench.errors import DataUnavailable
from bench.files import exclusive
from bench.progress import Phase, Reporter
from bench.tasks.youtube.client import Options
from bench.tasks.youtube.download import download
from bench.tasks.youtube.links import repair
from bench.tasks.youtube.manifest import Item, Ledger
from bench.tasks.youtube.site import YouTube
from bench.tasks.youtube.statuses import FINAL, ItemError, Stopped
from bench.tasks.youtube.table import LinkTable

Result = TypeVar("Result")

# What `replacing` calls files.
_PARTIAL = re.compile(r"\.[\w.]+\.[0-9a-f]{32}\.partial")
# What a server may ask us to wait; beyond it the item has failed for this time.
LONGEST_WAIT = 900.0
# One refusal may concern one video; so many in a row concern this machine.
_BLOCKED_IN_A_ROW = 3
_FAILED_IN_A_ROW = 12


@dataclass
class FetchSummary:
    """What one fetch did."""

    repaired: int = 0  # ids given back
    not_repaired: int = 0  # ids that cannot be
    fetched: int = 0  # videos whose sound came
    refused: int = 0  # videos that ended with another status
    unfinished: int = 0  # those of them that the next fetch tries again
    received: int = 0  # bytes that came, sound and all


def fetch_all(table: LinkTable, folder: Path, site: YouTube, reporter: Reporter) -> FetchSummary:
    """Fetch the sound of a table's videos; goes on where an earlier call stopped.

    The folder gets `manifest.parquet`, `excluded.csv`, `table.csv` and `audio/`. The site's
    options say how to fetch; its `stop` is set where its threads are to end.

    Raises:
        UserError: another fetch works in the folder, or it holds clips of another length.
        DataUnavailable: the site or the network refuses everything; what came is kept.
        StorageError: a full disk or a read-only folder; what came is kept.
    """
    options = site.options
    with exclusive(folder, "--to", ".fetch.lock"):
        for left in folder.glob(".*.partial"):  # of a fetch killed while it wrote
            if _PARTIAL.fullmatch(left.name) and left.is_file() and not left.is_symlink():
                left.unlink(missing_ok=True)
        ledger = Ledger(folder, table, options.seconds, options.again)
        run = _Run(ledger, site)
        if wanted := ledger.to_do(options.repair):
            with reporter.phase("fetch (videos)", len(wanted)) as phase:
                run.each(wanted, phase)
        return run.summary


class _Run:
    """One fetch under way; its threads share the pace, the faults in a row and the counts."""

    def __init__(self, ledger: Ledger, site: YouTube) -> None:
        self.summary = FetchSummary()
        self._ledger, self._site = ledger, site
        self._counting = threading.Lock()
        self._patience = Patience(site.options, site.stop)

    def each(self, items: Sequence[Item], phase: Phase) -> None:
        """Work on items in several threads; what one raises ends all."""
        with ThreadPoolExecutor(self._site.options.jobs) as pool:
            finished = False
            try:
                for done in as_completed([pool.submit(self._do, item) for item in items]):
                    phase(1)
                    phase.detail(done.result())
                finished = True
            finally:
                if not finished:  # Ctrl-C, for one: threads end at their next step
                    self._site.stop.set()
                    pool.shutdown(wait=False, cancel_futures=True)

    def _do(self, item: Item) -> str:
        """Get one video's sound, or note why it cannot be had; say which."""
        fault: ItemError | None = None
        try:
            if item.id is None:
                found = self._patience(lambda: repair(item.left, self._site.search(item.title)))
                item = item.untried().identified(found)
                self._ledger.settle(item)
                self._count(repaired=1)
            item, received = self._patience(lambda: self._fetched(item))
            self._count(fetched=1, received=received)
            said = f"{item.seconds:.0f} s of sound, {received / 1e6:.1f} MB"
        except ItemError as error:
            fault, status, said = error, error.status, f"{error.status}: {error}"
            item = replace(item, status=status, reason=str(error), fetched_at=_now())
            unrepaired = status == "not repaired"
            self._count(
                not_repaired=unrepaired, refused=not unrepaired, unfinished=status not in FINAL
            )
        self._ledger.settle(item)
        self._patience.count(fault)
        return f"row {item.row}: {said}"

    def _fetched(self, item: Item) -> tuple[Item, int]:
        """Fetch a sound; describe its video anew each time, since links to the sound expire."""
        sound = self._site.describe(str(item.id))
        target = item.target(self._ledger.folder)
        of_file = asdict(download(sound, target, self._site.client()))
        received = of_file.pop("received")
        item = replace(
            item.identified(sound),
            status="ok",
            reason="",
            file=target.name,
            asked_seconds=self._site.options.seconds,
            fetched_at=_now(),
            **of_file,
        )
        return item, received

    def _count(self, **more: int) -> None:
        with self._counting:
            for name, amount in more.items():
                setattr(self.summary, name, getattr(self.summary, name) + amount)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Patience:
    """Spaces out what several threads ask, asks again, and counts the faults of all.

    yt-dlp waits between requests too, but each of its objects for itself, and it hears no stop.
    """

    def __init__(self, options: Options, stop: threading.Event) -> None:
        self._options = options
        self._stop = stop
        self._lock = threading.Lock()
        self._next = 0.0
        self._blocked = self._failed = 0

    def __call__(self, action: Callable[[], Result]) -> Result:
        """Return what an action returns, asking again after passing faults.

        Raises an `ItemError` for a lasting fault, or the last of the passing ones, and `Stopped`.
        """
        attempt = 0
        while True:
            self.wait()
            try:
                return action()
            except ItemError as error:
                attempt += 1
                asked = error.retry_after or 0.0
                if not error.passing or attempt >= self._options.attempts or asked > LONGEST_WAIT:
                    raise
                # spread, so that threads that failed together do not come back together
                delay = self._options.backoff * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
                if error.status == "blocked":
                    self.hold(max(delay, asked))  # said to this machine, not of this video
                else:
                    self._stop.wait(delay)

    def wait(self) -> None:
        """Return when it is this thread's turn; `Stopped` once the stop is set."""
        while not self._stop.is_set():
            with self._lock:
                left = self._next - time.monotonic()
                if left <= 0:
                    self._next = time.monotonic() + self._options.interval
                    return
            # turns are taken one by one, so that a hold that comes meanwhile counts for all
            self._stop.wait(left)
        raise Stopped("the fetch is ending")

    def hold(self, seconds: float) -> None:
        """Let nobody ask for so long."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def count(self, error: ItemError | None) -> None:
        """Count what an item ended with, None for well; a `DataUnavailable` after too many."""
        with self._lock:
            if error is None or error.status in FINAL:
                self._blocked = self._failed = 0  # an answer, if not always the one hoped for
                return
            self._blocked += error.status == "blocked"
            self._failed += error.status != "blocked"
        if self._blocked >= _BLOCKED_IN_A_ROW:
            self._stop.set()
            raise DataUnavailable(
                f"the site takes this machine for a robot ({error}): run the same command again "
                "later, or with --cookies FILE of a browser that is signed in; what is fetched is "
                "kept"
            )
        if self._failed >= _FAILED_IN_A_ROW:
            self._stop.set()
            raise DataUnavailable(
                f"{self._failed} videos in a row failed, the last because: {error}; when the "
                "network and the site are back, run the same command again: it goes on from here"
            )
