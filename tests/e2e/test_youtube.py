"""From a table of links to leaderboard rows, against a site on this machine.

Everything is real but the site: yt-dlp's downloader, the files, the command line, quartznet. Its
weights are the published ones where VOXGRID_WEIGHTS has them, else random ones, named so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from bench.progress import Reporter
from bench.records import store as records
from bench.tasks.youtube import manifest
from bench.tasks.youtube.client import Options
from bench.tasks.youtube.links import CATEGORIES
from bench.tasks.youtube.run import FetchSummary, fetch_all
from bench.tasks.youtube.table import parse
from tests.e2e.collection import BROKEN, KEPT, ROWS, Collection, make
from tests.loopback.server import Server

OPTIONS = Options(
    seconds=KEPT,
    megabytes=5.0,
    timeout=10.0,
    jobs=6,
    interval=0.005,
    attempts=3,
    backoff=0.05,
)


@pytest.fixture(scope="module")
def collection() -> Iterator[Collection]:
    with Server() as server:
        yield make(server, OPTIONS)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="module")
def fetched(collection: Collection, root: Path) -> FetchSummary:
    return run_fetch(collection, root)


def run_fetch(collection: Collection, root: Path) -> FetchSummary:
    return fetch_all(
        parse(collection.csv(), "table.csv"),
        root / "youtube",
        collection.site,
        Reporter(Console(stderr=True)),
    )


def voxgrid(root: Path, *arguments: str) -> str:
    environment = os.environ | {
        "VOXGRID_DATA": str(root),
        "VOXGRID_CACHE": str(root / "cache"),
        "VOXGRID_OFFLINE": "1",
        "COLUMNS": "200",
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def weights() -> list[str]:
    folder = os.environ.get("VOXGRID_WEIGHTS")
    found = folder is not None and any(Path(folder).glob("quartznet*"))
    return [] if found else ["--control", "random-init"]


def test_three_rows_in_ten_are_broken(collection: Collection) -> None:
    assert len(collection.rows) == ROWS
    assert sum(collection.ways.values()) == BROKEN


def test_every_video_ends_with_the_status_it_deserves(
    collection: Collection, root: Path, fetched: FetchSummary
) -> None:
    items = manifest.read(root / "youtube")
    assert {item.left: item.status for item in items} == collection.expected
    counts = Counter(item.status for item in items)
    assert fetched.fetched == counts["ok"]
    assert (fetched.repaired, fetched.not_repaired) == (6, 9)
    for item in items:
        target = root / "youtube" / "audio" / str(item.file)
        assert (item.status == "ok") == (item.file is not None and target.is_file())
        if item.status == "ok":
            assert abs((item.seconds or 0) - KEPT) < 0.1
            assert item.fetched_at is not None
        else:
            assert item.reason
    # nothing but the sound of finished videos, and what those that may still come have received
    names = {path.name.partition(".")[0] for path in (root / "youtube" / "audio").iterdir()}
    assert len(names) <= counts["ok"] + counts["failed"] + counts["blocked"]


def test_a_finished_fetch_run_twice_downloads_nothing(
    collection: Collection, root: Path, fetched: FetchSummary
) -> None:
    before = manifest.read(root / "youtube")
    asked, requests = collection.site.asked.copy(), len(collection.server.seen)
    again = run_fetch(collection, root)
    open_ids = {i.id for i in before if i.status in ("failed", "blocked")}
    assert set(collection.site.asked - asked) == open_ids
    paths = {collection.site.videos[str(id)].path for id in open_ids}
    assert {seen.path for seen in collection.server.seen[requests:]} <= paths | {"/circle"}
    assert (again.fetched, again.repaired, again.not_repaired) == (0, 0, 0)
    assert [i.sha256 for i in manifest.read(root / "youtube")] == [i.sha256 for i in before]


def test_the_status_names_every_reason(root: Path, fetched: FetchSummary) -> None:
    said = voxgrid(root, "fetch", "youtube", "--status")
    for status in ("ok", "not repaired", "private", "geo-blocked", "not audio", "refused"):
        assert status in said
    assert (root / "youtube" / "classes.png").read_bytes().startswith(b"\x89PNG")


def test_the_grid_runs_on_what_came(
    collection: Collection, root: Path, fetched: FetchSummary
) -> None:
    results = root / "results"
    voxgrid(
        root, "run", "--task", "youtube",
        "--backbone", "quartznet", "--pooling", "mean", "--pooling", "mean_std",
        "--head", "logistic_regression", "--trials", "3", "--results", str(results), *weights(),
    )  # fmt: skip
    found = {
        (record.cell.protocol, record.cell.pooling): record for record in records.read_all(results)
    }
    record = found["channel-5fold", "mean"]
    assert record.status == "ok"
    assert record.scores is not None
    clips = Counter(item.status for item in manifest.read(root / "youtube"))["ok"]
    predictions = pd.read_parquet(records.predictions_path(results, record.cell))
    assert len(predictions) == clips
    assert predictions["clip"].is_unique
    majority = predictions["label"].value_counts(normalize=True).max()
    assert record.scores.accuracy > majority + 0.2
    assert set(predictions["label"]) == set(CATEGORIES)
    fold_of = predictions.set_index("clip")["fold"]
    channels = {video.id: video.channel for video in collection.site.videos.values()}
    for one, other in collection.twins:
        assert channels[one] != channels[other]
        assert fold_of[one] == fold_of[other], "the same sound is in two folds"
    board = (results / "leaderboard.md").read_text(encoding="utf-8")
    assert "youtube" in board
    assert "Always answering the largest class gives" in board
    assert "leaks channels" in board
    # 109 videos of each category are not to be had here, and the reader is told
    assert "balanced-109" in board


@pytest.mark.parametrize("preset", ["quartznet-mlp-youtube", "s2t-mlp-youtube"])
def test_published_systems_run_on_what_came(root: Path, fetched: FetchSummary, preset: str) -> None:
    """Under the published kind of split and under the grouped one, with quartznet swapped in."""
    results = root / preset
    voxgrid(
        root, "run", "--preset", preset, "--backbone", "quartznet", "--results", str(results),
        *weights(),
    )  # fmt: skip
    found = {record.protocol: record for record in records.read_all(results)}
    assert set(found) == {"random-75-25", "channel-5fold"}
    for record in found.values():
        assert (record.status, record.task, record.preset) == ("ok", "youtube", preset)
