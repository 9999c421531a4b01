"""`voxgrid data`: what is read of one's own data, before any model runs."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.commands.options import as_own_data, with_own_data
from bench.commands.shell import interruptible, reporter
from bench.errors import UserError

if TYPE_CHECKING:
    from bench.planning.plan import FoldedTask
    from bench.tasks.own.rows import Found
    from bench.terminal import Terminal

# Of a table of classes and groups, and of what is left out.
_MOST_CLASSES, _MOST_GROUPS, _MOST_LEFT_OUT = 12, 30, 5


@interruptible
@with_own_data
def data(
    given: dict[str, Any],
    path: Annotated[str, typer.Argument(help="A table, or a folder; see docs/own-data.md.")],
    write: Annotated[
        Path | None, typer.Option("--write", help="Write what was understood as a CSV file.")
    ] = None,
) -> None:
    """Show what is read of your own data: labels, speakers, what is wrong, and what would run."""
    from bench.commands.tables import say
    from bench.config.spec import RunSpec
    from bench.planning.folded import fold_task
    from bench.tasks import checks
    from bench.tasks.own import groups
    from bench.tasks.own.task import OwnTask, declare
    from bench.terminal import Terminal

    console = Terminal()
    name, own = as_own_data(path, given)
    found = OwnTask(name, own).found
    _read(console, found)
    if own.groups and not any(row.group for row in found.rows):
        say(console, f"speakers: not told; {groups.told(groups.guesses(found))}")
        say(console, "`voxgrid run` refuses that; with --no-groups it takes what follows.")
        own = own.model_copy(update={"groups": False})
    if write is not None:
        _write(write, found)
        say(console, f"written: {write}")
    declare({name: own})
    task = checks.resolve(name, allow_download=False)
    folded = fold_task(task, RunSpec(tasks=(name,), protocols=task.protocols), reporter())
    _folded(console, folded, groups_known=own.groups)


def _read(console: Terminal, found: Found) -> None:
    from bench.commands.tables import say
    from bench.report.values import plural

    say(console, f"{found.path}: {found.kind}, {plural(len(found.rows), 'row')}")
    told = ", ".join(f"{what} from {where}" for what, where in found.read.items())
    say(console, f"read: {told}")
    for note in found.notes:
        say(console, f"note: {note}")
    counts = Counter(row.label or "(no label)" for row in found.rows)
    shown = [f"{label} {count}" for label, count in counts.most_common(_MOST_CLASSES)]
    more = f" and {len(counts) - _MOST_CLASSES} more" if len(counts) > _MOST_CLASSES else ""
    say(console, f"labels: {', '.join(shown)}{more}")


def _folded(console: Terminal, folded: FoldedTask, *, groups_known: bool) -> None:
    from bench.commands.tables import say, show
    from bench.report.values import plural

    seconds = sorted(clip.seconds for clip in folded.clips)
    rates = Counter(clip.native_rate for clip in folded.clips)
    say(
        console,
        f"{plural(len(folded.clips), 'clip')} can be used: {folded.seconds / 60:.1f} minutes, "
        f"each {seconds[0]:.1f} to {seconds[-1]:.1f} s (median {seconds[len(seconds) // 2]:.1f}), "
        f"at {', '.join(f'{rate} Hz' for rate, _ in rates.most_common())}",
    )
    for clip in folded.left_out[:_MOST_LEFT_OUT]:
        say(console, f"left out: {clip.clip}: {clip.reason}")
    if (rest := len(folded.left_out) - _MOST_LEFT_OUT) > 0:
        say(console, f"left out: {rest} more")
    for note in folded.notes:
        say(console, f"note: {note}")
    if groups_known:
        _by_group(console, folded)
    else:
        say(
            console,
            "warning: nobody knows who speaks, so that the same speaker is fitted and tested on: "
            "these figures will be too good",
        )
    rows = [
        [name, str(len(split.folds)), "yes" if split.leaks([c.clip for c in folded.clips]) else "–"]
        for name, split in folded.splits.items()
    ]
    show(console, "protocol|folds>|same group on both sides", rows)
    for protocol, reason in folded.unfit.items():
        say(console, f"{protocol} does not fit: {reason}")
    first = next((name for name in folded.task.default if name in folded.splits), None)
    if first is not None:
        say(console, f"`voxgrid run` with the same arguments takes {first}.")


def _by_group(console: Terminal, folded: FoldedTask) -> None:
    """Clips of each class by group, where the table is small enough to read."""
    from bench.commands.tables import say, show

    counts = Counter((clip.clip.group, clip.clip.label) for clip in folded.clips)
    every = sorted({group for group, _ in counts})
    labels = folded.task.labels
    if len(every) > _MOST_GROUPS or len(labels) > _MOST_CLASSES:
        per = Counter(group for group, _ in counts.elements())
        fewest, most = min(per.values()), max(per.values())
        say(console, f"groups: {len(every)}, each of {fewest} to {most} clips")
        return
    rows = [[group, *(str(counts[group, label]) for label in labels)] for group in every]
    show(console, "|".join(["group", *(f"{label}>" for label in labels)]), rows)


def _write(path: Path, found: Found) -> None:
    """The rows as a table that can be edited and read again."""
    from bench.files import replacing, storing

    if path.exists():
        raise UserError(f"{path} is there and is not replaced; name another file")
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    part = [found.parts] if found.parts else []
    part += ["start", "end"] if "section" in found.read else []
    writer.writerow(["file", "label", "speaker", *part])
    writer.writerows(_values(found))
    with storing(path, "name another file with --write"), replacing(path) as partial:
        partial.write_text(buffer.getvalue(), encoding="utf-8")


def _values(found: Found) -> Iterator[list[str]]:
    from bench.tasks.own import times

    for row in found.rows:
        part = [row.part or ""] if found.parts else []
        part += times.told(row.section) if "section" in found.read else []
        yield [str(row.path.resolve()), row.label, row.group or "", *part]
