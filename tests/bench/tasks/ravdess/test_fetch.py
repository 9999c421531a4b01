"""The download, against a real HTTP server on this machine."""

from __future__ import annotations

import hashlib
import http.server
import io
import re
import threading
import zipfile

import numpy as np
import pytest
import soundfile
from rich.console import Console

from bench.errors import DataUnavailable, StorageError, UserError
from bench.progress import Reporter
from bench.tasks import resolve
from bench.tasks.ravdess.fetch import fetch_ravdess
from bench.tasks.ravdess.task import read


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.delenv("VOXGRID_OFFLINE", raising=False)


def _wav(seed):
    file = io.BytesIO()
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, 48000)
    soundfile.write(file, noise, 48000, format="WAV")
    return file.getvalue()


@pytest.fixture(scope="module")
def clips():
    return {
        f"Actor_0{a}/03-01-05-01-01-0{r}-0{a}": _wav(10 * a + r) for a in (1, 2) for r in (1, 2)
    }


@pytest.fixture(scope="module")
def archive(clips):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, data in clips.items():
            zipped.writestr(f"{name}.wav", data)
        zipped.writestr("../../outside.wav", b"x")
        zipped.writestr("README.txt", b"x")
    return file.getvalue()


@pytest.fixture
def published(clips):
    return {name: hashlib.sha256(data).hexdigest() for name, data in clips.items()}


class _Server(http.server.ThreadingHTTPServer):
    """Serves `body` with ranges; breaks off after `stop_after` bytes; or answers `status`."""

    body = b""
    stop_after: int | None = None
    status = 200
    ranges = True
    redirects = 0

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/file.zip"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.seen.append(self.headers.get("Range"))
        if server.redirects:
            server.redirects -= 1
            self.send_response(302)
            self.send_header("Location", server.url)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if server.status != 200:
            self.send_error(server.status)
            return
        begin = 0
        if server.ranges and (wanted := self.headers.get("Range")):
            begin = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if begin >= len(server.body):
                self.send_error(416)
                return
        body = server.body[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.stop_after])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(archive):
    server = _Server()
    server.body = archive
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def get(server, archive, published, tmp_path):
    def call(**options):
        options = {
            "md5": hashlib.md5(archive).hexdigest(),
            "published": published,
            "silent": set(),
        } | options
        fetch_ravdess(tmp_path / "data/ravdess", url=server.url, **options)

    return call


def test_clips_arrive_checked_and_nothing_else(get, clips, tmp_path):
    get()
    dest = tmp_path / "data/ravdess"
    for name, data in clips.items():
        assert (dest / f"{name}.wav").read_bytes() == data
    assert len(read(dest).clips) == 4
    assert not list(tmp_path.rglob("outside.wav"))
    assert not list(tmp_path.rglob("README.txt"))
    assert sorted(path.name for path in dest.parent.iterdir()) == [".ravdess.lock", "ravdess"]


def test_what_is_there_is_not_fetched_again(get, server):
    get()
    get()
    assert server.seen == [None]


def test_an_incomplete_folder_is_left_alone(get, server, tmp_path):
    dest = tmp_path / "data/ravdess"
    dest.mkdir(parents=True)
    (dest / "mine.txt").write_text("notes")
    with pytest.raises(UserError, match="4 of 4 clips are not in it: remove it"):
        get()
    assert server.seen == []
    (dest / "mine.txt").unlink()
    get()
    assert len(read(dest).clips) == 4


def test_the_default_folder_is_where_the_task_looks(
    server, archive, published, tmp_path, monkeypatch
):
    options = {"md5": hashlib.md5(archive).hexdigest(), "published": published, "url": server.url}
    monkeypatch.setenv("VOXGRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VOXGRID_DATA", raising=False)
    assert fetch_ravdess(**options) == tmp_path / "cache/data/ravdess"
    assert len(resolve("ravdess").clips) == 4
    monkeypatch.setenv("VOXGRID_DATA", str(tmp_path / "data"))
    assert fetch_ravdess(**options) == tmp_path / "data/ravdess"
    assert resolve("ravdess").clips[0].path.is_relative_to(tmp_path / "data")


