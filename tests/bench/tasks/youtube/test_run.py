"""A table's videos fetched from a site on this machine: interrupted, resumed, stopped."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench.errors import DataUnavailable, UserError
from bench.progress import Reporter
from bench.tasks.youtube import manifest
from bench.tasks.youtube.client import Options
from bench.tasks.youtube.manifest import Ledger
from bench.tasks.youtube.run import FetchSummary, fetch_all
from bench.tasks.youtube.statuses import ItemError
from bench.tasks.youtube.table import parse
from tests.conftest import heed_ctrl_c
from tests.loopback.media import encoded
from tests.loopback.server import Answer, Server
from tests.loopback.site import LoopbackSite, LoopbackVideo

IDS = [f"Z{number:09d}Z" for number in range(5)]
OPTIONS = Options(
    seconds=2.0, megabytes=5.0, timeout=20.0, jobs=2, interval=0.001, attempts=2, backoff=0.01
)
SOUND = encoded("mp3", seconds=3.0)

# A fetch in a process of its own; the site's videos and the server's port come as arguments.
CHILD = """
import json, resource, sys
from pathlib import Path
from rich.console import Console
from bench.progress import Reporter
from bench.tasks.youtube.client import Options
from bench.tasks.youtube.run import fetch_all
from bench.tasks.youtube.table import parse
from tests.loopback.site import LoopbackSite, LoopbackVideo

class Elsewhere:
    def url(self, path):
        return f"http://127.0.0.1:{sys.argv[2]}{path}"

