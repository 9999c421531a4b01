"""Tables, manifests and folders of tasks from strangers: rows, or one sentence, in seconds."""

from __future__ import annotations

import contextlib
import csv
import http.server
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backbones import reading
from bench import tasks
from bench.clips import Task
from bench.commands.fetch import _number
from bench.errors import DataUnavailable, PluginCrashed, StorageError, UserError
from bench.files import replacing
from bench.progress import Reporter
from bench.tasks import checks
from bench.tasks.entry import Entry
from bench.tasks.ravdess import fetch as ravdess_fetch
from bench.tasks.ravdess import task as ravdess
from bench.tasks.youtube import manifest, run
from bench.tasks.youtube import table as tables
from bench.tasks.youtube.client import Options
from bench.tasks.youtube.download import download
from bench.tasks.youtube.links import Found, plain_title, short
from bench.tasks.youtube.manifest import Item, Ledger
from bench.tasks.youtube.site import YouTube
from bench.tasks.youtube.statuses import ItemError, cleaned
from bench.tasks.youtube.table import LinkTable, parse
from bench.terminal import Terminal
from tests.hostile import parquets
from tests.hostile.conftest import Put, refused

HEADER = "link,title,description,category\n"
GOOD = "i9E_Blai8vk,Bali,Lee,travel\n"
ODD = "\x1b]0;t\x07\u202e\x9b31m"


def _refused(data: bytes) -> str:
    return refused(UserError, parse, data, "links.csv")


@settings(max_examples=200)
@given(
    st.binary(max_size=300)
    | st.lists(
        st.sampled_from(
            ["link", "title", "description", "category", "travel", "food", '"', ",", "\n"]
        )
        | st.sampled_from(["i9E_Blai8vk", "Gqp2JY54vCQ", "\r", "\x00", "v=", ODD, "=1+1", "\ufeff"])
        | st.text(max_size=5),
        max_size=60,
    ).map(lambda parts: (HEADER + "".join(parts)).encode("utf-8", "surrogatepass"))
)
def test_any_bytes_are_rows_or_a_sentence(data: bytes) -> None:
    with contextlib.suppress(UserError):
        found = parse(data, "links.csv")
        assert found.videos
        assert all(entry.reason.isprintable() for entry in found.excluded)


def test_a_header_with_orders_for_a_terminal_is_shown_as_codes() -> None:
    said = _refused(f"{ODD},title\n".encode())
    assert r"\x1b" in said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (HEADER.encode() + b"x" * 200_000, "field larger than field limit"),
        (HEADER.encode() + b'"' + b"x" * 1_000_000, "field larger than field limit"),
        (b"a" + b"," * 5_000_000, "no columns that may be the link"),
        (HEADER.encode() + b"\n" * 1_000_001, "has more than 1000000 rows"),
    ],
)
def test_endless_cells_and_rows_are_refused(data: bytes, said: str) -> None:
    assert said in _refused(data)


def test_reasons_do_not_grow_with_the_square_of_the_rows() -> None:
    ids = [f"{number:011d}" for number in range(4000)]
    rows = [f"{id},One title,,{'travel' if i % 2 else f'kind{i}'}\n" for i, id in enumerate(ids)]
    found = parse((HEADER + "".join(rows) + GOOD).encode(), "links.csv")
    assert len(found.videos) == 1
    assert max(len(entry.reason) for entry in found.excluded) < 500


def test_a_table_that_is_no_file_or_too_large_is_a_sentence(no_file: Put, tmp_path: Path) -> None:
    path = tmp_path / "links.csv"
    no_file(path)
    with pytest.raises(UserError, match=f"the table {path} cannot be read"):
        tables.read(path)