def test_a_broken_download_goes_on_where_it_stopped(get, server, tmp_path):
    server.stop_after = 100_000
    with pytest.raises(DataUnavailable, match=r"broke off .* run the same command again to go on"):
        get()
    part = tmp_path / "data/Audio_Speech_Actors_01-24.zip.part"
    begun = part.stat().st_size
    assert 0 < begun <= 100_000
    assert not (tmp_path / "data/ravdess").exists()
    server.stop_after = None
    get()
    assert server.seen == [None, f"bytes={begun}-"]
    assert not part.exists()


def test_a_server_without_ranges_starts_anew(get, server, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/Audio_Speech_Actors_01-24.zip.part").write_bytes(b"old" * 100)
    server.ranges = False
    get()
    assert (tmp_path / "data/ravdess").is_dir()


def test_a_complete_part_file_is_used(get, archive, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/Audio_Speech_Actors_01-24.zip.part").write_bytes(archive)
    get()
    assert (tmp_path / "data/ravdess").is_dir()


def test_a_wrong_archive_is_thrown_away(get, server, archive, tmp_path):
    server.body = archive[:-1] + b"?"
    with pytest.raises(DataUnavailable, match="not the published archive"):
        get()
    assert not [path for path in (tmp_path / "data").iterdir() if path.suffix != ".lock"]
    server.body = archive
    get()
    assert server.seen == [None, None]


def test_a_changed_clip_is_named(get, published, tmp_path):
    name = next(iter(published))
    with pytest.raises(DataUnavailable, match=rf"1 missing \(Actor_09/x\); 1 changed \({name}\)"):
        get(published=published | {name: "0" * 64, "Actor_09/x": "0" * 64})
    assert not (tmp_path / "data/ravdess").exists()


def test_404_is_said_and_leaves_nothing(get, server, tmp_path):
    server.status = 404
    with pytest.raises(DataUnavailable, match=r"answers 404 .* unzip it into"):
        get()
    assert not list((tmp_path / "data").glob("*.part"))


def test_a_silent_host_is_asked_once(get, server, tmp_path):
    silent = set()
    url = "http://127.0.0.1:9/file.zip"
    for message in ("cannot be reached", "is not asked again"):
        with pytest.raises(DataUnavailable, match=rf"{message}.*zenodo\.org"):
            fetch_ravdess(tmp_path / "data/ravdess", url=url, silent=silent)
    assert silent == {"127.0.0.1:9"}
    with pytest.raises(DataUnavailable, match="is not asked again"):
        get(silent={server.url.split("/")[2]})
    assert server.seen == []


def test_an_archive_that_is_there_is_not_fetched_again(get, server, archive, tmp_path):
    """As a kill between the download and its unpacking leaves it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/Audio_Speech_Actors_01-24.zip").write_bytes(archive)
    get()
    assert (tmp_path / "data/ravdess").is_dir()
    assert server.seen == []


def test_a_redirect_is_followed(get, server):
    server.redirects = 1
    get()
    assert len(server.seen) == 2


def test_progress_is_told_in_megabytes(get, archive):
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    get(reporter=Reporter(console))
    megabytes = round(len(archive) / 1e6)
    assert "download RAVDESS (MB)" in console.file.getvalue()
    assert f"{megabytes}/{megabytes}" in console.file.getvalue()


def test_offline_forbids_the_network(get, server, monkeypatch):
    monkeypatch.setenv("VOXGRID_OFFLINE", "1")
    with pytest.raises(DataUnavailable, match="VOXGRID_OFFLINE"):
        get()
    assert server.seen == []


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="VOXGRID_CACHE"):
        fetch_ravdess(tmp_path / "file/ravdess")


def test_a_full_disk_is_said(get, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.tasks.ravdess.fetch.shutil.copyfileobj", full)
    with pytest.raises(StorageError, match=r"No space left on device\): RAVDESS needs 0\.8 GB"):
        get()