folder, rows, most = Path(sys.argv[1]), sys.argv[3].encode(), int(sys.argv[5])
if most:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
options = Options(2.0, 5.0, 20.0, jobs=1, interval=0.001, attempts=2, backoff=0.01)
videos = [LoopbackVideo(**v) for v in json.loads(sys.argv[4])]
site = LoopbackSite(Elsewhere(), videos, options=options)
fetch_all(parse(rows, "table"), folder, site, Reporter(Console()))
"""


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def videos() -> list[LoopbackVideo]:
    return [
        LoopbackVideo(id, f"/{id}", title=f"about {id}", duration=3.0, suffix="mp3") for id in IDS
    ]


def site(server: Server, options: Options = OPTIONS, **errors: ItemError) -> LoopbackSite:
    for id in IDS:
        server.answers.setdefault(f"/{id}", Answer(SOUND, "audio/mpeg"))
    return LoopbackSite(server, videos(), errors=errors, options=options)


def rows() -> bytes:
    lines = [f"https://youtu.be/{id},about {id},Channel {id},food" for id in IDS]
    return "\n".join(["link,title,description,category", *lines]).encode()


def fetch(folder: Path, site: LoopbackSite) -> FetchSummary:
    reporter = Reporter(Console(file=io.StringIO()))
    return fetch_all(parse(rows(), "table"), folder, site, reporter)


def statuses(folder: Path) -> dict[str, str]:
    return {item.left: item.status for item in manifest.read(folder)}


def child(folder: Path, server: Server, most: int = 0) -> subprocess.Popen[str]:
    described = json.dumps([video.__dict__ for video in videos()])
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(server.port), rows().decode(), described,
         str(most)],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed_ctrl_c,
    )  # fmt: skip


def wait_for_finished(folder: Path, count: int) -> None:
    for _ in range(600):
        if sum(status == "ok" for status in statuses(folder).values()) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"never saw {count} finished videos")


def test_what_was_fetched_says_where_it_came_from(server: Server, tmp_path: Path) -> None:
    summary = fetch(tmp_path, site(server))
    assert (summary.fetched, summary.refused) == (5, 0)
    assert summary.received >= 5 * 8000
    for item in manifest.read(tmp_path):
        assert (item.status, item.category, item.channel) == ("ok", "food", f"Channel {item.id}")
        assert (item.duration, item.found_channel, item.codec) == (3.0, "A channel", "mp3")
        assert item.channel_id is not None
        assert item.target(tmp_path).stat().st_size == item.bytes


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_fetch_goes_on_where_it_stopped(
    server: Server, tmp_path: Path, how: signal.Signals
) -> None:
    site(server)
    server.answers[f"/{IDS[3]}"] = Answer(SOUND, "audio/mpeg", rate=3000.0)
    running = child(tmp_path, server)
    wait_for_finished(tmp_path, 3)
    time.sleep(0.3)  # in the midst of the slow one
    running.send_signal(how)
    assert running.wait(20) != 0
    asked = {id: len(server.requests(f"/{id}")) for id in IDS}

    server.answers[f"/{IDS[3]}"] = Answer(SOUND, "audio/mpeg")
    fetch(tmp_path, site(server))
    assert set(statuses(tmp_path).values()) == {"ok"}
    for id in IDS[:3]:
        assert len(server.requests(f"/{id}")) == asked[id], "a finished video was fetched again"


def test_a_full_disk_stops_the_fetch_and_keeps_what_came(server: Server, tmp_path: Path) -> None:
    site(server)
    # the third sound is larger than any file may become
    server.answers[f"/{IDS[2]}"] = Answer(encoded("wav", seconds=3.0), "audio/wav")
    running = child(tmp_path, server, most=50_000)
    _, said = running.communicate(timeout=30)
    assert running.returncode != 0
    assert "StorageError" in said
    assert "free some space" in said
    kept = statuses(tmp_path)
    assert kept[IDS[0]] == kept[IDS[1]] == "ok"
    assert kept[IDS[2]] == "not tried"
    fetch(tmp_path, site(server))
    assert set(statuses(tmp_path).values()) == {"ok"}


def test_a_site_that_takes_us_for_a_robot_ends_the_fetch(server: Server, tmp_path: Path) -> None:
    blocked = ItemError("blocked", "Sign in to confirm you're not a bot")
    refusing = site(server, replace(OPTIONS, jobs=1), **dict.fromkeys(IDS[1:], blocked))
    with pytest.raises(DataUnavailable, match=r"--cookies FILE"):
        fetch(tmp_path, refusing)
    found = statuses(tmp_path)
    assert found[IDS[0]] == "ok"
    assert [found[id] for id in IDS[1:]] == ["blocked"] * 3 + ["not tried"]
    fetch(tmp_path, site(server))
    assert set(statuses(tmp_path).values()) == {"ok"}


def test_expired_addresses_are_asked_for_anew(server: Server, tmp_path: Path) -> None:
    server.answers[f"/{IDS[0]}"] = Answer(SOUND, "audio/mpeg", status=403, times=1)
    known = site(server)
    fetch(tmp_path, known)
    assert known.asked[IDS[0]] == 2
    assert statuses(tmp_path)[IDS[0]] == "ok"


def test_only_one_fetch_works_in_a_folder(server: Server, tmp_path: Path) -> None:
    server.answers[f"/{IDS[0]}"] = Answer(SOUND, "audio/mpeg", rate=4000.0)
    site(server)
    running = child(tmp_path, server)
    try:
        for _ in range(400):
            if server.requests(f"/{IDS[0]}"):
                break
            time.sleep(0.05)
        with pytest.raises(UserError, match="another voxgrid run is writing to"):
            fetch(tmp_path, site(server))
    finally:
        running.kill()
        running.communicate()


def test_a_folder_that_cannot_be_made_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="choose another with --to"):
        fetch(tmp_path / "file" / "youtube", site(server))


def test_what_a_site_says_is_not_read_as_markup(server: Server, tmp_path: Path) -> None:
    odd = ItemError("geo-blocked", "blocked by [SME/UMG] [/SME] in your country")
    known = site(server, **{IDS[0]: odd})
    terminal = Reporter(Console(file=io.StringIO(), force_terminal=True))
    fetch_all(parse(rows(), "table"), tmp_path, known, terminal)
    assert statuses(tmp_path)[IDS[0]] == "geo-blocked"
    assert list(statuses(tmp_path).values()).count("ok") == 4


def test_a_repair_is_kept_with_its_evidence(server: Server, tmp_path: Path) -> None:
    lines = ["link,title,description,category"]
    lines += ["https://www.youtube.com/watch?v=ZbcdefgX,Rome,Channel of Rome,history"]
    lines += ["https://www.youtube.com/watch?v=ZbcdefgY,Oslo,Channel of Oslo,history"]
    found = LoopbackVideo("wwwZbcdefgX", "/rome", title="Rome", duration=3.0, suffix="mp3")
    server.answers["/rome"] = Answer(SOUND, "audio/mpeg")
    reporter = Reporter(Console(file=io.StringIO()))
    links = parse("\n".join(lines).encode(), "table")
    known = LoopbackSite(server, [found], options=OPTIONS)
    summary = fetch_all(links, tmp_path, known, reporter)
    assert (summary.repaired, summary.not_repaired, summary.refused) == (1, 1, 0)
    rome, oslo = manifest.read(tmp_path)
    assert (rome.id, rome.found_title, rome.duration) == ("wwwZbcdefgX", "Rome", 3.0)
    assert (rome.found_channel, rome.status) == ("A channel", "ok")
    assert (oslo.status, oslo.id) == ("not repaired", None)
    assert oslo.reason.startswith("no id fits what is left of it")
    assert (tmp_path / manifest.TABLE).read_bytes() == links.data


def test_categories_take_turns(tmp_path: Path) -> None:
    lines = ["link,title,description,category"]
    for category in ("food", "history", "travel"):
        lines += [f"https://youtu.be/Z{category:_>9}{n},t{category}{n},c,{category}" for n in "XYZ"]
    ledger = Ledger(tmp_path, parse("\n".join(lines).encode(), "table"), 60.0)
    order = [item.category for item in ledger.to_do(repair=False)]
    assert order == ["food", "history", "travel"] * 3


def test_files_of_a_killed_writer_are_removed(server: Server, tmp_path: Path) -> None:
    (tmp_path / f".manifest.parquet.{'0' * 32}.partial").write_bytes(b"half")
    fetch(tmp_path, site(server))
    assert not list(tmp_path.glob(".*.partial"))
