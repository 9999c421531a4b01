"""`voxgrid run`: carry a plan out, then write the leaderboard."""

from __future__ import annotations

import typer

from bench.commands.options import with_settings
from bench.commands.shell import interruptible, reporter
from bench.config.spec import RunSpec


@interruptible
@with_settings
def run(spec: RunSpec) -> None:
    """Run every cell of the grid that is not done, then write leaderboard.md."""
    from bench.files import exclusive
    from bench.planning.make import make_plan
    from bench.planning.plan import SkippedBackbone
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
    progress.say(f"{summary}; see {made.path}")
    if summary.unmet:
        progress.say(summary.unmet)
    if summary.failed or summary.unmet:
        raise typer.Exit(1)
