"""One's own recordings from a table to the page: a task by itself, beside nobody else's figures."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.bench.tasks.own.make_own import make_clips, write_csv
from tests.browser.conftest import Open
from tests.conftest import Voxgrid


def test_own_data_are_a_task_of_their_own_on_the_page(
    voxgrid: Voxgrid, look: Open, tmp_path: Path
) -> None:
    clips = make_clips(tmp_path / "sound")
    write_csv(tmp_path / "mine.csv", ("file", "label", "speaker"), clips)
    rows = ("--backbone=logmel", "--pooling=mean", "--head=lda", "--head=logistic_regression")
    for command in (("run", "mine.csv", *rows), ("report",)):
        done = voxgrid(*command)
        assert done.returncode == 0, done.stderr
    page = look(tmp_path / "results" / "site" / "index.html")
    table = page.locator("#table tbody tr")
    expect(table).to_have_count(2)
    page.locator("#table tbody tr").first.locator("button, a").first.click()
    text = page.locator("body").inner_text()
    assert "voxgrid train mine --protocol group-kfold --cell logmel/mean/" in text
    for another in ("ravdess", "RAVDESS", "EmoBox", "channel"):
        assert another not in text
