"""`leaderboard.md` and the pages beside the records, which are made from these alone."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backbones import reading
from bench.errors import UserError
from bench.records import benchmarks, proof, store
from bench.records.schema import Record
from bench.records.store import Folder
from bench.report import contents, listing, markdown
from bench.report.beside import Beside
from bench.report.figures import files
from bench.report.page import Block, Figure, figures
from bench.report.placing import Place
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
        path: where the leaderboard lies; links of a page are relative to its folder.
        found: what the folder holds.
        pages: what each file shows, the leaderboard first.
        rows: all finished rows, as CSV.
    """

    results: Path
    path: Path
    found: Folder
    pages: Mapping[Path, Sequence[Block]]
    rows: str

    @classmethod
    def of(cls, results: Path, path: Path) -> Leaderboard:
        """Make the page from the records; the same records always give the same page.

        Raises:
            UserError: a record is of a newer schema, or a file of `tox -e perf` is something else.
        """
        found = store.Folder.read(results)
        beside = Beside.of(results, found.records)
        speeds = benchmarks.read(results)
        pages = contents.pages(results, path, found, beside, speeds)
        return cls(results, path, found, pages, _listed(found.records, beside.places))

    def texts(self) -> dict[Path, str]:
        """What each file holds: pages as Markdown, the leaderboard first, then the CSV."""
        texts = {}
        for path, page in self.pages.items():

            def link(figure: Figure, page: Path = path) -> str:
                return contents.link(files.path(self.results, figure), page)

            texts[path] = markdown.render(page, link)
        if self.rows:
            texts[self.results / listing.NAME] = self.rows
        return texts

    def write(self) -> None:
        """Write pages and figures where they differ from the records.

        Raises:
            StorageError: they cannot be written.
            UserError: what lies where a page goes is no page.
        """
        for path in self.pages:
            refuse_to_replace_others(path)
        files.write(self.results, self._figures())
        for path, text in self.texts().items():
            store.write_atomically(path, text.encode())

    def _figures(self) -> list[Figure]:
        return [figure for page in self.pages.values() for figure in figures(page)]

    def unfounded(self) -> list[str]:
        """Sentences on what the page needs and has not: records that can be read, predictions."""
        flaws = {r.cell: proof.flaw(self.results, r) for r in finished(self.found.records)}
        broken = [f"{cell}: {flaw}" for cell, flaw in flaws.items() if flaw]
        return [*map(str, self.found.unreadable), *broken]

    def difference(self) -> str | None:
        """How the files disagree with the records, the first line in a sentence; None if not."""
        for path, text in self.texts().items():
            if found := _differs(path, text, self.results):
                return found
        if outdated := files.outdated(self.results, self._figures()):
            names = ", ".join(map(str, outdated))
            return f"figures are missing or made from other records: {names}"
        return None


def _listed(found: Sequence[Record], placed: Mapping[str, Place]) -> str:
    return "".join(listing.lines([values for _, values in listing.rows(found, placed)]))


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
    try:
        with reading.opened(page) as file:
            found = file.read(len(_BEGINNING))
    except FileNotFoundError:
        return
    except OSError:
        found = None
    if found not in (b"", _BEGINNING):
        raise UserError(
            f"{page} is not a page of voxgrid's, and is not replaced by one: move it, or name "
            "another file with --leaderboard"
        )
