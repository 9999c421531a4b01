"""Chromium as Debian ships it, and pages made from records."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from bench.report.leaderboard import Leaderboard
from bench.report.site.build import write

ROOT = Path(__file__).parents[2]
_NAMES = ("chromium", "chromium-browser", "google-chrome")
# Opens a file in a new window; keywords go to the browser's context.
Open = Callable[..., Page]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", help="folder for pictures of the page, as the README's")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.exit("no Chromium: `apt-get install chromium` installs one on Debian", returncode=2)
    with sync_playwright() as playwright:
        # as root, as in a container, Chromium starts without its sandbox only
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def look(browser: Browser) -> Iterator[Open]:
    """Open a page; what asks for anything else, or fails in a script, fails the test."""
    contexts = []
    wrong: list[str] = []

    def look(path: Path, *, wait: bool = True, **options: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1600, "height": 1000}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda r: None if _own(r.url, path) else wrong.append(r.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        page.goto(path.as_uri())
        if wait:
            page.wait_for_function("document.documentElement.dataset.ready")
        return page

    yield look
    for context in contexts:
        context.close()
    assert not wrong


def _own(url: str, path: Path) -> bool:
    return url == path.as_uri() or url.startswith(
        ("data:", f"blob:{path.as_uri()[:7]}", "blob:null")
    )


def make(results: Path) -> Path:
    """The page of the real tasks of a results folder."""
    write(Leaderboard.of(results, results.parent / "leaderboard.md"))
    return results / "site" / "index.html"


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the records of this repository."""
    folder = tmp_path_factory.mktemp("committed")
    shutil.copytree(ROOT / "results", folder / "results", ignore=shutil.ignore_patterns(".studies"))
    return make(folder / "results")
