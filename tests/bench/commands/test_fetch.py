"""`voxgrid fetch youtube` as people call it, against a site on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench import cli
from bench.commands import fetch
from bench.tasks.youtube import site
from bench.tasks.youtube.links import CATEGORIES
from bench.tasks.youtube.manifest import Item
from tests.loopback.media import encoded
from tests.loopback.server import Answer, Server
from tests.loopback.site import LoopbackSite, LoopbackVideo

IDS = [f"Z{number:09d}Z" for number in range(5)]
SOUND = encoded("mp3", seconds=3.0)


def rows() -> bytes:
    lines = [f"https://youtu.be/{id},about {id},Channel {id},food" for id in IDS]
    return "\n".join(["link,title,description,category", *lines]).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        running.answers = {f"/{id}": Answer(SOUND, "audio/mpeg") for id in IDS}
        yield running


@pytest.fixture
def command(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The command against the site on this machine, with its folder."""
    videos = [LoopbackVideo(id, f"/{id}", f"about {id}", duration=3.0, suffix="mp3") for id in IDS]
    monkeypatch.setattr(
        site, "YouTube", lambda _, options: LoopbackSite(server, videos, options=options)
    )
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("VOXGRID_OFFLINE", raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    to = str(tmp_path / "youtube")
    return ["fetch", "youtube", "--to", to, "--interval", "0", "--seconds", "2"]


Said = Callable[..., tuple[int, str]]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """Run the command as its entry point does: exit code, and what was printed."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["voxgrid", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out + printed.err

    return call


def test_the_command_fetches_shows_and_needs_no_table_the_second_time(
    command: list[str], said: Said, tmp_path: Path, server: Server
) -> None:
    table = tmp_path / "links.csv"
    table.write_bytes(rows())
    code, text = said(*command, str(table))
    assert code == 0, text
    assert "5 videos fetched" in text
    assert "classes.png" in text
    requests = len(server.seen)
    code, text = said(*command)
    assert (code, len(server.seen)) == (0, requests)
    assert "0 videos fetched" in text
    code, text = said(*command, "--status")
    assert code == 0
    assert "note: --status fetches nothing: no effect of --seconds, --interval" in text
    assert "ok" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.csv"], "'missing.csv' does not exist"),
        ([], "which table of links"),
        (["--status"], "nothing was fetched to"),
        (["--again", "privat", __file__], "did you mean 'private'"),
        (["--timeout", "soon", __file__], "--timeout: 'soon' is no duration"),
        (["--seconds", "0.5", __file__], "and must be a number of 1 or more"),
        (["--seconds", "inf", __file__], "--seconds is 'inf', and must be a number of 1 or more"),
        (["--timeout", "0s", __file__], "--timeout is '0.0', and must be a number of 1 or more"),
        (["--again", "ok", __file__], "--again knows no status 'ok'"),
        (["--again", "not repaired", "--no-repair", __file__], "leave out --no-repair"),
        (["--cookies", "nowhere.txt"], "'nowhere.txt' does not exist"),
    ],
)
def test_mistakes_are_named_with_a_next_step(
    command: list[str], said: Said, arguments: list[str], message: str
) -> None:
    code, text = said(*command, *arguments)
    assert code == 2
    assert message in text


def test_offline_nothing_is_asked(
    command: list[str],
    said: Said,
    tmp_path: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VOXGRID_OFFLINE", "1")
    (tmp_path / "links.csv").write_bytes(rows())
    code, text = said(*command, str(tmp_path / "links.csv"))
    assert code == 2
    assert "VOXGRID_OFFLINE forbids" in text
    assert server.seen == []


def test_what_is_left_for_another_fetch_is_the_exit_code(
    command: list[str], said: Said, tmp_path: Path, server: Server
) -> None:
    (tmp_path / "links.csv").write_bytes(rows())
    server.answers[f"/{IDS[0]}"] = Answer(b"<html>gone</html>", status=404)
    server.answers[f"/{IDS[1]}"] = Answer(SOUND, status=400)
    code, text = said(*command, str(tmp_path / "links.csv"))
    assert code == 1
    assert "3 videos fetched" in text
    assert "1 to be tried again by the same command" in text
    server.answers[f"/{IDS[1]}"] = Answer(SOUND)
    code, text = said(*command)
    assert code == 0, text  # what is gone for good is not waited for


def test_the_table_last_fetched_is_the_one_fetched_again(
    command: list[str], said: Said, tmp_path: Path, server: Server
) -> None:
    folder = tmp_path / "youtube"
    (tmp_path / "all.csv").write_bytes(rows())
    assert said(*command, str(tmp_path / "all.csv"))[0] == 0
    (folder / "fewer.csv").write_bytes(b"\n".join(rows().split(b"\n")[:3]))
    assert said(*command, str(folder / "fewer.csv"))[0] == 0
    code, text = said(*command)
    assert code == 0
    assert "2 rows: 2 videos" in text
    assert "3 videos of an earlier table are kept" in text


def test_a_refused_fetch_leaves_the_table_alone(
    command: list[str], said: Said, tmp_path: Path
) -> None:
    (tmp_path / "all.csv").write_bytes(rows())
    assert said(*command, str(tmp_path / "all.csv"))[0] == 0
    (tmp_path / "fewer.csv").write_bytes(b"\n".join(rows().split(b"\n")[:3]))
    code, text = said(*command, str(tmp_path / "fewer.csv"), "--seconds", "3")
    assert code == 2
    assert "holds the first 2 s" in text
    assert (tmp_path / "youtube" / "table.csv").read_bytes() == rows()


def test_the_status_counts_every_video_once(tmp_path: Path) -> None:
    item = Item(left="a", row=2, id="a" * 11, category="travel", title="Alps", status="ok")
    items = [
        item,
        replace(item, left="b", category="food", status="private", reason="Private video"),
        replace(item, left="c", category="history", status="not tried"),
        replace(item, left="d", in_table=False),
    ]
    console = Console(width=100, record=True, file=(tmp_path / "out").open("w"))
    fetch.render(items, console)
    lines = console.export_text().splitlines()
    assert lines[1].split() == ["status", *CATEGORIES, "all"]
    assert [line.split() for line in lines[3:7]] == [
        ["ok", "1", "0", "0", "0", "1"],
        ["private", "0", "1", "0", "0", "1"],
        ["not", "tried", "0", "0", "0", "1", "1"],
        ["all", "1", "1", "0", "1", "3"],
    ]
    assert "1 × private: Private video" in lines
    assert "1 videos of an earlier table are kept and not counted here" in lines
    figure = fetch.draw(items, tmp_path)
    assert figure.read_bytes().startswith(b"\x89PNG")
