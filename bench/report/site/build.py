"""The page to explore, as one HTML file.

Its table is DataTables', its figures are Vega-Lite's, and both are within the file, so that it
opens from a disk and asks nothing of any server.
"""

from __future__ import annotations

import functools
import gzip
import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from bench.files import unlinked
from bench.printable import printable
from bench.records.store import write_atomically
from bench.report import listing
from bench.report.answer import TITLE
from bench.report.board import Board
from bench.report.leaderboard import Leaderboard
from bench.report.page import Block, Heading
from bench.report.site import blocks, data
from bench.report.values import DASH, millions, percent

FOLDER = "site"
_HERE = resources.files("bench.report.site")
_EMBED = "window.vegaEmbed = vegaEmbed;"
_FILTERS = ("task", "protocol", "backbone", "pooling", "head", "weights")


@dataclass(frozen=True)
class Cell:
    """A cell of the table.

    Attributes:
        text: what it shows.
        order: what it sorts by, None where its text will do.
        number: whether it is one.
        lowest_first: whether numbers of its column are sorted so first.
    """

    text: str
    order: float | None = None
    number: bool = False
    lowest_first: bool = False


def write(made: Leaderboard) -> list[Path]:
    """Write the page of each board that has rows, and say where.

    Raises:
        StorageError: one cannot be written, or its folder is a link.
    """
    paths = []
    for board in made.boards:
        if any(record.status == "ok" for record in board.records):
            folder = unlinked(board.folder / FOLDER, made.results)
            paths.append(folder / "index.html")
            write_atomically(paths[-1], _page(made, board).encode())
    return paths


def _page(made: Leaderboard, board: Board) -> str:
    page = made.pages[board.page]
    first = next(
        (
            place
            for place, block in enumerate(page)
            if isinstance(block, Heading) and block.level == 2 and block.text != TITLE
        ),
        len(page),
    )
    listed = listing.rows(board.records, board.beside.places)
    document = data.document(made.results, listed, board.beside)
    return render(page[:first], [*page[first:], *_further(made, board)], document)


def _further(made: Leaderboard, board: Board) -> list[Block]:
    """What the board's other pages show, their headings a level lower."""
    return [
        Heading(block.level + 1, block.text) if isinstance(block, Heading) else block
        for path, page in made.pages.items()
        if path.parent == board.folder and path not in (b.page for b in made.boards)
        for block in page
    ]


def render(opening: Sequence[Block], rest: Sequence[Block], document: Mapping[str, Any]) -> str:
    """The page.

    Args:
        opening: what stands above the table of all rows.
        rest: what stands below it.
        document: what `data.document` gives.
    """
    from jinja2 import Environment
    from markupsafe import Markup

    rows = [_cells(row) for row in document["rows"]]
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(_text("page.html.j2"))
    return page.render(
        title="voxgrid: leaderboard",
        opening=Markup(blocks.html(opening)),
        rest=Markup(blocks.html(rest)),
        style=Markup(_text("style.css")),
        filters=_FILTERS,
        columns=_cells(_NOTHING),
        rows=[list(row.values()) for row in rows],
        data=_packed(document),
        scripts=[Markup(_script(each)) for each in _scripts()],
    )


# Beyond any rank and any number of minutes.
_LAST = 1e12
_NOTHING: Mapping[str, Any] = {"values": {}, "shown": {}}


def _cells(row: Mapping[str, Any]) -> dict[str, Cell]:
    """A row of the table by the titles of its columns."""
    values, shown = row["values"], row["shown"]

    def number(text: str, order: Any, lowest_first: bool = False) -> Cell:
        if order is None:  # last, as it is sorted first
            order = _LAST if lowest_first else -1
        return Cell(text, order, number=True, lowest_first=lowest_first)

    def score(name: str) -> Cell:
        return number(shown.get(name, ""), values.get(name))

    speed = values.get("end_to_end_rtfx") if shown.get("minutes") != DASH else None
    rank, control = shown.get("rank", ""), values.get("control")
    place = rank.partition("–")[0]
    return {
        "rank": number(rank, int(place) if place else None, lowest_first=True),
        **{name: Cell(printable(str(values.get(name, "")))) for name in _FILTERS[:-1]},
        "macro-F1 %": score("macro_f1"),
        "accuracy %": score("accuracy"),
        "UAR %": score("uar"),
        "validation macro-F1 %": number(
            percent(values.get("validation_macro_f1")), values.get("validation_macro_f1")
        ),
        "layer": Cell(values.get("layer", "")),
        "minutes per hour": number(
            shown.get("minutes", ""), 60 / speed if speed else None, lowest_first=True
        ),
        "params M": number(millions(values.get("parameters")), values.get("parameters")),
        "trials": number(str(values.get("trials_per_fold", "")), values.get("trials_per_fold")),
        "weights": Cell(str(control or values.get("weights", ""))),
        "hardware": Cell(printable(values.get("hardware") or DASH)),
        "remarks": Cell(shown.get("remarks") or DASH),
    }


def _packed(document: Mapping[str, Any]) -> str:
    """JSON, packed: as text it would be half of the page."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    sound = text.encode("utf-8", "backslashreplace")
    return b64encode(gzip.compress(sound, mtime=0)).decode()


@functools.cache  # the same on every page, and bundling takes seconds
def _scripts() -> tuple[str, ...]:
    from vl_convert import javascript_bundle

    return _text("vendor/dataTables.min.js"), javascript_bundle(_EMBED), _text("app.js")


def _script(text: str) -> str:
    """A script that ends where its element ends."""
    return re.sub(r"</(script)", r"<\\/\1", text, flags=re.IGNORECASE)


def _text(name: str) -> str:
    return _HERE.joinpath(name).read_text(encoding="utf-8")
