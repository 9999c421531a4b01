"""`voxgrid run`: carry a plan out, write the leaderboard, and say what was best."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import typer

from bench.commands.options import ConfigOption, JsonOption, with_settings
from bench.commands.shell import echo, interruptible, reporter
from bench.config.spec import RunSpec, load


@interruptible
@with_settings
def run(spec: RunSpec, *, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Run every cell of the grid that is not done, then write leaderboard.md."""
    from bench.commands import documents
    from bench.commands.summary import show
    from bench.files import exclusive
    from bench.planning.make import make_plan
    from bench.planning.plan import Skipped, SkippedBackbone
    from bench.report.leaderboard import Leaderboard, refuse_to_replace_others
    from bench.run.execute import execute
    from bench.run.place import executor

    progress = reporter()
    refuse_to_replace_others(spec.leaderboard)
    with exclusive(spec.results, share=spec.share), executor(spec, progress.say) as place:
        plan = make_plan(spec, progress, download=spec.download)
        for note in plan.notes:
            progress.say(f"note: {note}")
        for row in plan.rows():
            if isinstance(row.backbone, SkippedBackbone):
                progress.say(f"skipped: {row.backbone.reason}")
        summary = execute(plan, progress, place)
        made = Leaderboard.of(spec.results, spec.leaderboard)
        if spec.share is None:  # others would write the page at the same time
            made.write()
        cells = {c.cell for row in plan.rows() for c in row.cells if not isinstance(c, Skipped)}
    progress.say(str(summary))
    if summary.unmet:
        progress.say(summary.unmet)
    more = list(_next(spec, config))
    if spec.share is not None:
        progress.say(f"share {spec.shard} has ended; after the last of them: `voxgrid leaderboard`")
    if as_json:
        counts = {state: count for state, count in asdict(summary).items() if state != "unmet"}
        document = documents.text(
            "run",
            notes=plan.notes,
            cells=counts,
            unmet=summary.unmet,
            leaderboard=str(made.path),
            next=more,
            rows=documents.rows(r for r in made.found.records if r.cell in cells),
        )
        echo(document)
    else:
        show(made, cells, more[-1])
    if summary.failed or summary.unmet:
        raise typer.Exit(1)


def _next(spec: RunSpec, config: Path | None) -> Iterator[str]:
    """Commands that make sense after a run: does the page agree, and what is left?"""
    given = ["--config", str(config)] if config else []
    own = [word for data in spec.data.values() for word in data.arguments]
    known = load(config)  # what grid.toml says, these commands know themselves
    if spec.results != known.results:
        known = load(config, {"results": spec.results})
        given += ["--results", str(spec.results)]
    page = ["--leaderboard", str(spec.leaderboard)] if spec.leaderboard != known.leaderboard else []
    yield shlex.join(["voxgrid", "leaderboard", "--check", *given, *page])
    yield shlex.join(["voxgrid", "plan", *own, *given])
