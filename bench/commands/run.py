"""`voxgrid run`: carry a plan out, write the leaderboard, and say what was best."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bench.commands.options import JsonOption, with_settings
from bench.commands.shell import interruptible, reporter
from bench.config.spec import RunSpec

if TYPE_CHECKING:
    from bench.commands.documents import Ranking

_BEST = 3


@interruptible
@with_settings
def run(spec: RunSpec, *, config: Path | None, as_json: JsonOption = False) -> None:
    """Run every cell of the grid that is not done, then write leaderboard.md."""
    from bench.commands.documents import RunDocument, rankings
    from bench.files import exclusive
    from bench.planning.make import make_plan
    from bench.planning.plan import Skipped, SkippedBackbone
    from bench.records import store as records
    from bench.report.leaderboard import Leaderboard
    from bench.run.execute import execute

    progress = reporter()
    with exclusive(spec.results):
        plan = make_plan(spec, progress, download=spec.download)
        for note in plan.notes:
            progress.say(f"note: {note}")
        for row in plan.rows():
            if isinstance(row.backbone, SkippedBackbone):
                progress.say(f"skipped: {row.backbone.reason}")
        summary = execute(plan, progress)
        made = Leaderboard.of(spec.results, spec.leaderboard)
        made.write()
        cells = {c.cell for row in plan.rows() for c in row.cells if not isinstance(c, Skipped)}
        own = rankings(r for r in records.read_all(spec.results) if r.cell in cells)
    progress.say(f"{summary}; see {made.path}")
    if summary.unmet:
        progress.say(summary.unmet)
    more = list(_next(spec, config))
    if as_json:
        document = RunDocument(
            notes=list(plan.notes),
            cells={state: count for state, count in asdict(summary).items() if state != "unmet"},
            unmet=summary.unmet,
            rankings=own,
            leaderboard=str(made.path),
            next=[command for command, _ in more],
        )
        typer.echo(str(document))
    else:
        _show(own, more)
    if summary.failed or summary.unmet:
        raise typer.Exit(1)


def _next(spec: RunSpec, config: Path | None) -> Iterator[tuple[str, str]]:
    """Commands that make sense after a run, and what each is for."""
    given = ["--config", str(config)] if config else []
    # what `--results` makes of the page's place; of grid.toml these commands know themselves
    if spec.leaderboard == spec.results / spec.leaderboard.name:
        given += ["--results", str(spec.results)]
    yield (
        shlex.join(["voxgrid", "leaderboard", "--check", *given]),
        "does the page agree with the records?",
    )
    yield shlex.join(["voxgrid", "plan", *given]), "what of the grid is done, and what is left?"


def _show(found: list[Ranking], more: list[tuple[str, str]]) -> None:
    """The few best rows of each task and protocol, and the commands that come next."""
    from rich.console import Console

    from bench.commands.tables import say, say_whole, show
    from bench.report.values import percent

    console = Console()
    for ranking in found:
        named = [ranking.task, ranking.protocol, *({ranking.kind} - {"tuned"})]
        warned = ["generated clips"] * ranking.sample + ["leaks groups"] * ranking.leaks
        about = f" ({', '.join(warned)})" if warned else ""
        say(console, f"Best of {len(ranking.rows)}, {', '.join(named)}{about}:")
        rows = [
            [
                row.backbone if row.preset is None else f"{row.preset}: {row.backbone}",
                row.pooling,
                row.head,
                *(percent(score) for score in (row.macro_f1, row.accuracy, row.uar)),
            ]
            for row in ranking.rows[:_BEST]
        ]
        show(console, "backbone|pooling|head|macro-F1 %>|accuracy %>|UAR %>", rows)
    if found:
        say(console, "The best of many by test score is a little lucky. Next:")
    else:
        say(console, "No cell of this run has a result. Next:")
    for command, words in more:
        say_whole(console, f"  {command}  # {words}")
