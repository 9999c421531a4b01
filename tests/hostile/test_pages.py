"""The page and its figures: whatever records of strangers say is shown as text, and stays there."""

from __future__ import annotations

import itertools
import os
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pydantic import ValidationError

from bench.errors import StorageError, UserError
from bench.printable import printable_lines
from bench.records.schema import Record
from bench.report import markdown
from bench.report.figures import confusion, curves, files, intervals, speed
from bench.report.figures.rows import Row
from bench.report.figures.scatter import Point
from bench.report.leaderboard import Leaderboard
from bench.report.page import Text, figures
from tests.bench.records.make_records import curve, make_record, make_trained
from tests.bench.records.make_records import store as with_predictions
from tests.bench.report.pages import store
from tests.conftest import Voxgrid
from tests.hostile.conftest import Put
from tests.hostile.make_words import EVIL, words, write_rows

PIECES = st.lists(st.sampled_from([*EVIL, *"`|\\[]()<>!#*_~- \n&"]), max_size=6).map("".join)
TEXTS = PIECES | st.text(max_size=20)


def parsed(text: str) -> tuple[list[Token], list[Token]]:
    blocks = MarkdownIt("commonmark").enable("table").parse(text)
    return blocks, [child for token in blocks for child in token.children or ()]


PICTURE = re.compile(
    r"<picture>\n"
    r'<source media="\(prefers-color-scheme: dark\)" srcset="(?P<dark>[^"<>&,\s]+)">'
    r'<img alt="[^"<>\n]*" src="(?P<light>[^"<>&\s]+)"></picture>\n'
)


def pictures(blocks: list[Token]) -> list[str]:
    """Addresses of the light images; there is no other HTML than theirs."""
    found = [PICTURE.fullmatch(token.content) for token in blocks if token.type == "html_block"]
    for each in found:
        assert each is not None
        assert each["dark"] == f"{each['light'].removesuffix('.png')}-dark.png"
    return [each["light"] for each in found if each is not None]


def cells(line: str) -> int:
    """Cells of a line for GitHub's parser, which takes a backslash with what it escapes."""
    return len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) - 1


def check(made: Leaderboard) -> None:
    texts = made.texts()
    for path, blocks in made.pages.items():
        figures_at = os.path.relpath(made.results / "figures", path.parent)
        others = {os.path.relpath(other, path.parent) for other in made.pages}
        _check(texts[path], len(figures(blocks)), f"{figures_at}/", others)


def _check(text: str, drawn: int, figures_at: str, others: set[str]) -> None:
    blocks, inline = parsed(text)
    for token in (*blocks, *inline):
        assert token.type not in ("html_inline", "fence", "hr")
        assert token.type not in ("code_block", "blockquote_open", "ordered_list_open")
    links = {str(token.attrs["href"]) for token in inline if token.type == "link_open"}
    assert {link.partition("#")[0] for link in links} <= others
    assert not any(token.type == "image" for token in inline)
    images = pictures(blocks)
    assert len(images) == drawn
    assert all(image.startswith(figures_at) for image in images)
    titles = {token.content for token in blocks if token.type == "inline" and token.level == 1}
    assert not titles & {"heading", "line"}
    assert text == printable_lines(text)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        lines = table.splitlines()
        assert len(set(map(cells, lines))) == 1
    rows = sum(token.type == "tr_open" for token in blocks)
    assert rows == sum(line.startswith("| ") for line in text.splitlines())


@pytest.mark.parametrize("evil", EVIL)
def test_what_records_say_is_shown_as_it_is_written(tmp_path: Path, evil: str) -> None:
    store(tmp_path / "results", *words(lambda: evil))
    write_rows(tmp_path / "results", lambda: evil)
    page = Leaderboard.of(tmp_path / "results", tmp_path / "leaderboard.md")
    assert len(page.found.records) == 16
    check(page)
    # each of what is computed over several rows is there
    text = page.texts()[page.path]
    titles = ("The answer", "What each choice changes, speaker-6fold", "The size of the leak")
    assert [title for title in titles if f"# {title}\n" not in text] == []
    assert all(f"- `{kind}`, " in text for kind in ("edge", "versions", "baseline", "missing"))
    assert "On inner folds layer 1 of " in text


