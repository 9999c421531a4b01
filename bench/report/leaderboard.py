"""The leaderboards and the pages beside the records, which are made from these alone."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backbones import reading
from bench.errors import UserError
from bench.files import unlinked
from bench.records import benchmarks, proof, store
from bench.records.store import Folder
from bench.report import contents, leftovers, listing, markdown
from bench.report.board import Boards
from bench.report.figures import files
from bench.report.page import Block, Figure, figures
from bench.report.select import finished

_SHOWN_DIFFERENCES = 40
# Lines; to compare them takes their square.
_MOST_COMPARED = 1000
_BEGINNING = b"# Leaderboard"


@dataclass(frozen=True)
class Leaderboard:
    """The pages of a results folder, made once.

    Attributes:
        results: folder of the records.
        path: where the leaderboard of real tasks lies.
        found: what the folder holds.
        boards: that leaderboard, and the one of generated clips.
        pages: what each file shows, the leaderboard of real tasks first.
    """

    results: Path
    path: Path
    found: Folder
    boards: Boards
    pages: Mapping[Path, Sequence[Block]]

    @classmethod
    def of(cls, results: Path, path: Path) -> Leaderboard:
        """Make the pages from the records; the same records always give the same page.

        Raises:
            UserError: a record is of a newer schema, or a file of `tox -e perf` is something else.
        """
        found = store.Folder.read(results)
        boards = Boards.of(results, path, found)
        pages = contents.pages(boards, found, benchmarks.read(results))
        return cls(results, path, found, boards, pages)

    def texts(self) -> dict[Path, str]:
        """What each file holds: pages as Markdown, the leaderboard first, then CSV."""
        texts = {}
        for path, page in self.pages.items():

            def link(figure: Figure, dark: bool, page: Path = path) -> str:
                return contents.link(files.path(self.results, figure, dark), page)

            texts[path] = markdown.render(page, link)
        for board in self.boards:
            listed = listing.rows(board.records, board.beside.places)
            if listed:
                lines = listing.lines([values for _, values in listed])
                texts[board.folder / listing.NAME] = "".join(lines)
        return texts

    def write(self) -> None:
        """Write pages and figures where they differ from the records, and remove what has none.

        Raises:
            StorageError: they cannot be written or removed, or their folder is a link.
            UserError: what lies where a page goes is no page.
        """
        for path in self.pages:
            refuse_to_replace_others(path)
        if self.boards.sample.records:
            unlinked(self.boards.sample.folder, self.results)
        files.write(self.results, self._figures())
        texts = self.texts()
        for path, text in texts.items():
            store.write_atomically(path, text.encode())
        leftovers.remove(self._leftovers(texts), self.results)

    def _leftovers(self, texts: Mapping[Path, str]) -> list[Path]:
        """Files that would be among these, but that they belong to no record any more."""
        real, sample = self.boards.real, self.boards.sample
        further = (contents.TRAINED, contents.PUBLISHED, contents.PREDICTIONS)
        pages = [*(real.folder / name for name in further), sample.page]
        rows = [board.folder / listing.NAME for board in self.boards]
        known = dict.fromkeys(pages, f"# {contents.TITLE}") | dict.fromkeys(rows, listing.BEGINNING)
        own = {path: text.encode() for path, text in known.items()}
        return leftovers.leftovers(self.results, own, list(texts))

    def _figures(self) -> list[Figure]:
        return [figure for page in self.pages.values() for figure in figures(page)]

    def unfounded(self) -> list[str]:
        """Sentences on what the page needs and has not: records that can be read, predictions."""
        flaws = {r.cell: proof.flaw(self.results, r) for r in finished(self.found.records)}
        broken = [f"{cell}: {flaw}" for cell, flaw in flaws.items() if flaw]
        return [*map(str, self.found.unreadable), *broken]

    def difference(self) -> str | None:
        """How the files disagree with the records, the first line in a sentence; None if not."""
        texts = self.texts()
        for path, text in texts.items():
            if found := _differs(path, text, self.results):
                return found
        if left := self._leftovers(texts):
            return f"files belong to no record any more: {', '.join(map(str, left))}"
        if outdated := files.outdated(self.results, self._figures()):
            names = ", ".join(map(str, outdated))
            return f"figures are missing or made from other records: {names}"
        return None


def _differs(path: Path, text: str, results: Path) -> str | None:
    """How a file is another than the records make it; None where it is not."""
    try:
        stored = reading.read_bytes(path, reading.PAGE).decode(errors="replace")
    except FileNotFoundError:
        return f"{path} does not exist"
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    old, new = stored.splitlines(), text.splitlines()
    if old == new:
        return None
    old, new = old[:_MOST_COMPARED], new[:_MOST_COMPARED]
    lines = list(difflib.unified_diff(old, new, str(path), "records", n=0, lineterm=""))
    lines = lines or [f"… below line {_MOST_COMPARED}"]
    more = len(lines) - _SHOWN_DIFFERENCES
    shown = lines[:_SHOWN_DIFFERENCES] + ([f"… {more} more lines"] if more > 0 else [])
    return "\n".join([f"{path} differs from the records in {results}", "", *shown])


def refuse_to_replace_others(page: Path) -> None:
    """A settings file of others may name any file of one's own as the page: a `UserError`."""
    if leftovers.beginning(page, len(_BEGINNING)) not in (b"", _BEGINNING):
        raise UserError(
            f"{page} is not a page of voxgrid's, and is not replaced by one: move it, or name "
            "another file with --leaderboard"
        )
