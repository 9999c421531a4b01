"""The page as HTML, read without a browser; tests/browser looks at it in one."""

from __future__ import annotations

import csv
import gzip
import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from bench.records import store as records
from bench.report.leaderboard import Leaderboard
from bench.report.listing import NAME
from bench.report.site import build
from tests.bench.records.make_records import make_record, store, unfinished
from tests.bench.report.pages import rows, section

HOSTILE = "<img src=x onerror=alert(1)>|`*_\n\x1b[31m</script><script>alert(2)</script>\ud800"


class Page(HTMLParser):
    """Its tags with their attributes, its texts, and the data it carries."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[list[str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self._packed = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.data: dict[str, Any] = json.loads(gzip.decompress(b64decode(self._packed)))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self._packed = self._packed or (data if self.tags[-1][1].get("id") == "data" else "")
        else:
            self.texts.append(data)
            if self._open[-1:] in (["td"], ["th"]):
                self.cells[-1][-1] += data


def _made(results: Path) -> tuple[Leaderboard, Path]:
    made = Leaderboard.of(results, results.parent / "leaderboard.md")
    made.write()
    (path,) = build.write(made)
    return made, path


def test_page_file_and_csv_say_the_same(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for head, right in {"a": 90, "b": 88, "c": 55}.items():
        confusion = [[right, 100 - right], [100 - right, right]]
        store(results, make_record(head=head, confusion=confusion), groups=20)
    made, path = _made(results)
    page = Page(path)
    table = next(at for at, row in enumerate(page.cells) if row[:2] == ["rank", "task"])
    titles = page.cells[table]
    shown = [dict(zip(titles, row, strict=True)) for row in page.cells[table + 1 : table + 4]]
    listed = list(csv.DictReader((results / NAME).read_text().splitlines()))
    ranked = rows(section(made.texts()[made.path], "speaker-6fold"))
    assert len(shown) == len(listed) == len(ranked) == len(page.data["rows"]) == 3
    for row, line, cells, known in zip(shown, listed, ranked, page.data["rows"], strict=True):
        assert [row["rank"], row["backbone"], row["pooling"], row["head"]] == cells[:4]
        assert row["macro-F1 %"] == cells[4]
        shares = (float(line[f"macro_f1{bound}"]) for bound in ("", "_low", "_high"))
        assert row["macro-F1 %"] == "{:.1f} ({:.1f}–{:.1f})".format(*(100 * s for s in shares))
        assert next(csv.reader([known["line"]])) == list(line.values())


def test_no_text_of_a_record_becomes_a_tag(tmp_path: Path) -> None:
    results = tmp_path / "results"
    plain = make_record(labels=["a", "b"], head="plain")
    store(results, plain, groups=20)
    _, path = _made(results)
    known = {tag for tag, _ in Page(path).tags}
    odd = make_record(
        labels=["x" + HOSTILE, "b"], hardware=HOSTILE, group=HOSTILE, notes=[HOSTILE], head="odd"
    )
    store(results, odd, groups=20)
    records.write(results, unfinished(HOSTILE, "failed", head="gone"))
    made = Leaderboard.of(results, tmp_path / "leaderboard.md")
    (path,) = build.write(made)
    page = Page(path)
    assert {tag for tag, _ in page.tags} <= known | {"code", "strong", "em"}
    assert not [attrs for _, attrs in page.tags if "onerror" in attrs]
    text = path.read_text(encoding="utf-8")
    assert "\x1b" not in text
    assert sum(tag == "script" for tag, _ in page.tags) == text.count("</script>") == 5
    assert any("<img src=x onerror=alert(1)>" in text for text in page.texts)
    assert "\x1b" not in json.dumps(page.data, ensure_ascii=False)


def test_it_asks_nothing_of_any_server(tmp_path: Path) -> None:
    results = tmp_path / "results"
    store(results, make_record(), groups=20)
    page = Page(_made(results)[1])
    (policy,) = (a["content"] for _, a in page.tags if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert not [attrs for _, attrs in page.tags if "src" in attrs]
    links = {str(a["href"]) for tag, a in page.tags if tag == "a"}
    assert all(re.match("#|https://(datatables.net|vega.github.io/)", link) for link in links)
    assert not any(tag == "link" for tag, _ in page.tags)


def test_a_board_without_finished_rows_has_no_page(tmp_path: Path) -> None:
    results = tmp_path / "results"
    records.write(results, unfinished("no weights"))
    assert build.write(Leaderboard.of(results, tmp_path / "leaderboard.md")) == []
    assert not (results / build.FOLDER).exists()
