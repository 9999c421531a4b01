"""`leaderboard.md`: made from the records alone, so that it can be checked against them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backbones import reading
from bench.clips import shortened
from bench.errors import UserError
from bench.records import benchmarks, proof, store
from bench.records.benchmarks import Benchmark
from bench.records.schema import Record
from bench.records.store import Folder
from bench.report import markdown
from bench.report.figures import confusion, curves, files
from bench.report.markdown import code, escape, opening
from bench.report.page import Block, Bullets, Heading, Image, Text, figures
from bench.report.select import by_protocol, finished, is_control, leaks, machines
from bench.report.tables import published, sections, training
from bench.report.tables.ranking import majority, rankings
from bench.report.values import plural

_SHOWN_DIFFERENCES = 40
# Lines; to compare them takes their square.
_MOST_COMPARED = 1000
_BEGINNING = b"# Leaderboard"

_HOW_TO_READ = (
    "**macro-F1** is the mean of the classes' F1, **UAR** the mean of their recalls. Every score "
    "is over all test clips of all folds together. Within a row, layer and head parameters were "
    "tuned on validation clips only. The order of the rows is by test score: the best of many rows "
    "is a little lucky, and its figure is no unbiased estimate.",
    "**layer** is the one tuning chose: median over the folds, their range, and what there is to "
    "choose from (0 = before the first block); `weighted` where a sum of those of one shape was "
    "learnt.",
    "**encoder RTFx** is seconds of audio per second inside the encoder. Speed is only compared "
    "within one machine.",
    "**params M** counts the encoder's parameters in millions, **trials per fold** the search for "
    "each row and fold, with those stopped early or failed over all folds in brackets.",
    "No intervals are given yet. Counting clips alone, chance moves a score by about 2.6 points "
    "either way on 1440 test clips, by 5.5 on 288 and by 15 on 44 (95 %, binomial, at 50 %); with "
    "a few dozen speakers it is more. Rows closer than that may be equally good.",
)
_REPEATED = (
    "Each fold is a random split of its own, so that a clip may be tested in several. Scores of "
    "these rows are means over the folds; **±** is their standard deviation over the folds, in "
    "points. The splits overlap, so that it says how far one split may be off, and is no interval "
    "of the mean."
)
_NOTHING = (
    "Nothing has been run on a real task yet. `voxgrid plan` shows what a run would do and take, "
    "`voxgrid run` does it and writes this page."
)
_SAMPLE = (
    "**Generated clips, small untrained models: these rows show that the harness runs and say "
    "nothing about any backbone.**"
)


@dataclass(frozen=True)
class Leaderboard:
    """The page of a results folder, made once.

    Attributes:
        results: folder of the records.
        path: where the page lies; links are relative to its folder.
        found: what the folder holds.
        page: what it shows.
    """

    results: Path
    path: Path
    found: Folder
    page: Sequence[Block]

    @classmethod
    def of(cls, results: Path, path: Path) -> Leaderboard:
        """Make the page from the records; the same records always give the same page.

        Raises:
            UserError: a record is of a newer schema, or a file of `tox -e perf` is something else.
        """
        found = store.Folder.read(results)
        speeds = benchmarks.read(results)
        return cls(results, path, found, list(_page(results, path, found, speeds)))

    @property
    def text(self) -> str:
        """As Markdown."""
        return markdown.render(
            self.page, lambda figure: _link(files.path(self.results, figure), self.path)
        )

    def write(self) -> None:
        """Write the page and its figures where they differ from the records.

        Raises:
            StorageError: they cannot be written.
            UserError: what lies where the page goes is no page.
        """
        refuse_to_replace_others(self.path)
        files.write(self.results, figures(self.page))
        store.write_atomically(self.path, self.text.encode())

    def unfounded(self) -> list[str]:
        """Sentences on what the page needs and has not: records that can be read, predictions."""
        flaws = {r.cell: proof.flaw(self.results, r) for r in finished(self.found.records)}
        broken = [f"{cell}: {flaw}" for cell, flaw in flaws.items() if flaw]
        return [*map(str, self.found.unreadable), *broken]

    def difference(self) -> str | None:
        """How the files disagree with the records, the first line in a sentence; None if not."""
        try:
            stored = reading.read_bytes(self.path, reading.PAGE).decode(errors="replace")
        except FileNotFoundError:
            return f"{self.path} does not exist"
        except OSError as error:
            return f"{self.path} cannot be read ({error.strerror})"
        old, new = stored.splitlines(), self.text.splitlines()
        if old != new:
            old, new = old[:_MOST_COMPARED], new[:_MOST_COMPARED]
            compared = difflib.unified_diff(old, new, str(self.path), "records", n=0, lineterm="")
            lines = list(compared) or [f"… below line {_MOST_COMPARED}"]
            more = len(lines) - _SHOWN_DIFFERENCES
            shown = lines[:_SHOWN_DIFFERENCES] + ([f"… {more} more lines"] if more > 0 else [])
            head = f"{self.path} differs from the records in {self.results}"
            return "\n".join([head, "", *shown])
        if outdated := files.outdated(self.results, figures(self.page)):
            names = ", ".join(map(str, outdated))
            return f"figures are missing or made from other records: {names}"
        return None


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


def _link(target: Path, page: Path) -> str:
    return Path(os.path.relpath(target.resolve(), page.parent.resolve())).as_posix()


def _file(path: Path, page: Path) -> str:
    """A file itself, where it is a link."""
    return code((Path(_link(path.parent, page)) / path.name).as_posix())


def _page(results: Path, page: Path, found: Folder, speeds: Sequence[Benchmark]) -> Iterator[Block]:
    real = [r for r in found.records if not r.sample]
    sample = [r for r in found.records if r.sample]
    yield Heading(1, "Leaderboard")
    yield Text(
        f"Generated by `voxgrid leaderboard` from the records in {code(_link(results, page))}; do "
        "not edit it by hand."
    )
    yield Bullets(_HOW_TO_READ)
    if found.unreadable:
        names = ", ".join(_file(each.path, page) for each in found.unreadable)
        yield Text(
            f"**Warning:** {plural(len(found.unreadable), 'record')} cannot be read and are left "
            f"out; `voxgrid run --replace` makes them again: {names}"
        )
    if found.copies:
        names = shortened([_file(path, page) for path in found.copies])
        yield Text(
            "**Note:** records that do not lie where their cell says are copies, and left out "
            f"({len(found.copies)}): {names}"
        )
    if not finished(real):
        yield Text(_NOTHING)
    yield from _tasks(real, 2)
    if any(r.preset for r in real):
        yield Heading(2, published.TITLE)
        yield from published.systems(real, 3)
    yield from _common(real, speeds, 2)
    if sample:
        yield Heading(2, "Sample tasks")
        yield Text(_SAMPLE)
        yield from _tasks(sample, 3)
        if any(r.preset for r in sample):
            yield Heading(3, f"{published.TITLE} on generated clips")
            yield from published.on_generated_clips(sample, 4)
        yield from _common(sample, speeds, 3)


def _tasks(found: Sequence[Record], level: int) -> Iterator[Block]:
    """Each task with what was tuned on it; published systems have their own section."""
    done = finished(r for r in found if r.preset is None)
    for task in sorted({r.task for r in done}):
        yield Heading(level, task)
        yield from _task([r for r in done if r.task == task], level + 1)


def _task(done: Sequence[Record], level: int) -> Iterator[Block]:
    """Rankings of one task, then what stands for each backbone, then the leak."""
    letters = machines(done)
    matrices = confusion.wanted(done)
    for protocol, own in by_protocol(done).items():
        yield Heading(level, _title(own))
        about = opening(own[0].folding.summary)
        yield Text(f"{about[:1].upper()}{about[1:]}.")
        if own[0].folding.repeats:
            yield Text(_REPEATED)
        for note in sorted({note for record in own for note in record.notes}):
            yield Text(f"**Note:** {escape(note)}.")
        yield from rankings(own, letters, level + 1)
        if protocol in matrices:
            few = len(matrices[protocol].labels) <= confusion.MOST
            yield Image(matrices[protocol]) if few else Text(confusion.TOO_MANY)
    if done[0].sample:
        return  # nothing to choose from and no leak to size between untrained networks
    for protocol, own in by_protocol(done).items():
        if not leaks(own) and not all(map(is_control, own)):
            yield Heading(level, f"Best per backbone, {protocol}")
            yield Text(
                "Pooling and head were chosen by mean validation macro-F1 over the folds. No test "
                "score entered, but each clip is validation in one fold and test in another, so "
                "that this choice is not blind to them."
            )
            yield sections.best_per_backbone(own, letters)
            yield Text(majority(own))
    if leak := sections.leak([r for r in done if not is_control(r)]):
        word = escape(f"{done[0].group}s")
        yield Heading(level, "The size of the leak")
        yield Text(
            f"The same backbones with {word} kept apart and with {word} on both sides; pooling "
            "and head chosen by validation within each protocol."
        )
        yield from leak
    yield from _trained([r for r in done if r.training is not None], level)


def _trained(found: Sequence[Record], level: int) -> Iterator[Block]:
    """How heads went that were trained epoch by epoch."""
    if found:
        yield Heading(level, "Trained epoch by epoch")
        yield Text(training.ABOUT)
    for own in by_protocol(found).values():
        yield Heading(level + 1, _title(own))
        yield from training.trained(own)
        yield Text(majority(own))
        yield from map(Image, curves.wanted(own))


def _title(own: Sequence[Record]) -> str:
    """Heading of a protocol; one that leaks says what."""
    if not leaks(own):
        return own[0].protocol
    what = f"leaks {own[0].group}s; for comparison with published numbers only"
    return f"{own[0].protocol} ({what})"


def _common(found: Sequence[Record], speeds: Sequence[Benchmark], level: int) -> Iterator[Block]:
    """What concerns all tasks of a kind."""
    tuned = [r for r in found if r.preset is None]
    titled = {
        "What each backbone costs": sections.cost(finished(tuned), speeds),
        "Skipped and failed": sections.gaps(tuned),
        "Left out clips": sections.left_out(found),
        "What it was measured on": sections.measured_on(found),
    }
    for title, blocks in titled.items():
        if blocks:
            yield Heading(level, title)
            yield from blocks