def test_cookies_that_are_no_file_are_a_sentence(no_file: Put, tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    no_file(tmp_path / "cookies.txt")
    for name in ("bytes", "cookies.txt"):
        with pytest.raises(UserError, match="the file of cookies"):
            YouTube(tmp_path / name)


def test_what_is_left_out_is_no_formula(tmp_path: Path) -> None:
    rows = ['"=HYPERLINK(""x"")",@SUM(1),,nothing\n', "-1,+1,,nothing\n"]
    table = parse((HEADER + "".join(rows) + GOOD).encode(), "links.csv")
    Ledger(tmp_path, table, 60.0)
    with (tmp_path / manifest.EXCLUDED).open(newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert '\'=HYPERLINK("x")' in cells
    assert (tmp_path / manifest.TABLE).read_bytes() == table.data


def _item(**more: object) -> dict[str, object]:
    return {"row": 2, "left": "x", "category": "food", "title": "", "id": None} | more


MANIFESTS: dict[str, Callable[[], pa.Table]] = {
    "rows": lambda: pa.table({"row": pa.array([1]).take(pa.array([0] * 1_000_001))}),
    "a text repeated": lambda: pa.table(
        {
            name: pa.DictionaryArray.from_arrays([0] * 10_000, ["x" * 100_000])
            for name in ("left", "title", "id", "link", "channel")
        }
    ),
    "bad UTF-8": lambda: pa.table({"left": pa.array([b"\xff"]).view(pa.string())}),
    "nested": lambda: pa.table({"left": [[["x"]]]}),
    "nested elsewhere": lambda: pa.table({"left": ["x"], "more": [{"a": [1]}]}),
    "texts for numbers": lambda: pa.Table.from_pylist([_item(row="x")]),
    "a status of its own": lambda: pa.Table.from_pylist([_item(status="fine")]),
    "infinite": lambda: pa.Table.from_pylist([_item(seconds=float("inf"))]),
    "not a number": lambda: pa.Table.from_pylist([_item(asked_seconds=float("nan"))]),
    "a long text": lambda: pa.Table.from_pylist([_item(title="x" * 200_000)]),
    "a date": lambda: pa.table({"row": pa.array([2**62]).cast(pa.timestamp("us"))}),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_of_other_cells_is_a_sentence(name: str, tmp_path: Path) -> None:
    pq.write_table(MANIFESTS[name](), tmp_path / manifest.MANIFEST)
    with pytest.raises(UserError, match=r"manifest\.parquet cannot be read"):
        manifest.read(tmp_path)


@pytest.mark.parametrize("name", parquets.LIES)
def test_a_manifest_that_lies_about_its_size_is_a_sentence(name: str, tmp_path: Path) -> None:
    parquets.plant(name, tmp_path / manifest.MANIFEST, ["left", "title"])
    with pytest.raises(UserError, match=r"manifest\.parquet cannot be read"):
        manifest.read(tmp_path)


@pytest.mark.parametrize("no_file", ["pipe", "folder", "device", "huge"], indirect=True)
def test_a_manifest_that_is_no_file_is_a_sentence(no_file: Put, tmp_path: Path) -> None:
    no_file(tmp_path / manifest.MANIFEST)
    with pytest.raises(UserError, match=r"manifest\.parquet cannot be read"):
        manifest.read(tmp_path)


def test_a_manifest_cut_short_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / manifest.MANIFEST).write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"manifest\.parquet cannot be read"):
        manifest.read(tmp_path)


@settings(max_examples=100)
@given(at=st.integers(0, 4000), byte=st.integers(0, 255))
def test_a_manifest_with_other_bytes_is_rows_or_a_sentence(
    at: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "bytes"
    folder.mkdir(exist_ok=True)
    manifest.write(folder, [Item(**_item())])  # type: ignore[arg-type]
    data = bytearray((folder / manifest.MANIFEST).read_bytes())
    data[at % len(data)] = byte
    (folder / manifest.MANIFEST).write_bytes(data)
    with contextlib.suppress(UserError):
        manifest.read(folder)


def test_only_files_that_a_fetch_left_are_removed(tmp_path: Path) -> None:
    with contextlib.suppress(RuntimeError), replacing(tmp_path / "table.csv") as partial:
        name = partial.name
        raise RuntimeError
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / name).write_text("half")
    (tmp_path / ".mine.partial").write_text("mine")
    linked, folder = (tmp_path / name.replace("table", other) for other in ("linked", "folder"))
    linked.symlink_to(victim)
    folder.mkdir()
    run.fetch_all(
        LinkTable((), (), b""),
        tmp_path,
        SimpleNamespace(options=Options(), stop=threading.Event()),  # type: ignore[arg-type]
        Reporter(Terminal(file=io.StringIO())),  # type: ignore[arg-type]
    )
    assert not (tmp_path / name).exists()
    assert (tmp_path / ".mine.partial").read_text() == "mine"
    assert victim.read_text() == "precious"
    assert folder.is_dir()


def test_sound_is_not_stored_through_a_linked_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.part-mine").write_text("precious")
    (tmp_path / "youtube").mkdir()
    (tmp_path / "youtube" / "audio").symlink_to(tmp_path / "elsewhere")
    client = SimpleNamespace(options=Options(), limited=contextlib.nullcontext)
    with pytest.raises(StorageError, match="is a link"):
        download(Found("x"), tmp_path / "youtube" / "audio" / "x.mka", client)  # type: ignore[arg-type]
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["x.part-mine"]


def test_messages_of_a_site_are_short_and_printable_in_no_time() -> None:
    for text in (ODD * 50_000, " " * 200_000 + "x", "\n;" * 100_000, "\x1b[" * 100_000):
        assert cleaned(text).isprintable()
        assert len(cleaned(text)) <= 200
        assert short(text).isprintable()
    assert str(ItemError("failed", f"a{ODD}b")).isprintable()


@pytest.mark.parametrize("text", ["inf", "1e308", "nan", "-1", "x"])
def test_numbers_of_options_are_bounded(text: str) -> None:
    with pytest.raises(UserError, match="--seconds is"):
        _number("seconds", text, 1.0, reading.LONGEST)


def test_a_folder_that_holds_everything_is_not_walked_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ravdess, "MOST_ENTRIES", 50)
    for name in range(60):
        (tmp_path / "Actor_01" / f"{name}").mkdir(parents=True)
    with pytest.raises(UserError, match="holds more than 50 files and folders"):
        ravdess.read(tmp_path)


