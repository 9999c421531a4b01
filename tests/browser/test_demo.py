"""`voxgrid demo` in a real browser: a file is dropped, probabilities appear, nothing goes out."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from bench.winner.demo import HOST, launch
from tests.bench.tasks.own.make_own import RATE, make_clips
from tests.bench.winner.make_winner import LABELS, make_winner


@pytest.fixture(scope="module")
def called() -> Iterator[list[Any]]:
    """Where this process connected to over the internet's protocols."""
    places: list[Any] = []
    connect = socket.socket.connect

    def noted(own: socket.socket, place: Any) -> None:
        if own.family in (socket.AF_INET, socket.AF_INET6):
            places.append(place)
        connect(own, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", noted)
        yield places


@pytest.fixture(scope="module")
def address(called: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("demo")
    clips = [path for path, _, _ in make_clips(folder / "sound")]
    model = make_winner(folder / "model", [("logmel", 0)], "mean_std", "lda", clips)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOXGRID_CACHE", str(folder / "cache"))
        page, address = launch(model, None)
        yield address
        page.close()


def test_a_dropped_file_shows_probabilities_and_nobody_else_is_asked(
    address: str, browser: Browser, tmp_path: Path
) -> None:
    assert address.startswith(f"http://{HOST}:")
    wave = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    soundfile.write(tmp_path / "new.wav", wave, RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address)
    page.locator("input[type=file]").set_input_files(tmp_path / "new.wav")
    shown = page.get_by_test_id("label-output-value")
    expect(shown).to_be_visible(timeout=60_000)
    assert shown.inner_text().strip() in LABELS
    violations = Axe().run(page, options={"runOnly": ["wcag2a"]}).response["violations"]
    assert [each["id"] for each in violations if each["impact"] == "critical"] == []
    page.get_by_label("Clear").first.click()
    page.locator("input[type=file]").set_input_files(tmp_path / "silent.wav")
    expect(page.get_by_text("Nothing is said of this file: it is silent")).to_be_visible()
    assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []
    assert not wrong
    context.close()


def test_it_listens_on_this_machine_alone_and_calls_nobody(address: str, called: list[Any]) -> None:
    port = int(address.rstrip("/").rpartition(":")[2])
    listening = [
        own.laddr.ip
        for own in psutil.Process().net_connections("inet")
        if own.status == psutil.CONN_LISTEN and own.laddr.port == port
    ]
    assert listening == [HOST]
    assert [place for place in called if place[0] not in (HOST, "localhost", "::1")] == []
