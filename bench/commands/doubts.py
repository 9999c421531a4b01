"""`voxgrid doubts`: clips of a task that no row gets right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands import boards
from bench.commands.options import ConfigOption


def doubts(
    task: Annotated[str, typer.Argument(help="The task, such as ravdess.")],
    protocol: Annotated[
        str | None, typer.Option(help="Whose rows are asked; by default the first without a leak.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Folder of the records.")] = None,
    config: ConfigOption = None,
) -> None:
    """Name the clips of a task that no row gets right, so that you can listen to them.

    Those come first that most rows call the same, and of these those that they are surest of. A
    clip may be hard; its label may be wrong.
    """
    from bench.commands.tables import say, show
    from bench.errors import UserError, nearest
    from bench.report.doubts import asked
    from bench.report.doubts import doubts as doubted
    from bench.report.select import by_protocol, finished
    from bench.report.values import plural
    from bench.terminal import Terminal

    made = boards.of(results, None, config)
    beside = made.boards.real.beside
    own = finished(r for r in made.boards.real.records if r.task == task and r.preset is None)
    if not own:
        known = {record.task for record in made.boards.real.records}
        raise UserError(f"no row of task '{task}' is in {made.results}; {nearest(task, known)}")
    protocols = list(by_protocol(own))
    if protocol is not None and protocol not in protocols:
        raise UserError(
            f"no row of '{task}' is of protocol '{protocol}'; {nearest(protocol, protocols)}"
        )
    rows = beside.said((task, protocol or protocols[0]))
    found, console = doubted(rows), Terminal()
    if asked(rows) < 2:
        raise UserError(
            f"doubts need two rows of {task}, {protocol or protocols[0]} whose predictions can be "
            f"read, and there are {asked(rows)}: `voxgrid run --task {task}` makes more"
        )
    say(
        console,
        f"{task}, {protocol or protocols[0]}: {plural(len(found), 'clip')} that none of "
        f"{asked(rows)} rows gets right.",
    )
    if found:
        show(
            console,
            "clip|labelled|most rows say|how many>|mean probability>",
            [[d.clip, d.label, d.said, str(d.rows), f"{d.confidence:.2f}"] for d in found],
        )