class _Endless(http.server.BaseHTTPRequestHandler):
    length: str | None = None

    def do_GET(self) -> None:
        self.send_response(200)
        if self.length is not None:
            self.send_header("Content-Length", self.length)
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(1000):
                self.wfile.write(bytes(1 << 16))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.delenv("VOXGRID_OFFLINE", raising=False)
    monkeypatch.setattr(ravdess_fetch, "MOST", 1_000_000)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Endless)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/x.zip"
    server.shutdown()
    server.server_close()


def _fetch(url: str, folder: Path) -> None:
    ravdess_fetch.fetch_ravdess(
        folder / "ravdess",
        Reporter(Terminal(file=io.StringIO())),
        url=url,
        published={},
        silent=set(),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("length", [None, "abc", "-1", "9" * 30, "10"])
def test_a_download_stops_at_what_was_published(
    length: str | None, endless: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Endless, "length", length)
    with pytest.raises(DataUnavailable, match=r"is not the published|broke off|cannot be reached"):
        _fetch(endless, tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1_000_000


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_download_goes_through_no_link_and_no_pipe(
    kind: str, endless: str, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    part = tmp_path / "Audio_Speech_Actors_01-24.zip.part"
    if kind == "link":
        part.symlink_to(victim)
    else:
        os.mkfifo(part)
    with pytest.raises(DataUnavailable, match="is not the published archive"):
        _fetch(endless, tmp_path)
    assert victim.read_text() == "precious"


class _Odd(BaseException):
    def __str__(self) -> str:
        raise ValueError


def _raising() -> Iterator[object]:
    raise _Odd
    yield


@pytest.mark.parametrize("clips", [None, 5, _raising()], ids=["None", "a number", "raises"])
def test_a_task_that_gives_odd_clips_is_one_sentence(
    clips: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Entry("odd", ("random-80-20",), "odd", "speaker")
    task = Task("odd", ("a", "b"), clips, entry.protocols)  # type: ignore[arg-type]
    module = SimpleNamespace(ENTRY=entry, resolve=lambda *_: task)
    monkeypatch.setattr(tasks.TASKS, "get", lambda _: module)
    with pytest.raises(PluginCrashed, match="what task 'odd' gives"):
        checks.resolve("odd", allow_download=False)


def test_a_title_of_accents_alone_is_soon_in_order() -> None:
    title = "\u0301" * 60_000 + "\u0316" * 60_000
    assert len(plain_title(title)) <= 1000