@settings(max_examples=15)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_no_text_of_any_record_is_more_than_text(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("page")
    own = itertools.cycle(texts)
    try:
        store(folder / "results", *words(lambda: next(own)))
        write_rows(folder / "results", lambda: next(own))
    except ValidationError:  # a path that is too long
        return
    check(Leaderboard.of(folder / "results", folder / "leaderboard.md"))


@given(TEXTS)
def test_code_is_one_span_of_code_and_an_escaped_text_is_text(text: str) -> None:
    shown = (
        f"a {markdown.code(text)} b\n\n{markdown.opening(text)}.\n\n**c** {markdown.escape(text)}"
    )
    blocks, inline = parsed(markdown.render([Text(shown)], lambda figure, _: figure.name))
    assert sum(token.type == "paragraph_open" for token in blocks) == len(blocks) / 3
    assert not {"html_inline", "link_open", "image"} & {token.type for token in inline}
    (span,) = [t for t in (blocks[1].children or ()) if t.type == "code_inline"]
    assert "\n" not in span.content


def test_code_that_stands_in_a_text_of_ours_stays_code() -> None:
    text = "install it: `pip install 'voxgrid[nemo]' *`"
    assert markdown.escape(text) == text
    assert markdown.code("a|b") == "`a|b`"
    assert markdown.code("`") == "`` ` ``"


def test_file_names_of_strangers_are_printed_as_code(tmp_path: Path) -> None:
    results = tmp_path / "results"
    store(results, make_record())
    for name in (b"a__b__\xff.json", b"a__b__\x1b[1m.json", b"a__b__`<img src=x>.json"):
        (results / os.fsdecode(name)).write_text("{")
        (results / os.fsdecode(b"copy" + name)).write_bytes(
            next(results.rglob("xlsr__*.json")).read_bytes()
        )
    (results / "round__b__c.json").symlink_to("round__b__c.json")
    page = Leaderboard.of(results, tmp_path / "leaderboard.md")
    assert (len(page.found.unreadable), len(page.found.copies)) == (4, 3)
    check(page)
    page.write()


def test_a_link_to_a_figure_leads_to_it_whatever_its_folder_is_called(tmp_path: Path) -> None:
    results = tmp_path / "a (b) [c] <d>"
    store(results, make_record())
    page = tmp_path / "leaderboard.md"
    blocks, _ = parsed(Leaderboard.of(results, page).texts()[page])
    (image,) = pictures(blocks)
    assert image == (
        "a%20%28b%29%20%5Bc%5D%20%3Cd%3E/figures/ravdess__speaker-6fold__confusion.png"
    )


@pytest.mark.parametrize("text", ["$\\frac$", "$x^$", "$\\foo{$", "a\nb", "\x1b[31m", "\udcff"])
def test_what_looks_like_a_formula_is_drawn_as_text(text: str) -> None:
    figure = confusion.Confusion("any", text, (text, "b"), ((1, 2), (3, 4)))
    lines = curves.Curves("any", text, (curves.FoldCurve(1, 0, (1e39,), (None,), (0.5,), (1.0,)),))
    own = [Row(text, text, text, "", score, 0.2, 0.9, 2) for score in (0.5, 0.4)]
    forest = intervals.Intervals("any", text, text, 0.1, (text,), tuple(own))
    points = tuple(Point(row, rtfx) for row, rtfx in zip(own, (1.0, 2.0), strict=True))
    scatter = speed.Speed("any", text, (text,), points)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for each in (figure, lines, forest, scatter):
            assert each.draw(dark=False).startswith(b"\x89PNG")


def test_no_figure_is_drawn_of_many_classes_and_the_page_says_so(tmp_path: Path) -> None:
    many = [[int(row == column) for column in range(800)] for row in range(800)]
    store(tmp_path / "results", make_record(confusion=many))
    page = Leaderboard.of(tmp_path / "results", tmp_path / "leaderboard.md")
    page.write()
    assert "Confusions of more than 40 classes are not drawn." in page.texts()[page.path]
    assert not (tmp_path / "results" / "figures").exists()


def test_a_figure_of_long_names_has_a_short_one_of_its_own_and_goes_with_its_record(
    tmp_path: Path,
) -> None:
    names: dict[str, Any] = {name: name[0] * 60 for name in ("task", "protocol", "pooling")}
    found = [
        make_trained(**names, backbone="b" * 60, head="h" * 60, preset=f"{'p' * 60}{end}")
        for end in "ab"
    ]
    drawn = curves.wanted(found)
    files.write(tmp_path, drawn)
    folder = tmp_path / "figures"
    assert len(list(folder.iterdir())) == 2 * 2
    files.write(tmp_path, drawn[:1])
    kept = {files.path(tmp_path, drawn[0], dark) for dark in (False, True)}
    assert set(folder.iterdir()) == kept


def test_nothing_is_drawn_or_removed_behind_a_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    mine = elsewhere / "my__own__confusion.png"
    mine.write_bytes(b"mine")
    (tmp_path / "figures").symlink_to(elsewhere)
    with pytest.raises(StorageError, match="figures is a link"):
        files.write(tmp_path, list(confusion.wanted([make_record()], {}).values()))
    assert list(elsewhere.iterdir()) == [mine]


def test_of_a_figure_on_disk_no_more_is_read_than_holds_its_mark(tmp_path: Path) -> None:
    wanted = list(confusion.wanted([make_record()], {}).values())
    path, dark = (files.path(tmp_path, wanted[0], way) for way in (False, True))
    path.parent.mkdir()
    os.mkfifo(path)
    assert files.outdated(tmp_path, wanted) == [path, dark]
    files.write(tmp_path, wanted)
    assert files.outdated(tmp_path, wanted) == []
    path.write_bytes(b"")
    os.truncate(path, 20 << 30)
    assert files.outdated(tmp_path, wanted) == [path]


def test_a_page_takes_the_place_of_a_page_alone(voxgrid: Voxgrid, tmp_path: Path) -> None:
    with_predictions(tmp_path / "results", make_record())
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "grid.toml").write_text(f'leaderboard = "{victim}"\n')
    done = voxgrid("leaderboard")
    assert done.returncode == 2
    assert "victim is not a page of voxgrid's" in " ".join(done.stderr.split())
    assert victim.read_text() == "mine"
    assert not (tmp_path / "results" / "figures").exists()
    for before in ("", "# Leaderboard\r\n\r\nan older one"):
        victim.write_text(before)
        assert voxgrid("leaderboard").returncode == 0
        assert victim.read_text().startswith("# Leaderboard\n\nGenerated by")


