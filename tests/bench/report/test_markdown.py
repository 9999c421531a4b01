"""Pages as Markdown: whatever records hold, a cell stays a cell and a line stays a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bench.printable import printable
from bench.report import markdown
from bench.report.figures import confusion
from bench.report.page import Bullets, Figure, Heading, Image, Link, Table, Text
from tests.bench.records.make_records import make_record


def link(figure: Figure, dark: bool) -> str:
    return f"figures/{figure.name}{'-dark' if dark else ''}.png"


CELLS = st.text(st.sampled_from("ab|\\`*_<>&[]() \n\t\r\x0b\u2028~-#:") | st.characters())


@st.composite
def tables(draw: st.DrawFn) -> Table:
    width = draw(st.integers(1, 4))
    titles = st.lists(CELLS, min_size=width, max_size=width)
    cells = CELLS | st.builds(Link, CELLS, CELLS, CELLS)
    row = st.lists(cells, min_size=width, max_size=width)
    folded = draw(st.none() | CELLS)
    return Table(draw(titles), draw(st.lists(row, max_size=4)), folded)


def _gfm_cells(line: str) -> int:
    """Cells of a line for GitHub's parser, which takes a backslash with what it escapes."""
    escaped, bars = False, 0
    for character in line:
        bars += character == "|" and not escaped
        escaped = character == "\\" and not escaped
    return bars - 1


@given(tables())
def test_no_cell_breaks_a_table(block: Table) -> None:
    lines = markdown.table(Table(block.columns, block.rows)).splitlines()
    assert len(lines) == 2 + len(block.rows)
    assert {_gfm_cells(line) for line in lines} == {len(block.columns)}


@given(tables())
def test_another_parser_finds_one_table_with_every_row_and_no_html_in_it(block: Table) -> None:
    parsed = (
        MarkdownIt("commonmark")
        .enable("table")
        .parse(markdown.render([Table(block.columns, block.rows)], link))
    )
    kinds = [token.type for token in parsed if token.level == 0]
    assert kinds == ["table_open", "table_close"]
    assert sum(token.type == "tr_open" for token in parsed) == 1 + len(block.rows)
    cells = len(block.columns) * len(block.rows)
    assert sum(token.type == "td_open" for token in parsed) == cells
    inline = [child.type for token in parsed for child in token.children or ()]
    assert "html_inline" not in inline


@given(st.lists(CELLS, min_size=1, max_size=3))
def test_texts_of_records_stay_on_their_line(texts: Sequence[str]) -> None:
    escaped = [markdown.escape(text) for text in texts]
    assert len(markdown.render([Bullets(escaped)], link).splitlines()) == len(texts)
    assert "<" not in "".join(escaped).replace("&lt;", "")


def test_every_kind_of_block_has_its_markdown() -> None:
    (figure,) = confusion.wanted([make_record()], {}).values()
    page = [
        Heading(2, "a <title>"),
        Text("some **bold** text"),
        Bullets(["one", "two"]),
        Table(["name", "value>"], [["a", "1"]], folded="All"),
        Table(["page"], [[Link("the [a|b]", "more pages/a#b.md", "A b-c, d")]]),
        Image(figure),
    ]
    assert markdown.render(page, link) == (
        "## a &lt;title>\n\n"
        "some **bold** text\n\n"
        "- one\n- two\n\n"
        "<details>\n<summary>All</summary>\n\n"
        "| name | value |\n|---|---:|\n| a | 1 |\n\n</details>\n\n"
        "| page |\n|---|\n| [the \\[a\\|b\\]](more%20pages/a%23b.md#a-b-c-d) |\n\n"
        "<picture>\n"
        '<source media="(prefers-color-scheme: dark)"'
        ' srcset="figures/ravdess__speaker-6fold__confusion-dark.png">'
        '<img alt="ravdess, speaker-6fold: xlsr, mean, mlp: macro-F1 60.0 %"'
        ' src="figures/ravdess__speaker-6fold__confusion.png"></picture>\n'
    )


class Tags(HTMLParser):
    """What a browser would read: start tags with their attributes, and all else."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.others: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)

    def handle_data(self, data: str) -> None:
        self.others += data.split()

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


HTML = [
    '"',
    "'",
    "<",
    ">",
    "&",
    "&quot;",
    "-->",
    "<!--",
    "\n\n",
    " onerror=",
    "</picture>",
    "# ",
    "=",
]
TITLES = st.lists(st.sampled_from(HTML) | CELLS, max_size=8).map("".join)


@given(TITLES, st.text(st.sampled_from("ab /,&\"'<>()[]\n é")))
def test_no_title_or_folder_of_a_figure_breaks_out_of_its_attribute(
    title: str, folder: str
) -> None:
    (plain,) = confusion.wanted([make_record()], {}).values()
    image = Image(replace(plain, title=title))
    text = markdown.render(
        [Text("before"), image, Text("after")], lambda own, dark: f"{folder}{link(own, dark)}"
    )
    parsed = MarkdownIt("commonmark").parse(text)
    assert [token.type for token in parsed if token.level == 0] == [
        *("paragraph_open", "paragraph_close", "html_block"),
        *("paragraph_open", "paragraph_close"),
    ]
    found = Tags()
    found.feed(next(token.content for token in parsed if token.type == "html_block"))
    found.close()
    assert found.others == []
    (picture, source, img) = found.tags
    assert picture == ("picture", {})
    assert (source[0], sorted(source[1])) == ("source", ["media", "srcset"])
    assert (img[0], sorted(img[1])) == ("img", ["alt", "src"])
    # what is shown instead is the title itself, on one line
    assert img[1]["alt"] == printable(" ".join(title.split()))
    address = str(source[1]["srcset"])
    assert not set(address) & set(", \n")  # which end an address of a set
    assert unquote(address) == f"{folder}{link(plain, True)}"
    assert unquote(str(img[1]["src"])) == f"{folder}{link(plain, False)}"
