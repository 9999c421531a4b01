"""`voxgrid predict`: what a winner says of files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.commands.shell import echo, interruptible, reporter

if TYPE_CHECKING:
    from bench.winner.model import Predicted

# Of a window, in seconds.
_SHORTEST = 0.5


@interruptible
def predict(
    model: Annotated[Path, typer.Argument(help="The folder of a winner.")],
    files: Annotated[
        list[str],
        typer.Argument(help="Audio files, folders, lists of files (.txt), or - for a list."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write there, and go on where it ends.")
    ] = None,
    form: Annotated[
        Literal["csv", "jsonl"], typer.Option("--format", help="A table, or JSON lines.")
    ] = "csv",
    top: Annotated[
        int | None, typer.Option(min=1, help="Only so many of the likeliest labels.")
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(help="Cut long files into windows of so many seconds, as in 5s; a row each."),
    ] = None,
) -> None:
    """Say which label each file is, with the probability of every label.

    A file that cannot be used is a row with a reason; one that the winner was fitted on says so.
    """
    from bench.winner import Model, output

    window = None if every is None else _seconds(every)
    loaded = Model.load(model)
    wanted = [*dict.fromkeys(path for each in files for path in files_of(each))]
    progress = reporter()
    shape = output.Form(loaded.config.labels, form, top, window is not None)

    def said(left: Sequence[str]) -> Iterator[Predicted]:
        with progress.phase("predict (files)", len(wanted)) as phase:
            before = len(wanted) - len(left)
            yield from loaded.each(
                left,
                every=window,
                on_progress=lambda done: phase.at(before + done, len(wanted)),
            )

    if out is not None:
        output.append(out, wanted, shape, said)
        echo(f"wrote {out}")
        return
    sys.stdout.write(output.header(shape))
    for row in said(wanted):
        sys.stdout.write(output.line(row, shape))


def _seconds(text: str) -> float:
    """Seconds of a window.

    Raises:
        UserError: it is no number of them, or less than half a second.
    """
    from bench.errors import UserError

    try:
        found = float(text.strip().removesuffix("s"))
    except ValueError:
        found = 0.0
    if not _SHORTEST <= found < float("inf"):
        raise UserError(
            f"--every '{text}' is no length of a window: name {_SHORTEST} seconds or more, as in 5s"
        )
    return found


def files_of(named: str) -> Iterator[str]:
    """Files that an argument stands for.

    Raises:
        UserError: there is nothing of that name, or a folder holds no audio.
    """
    from backbones.reading import TABLE, read_text
    from bench.errors import UserError
    from bench.tasks.own.folders import AUDIO, walked

    path = Path(named)
    if named == "-":
        yield from filter(None, map(str.strip, sys.stdin))
    elif path.is_dir():
        found = [str(each) for each in walked(path) if each.suffix.lower() in AUDIO]
        if not found:
            raise UserError(f"{path} holds no audio file ({', '.join(sorted(AUDIO))})")
        yield from found
    elif path.suffix.lower() == ".txt" and path.is_file():
        try:
            lines = read_text(path, TABLE).splitlines()
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is no list of files in UTF-8: {error}") from error
        yield from filter(None, map(str.strip, lines))
    elif path.exists() or len(path.suffix) > 1:
        yield named  # one that is not there is a row with a reason
    else:
        raise UserError(f"there is nothing at {path}; name a file, a folder, a list or -")