@pytest.mark.parametrize("no_file", ["pipe", "folder", "device", "huge"], indirect=True)
def test_what_is_no_file_is_no_page(tmp_path: Path, no_file: Put) -> None:
    store(tmp_path / "results", make_record())
    page = Leaderboard.of(tmp_path / "results", tmp_path / "leaderboard.md")
    no_file(page.path)
    assert f"{page.path} " in str(page.difference())
    with pytest.raises(UserError, match="is not a page"):
        page.write()


def test_a_stored_page_of_any_size_or_order_is_compared_in_time(tmp_path: Path) -> None:
    store(tmp_path / "results", make_record())
    page = Leaderboard.of(tmp_path / "results", tmp_path / "leaderboard.md")
    page.write()
    page.path.write_text("\n".join(str(number % 90) for number in range(1_000_000)))
    assert "differs from the records" in str(page.difference())
    page.path.write_text(page.texts()[page.path] + "\n" * 2000)
    assert "differs from the records" in str(page.difference())
    os.truncate(page.path, 20 << 30)
    assert "is larger than 16 MiB, the most that a page may have" in str(page.difference())


@pytest.mark.parametrize(("folds", "epochs", "drawn"), [(40, 500, 1), (41, 2, 0)])
def test_curves_are_drawn_of_as_many_folds_as_a_legend_has_room_for(
    tmp_path: Path, folds: int, epochs: int, drawn: int
) -> None:
    fold = make_trained().folds[0].model_dump() | {"curve": curve(*[0.5] * epochs)}
    record = Record.model_validate(make_trained().model_dump() | {"folds": [fold] * folds})
    wanted = curves.wanted([record])
    assert len(wanted) == drawn
    files.write(tmp_path, wanted)
