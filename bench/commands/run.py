"""`voxgrid run`: carry a plan out, write the leaderboard, and say what was best."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import typer

from bench.commands.options import ConfigOption, JsonOption, with_settings
from bench.commands.shell import echo, interruptible, reporter
from bench.config.spec import RunSpec, load

_BEST = 3


@interruptible
@with_settings
def run(spec: RunSpec, *, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Run every cell of the grid that is not done, then write leaderboard.md."""
    from bench.commands import documents
    from bench.files import exclusive
    from bench.planning.make import make_plan
    from bench.planning.plan import Skipped, SkippedBackbone
    from bench.records import store as records
    from bench.report.leaderboard import Leaderboard, refuse_to_replace_others
    from bench.run.execute import execute

    progress = reporter()
    refuse_to_replace_others(spec.leaderboard)
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
        own = documents.rows(r for r in records.read_all(spec.results) if r.cell in cells)
    progress.say(f"{summary}; see {made.path}")
    if summary.unmet:
        progress.say(summary.unmet)
    more = list(_next(spec, config))
    if as_json:
        counts = {state: count for state, count in asdict(summary).items() if state != "unmet"}
        document = documents.text(
            "run",
            notes=plan.notes,
            cells=counts,
            unmet=summary.unmet,
            leaderboard=str(made.path),
            next=[command for command, _ in more],
            rows=own,
        )
        echo(document)
    else:
        _show(own, more)
    if summary.failed or summary.unmet:
        raise typer.Exit(1)


def _next(spec: RunSpec, config: Path | None) -> Iterator[tuple[str, str]]:
    """Commands that make sense after a run, and what each is for."""
    given = ["--config", str(config)] if config else []
    known = load(config)  # what grid.toml says, these commands know themselves
    if spec.results != known.results:
        known = load(config, {"results": spec.results})
        given += ["--results", str(spec.results)]
    page = ["--leaderboard", str(spec.leaderboard)] if spec.leaderboard != known.leaderboard else []
    yield (
        shlex.join(["voxgrid", "leaderboard", "--check", *given, *page]),
        "does the page agree with the records?",
    )
    yield shlex.join(["voxgrid", "plan", *given]), "what of the grid is done, and what is left?"


def _show(found: Sequence[dict[str, Any]], more: Sequence[tuple[str, str]]) -> None:
    """The few best rows of each task and protocol, and the commands that come next."""
    from bench.commands.tables import say, show
    from bench.report.values import percent
    from bench.terminal import Terminal

    console = Terminal()
    for (task, kind, protocol), group in groupby(found, itemgetter("task", "kind", "protocol")):
        own = list(group)
        named = [task, protocol, *({kind} - {"tuned"})]
        warned = ["generated clips"] * own[0]["sample"] + ["leaks groups"] * own[0]["leaks"]
        about = f" ({', '.join(warned)})" if warned else ""
        say(console, f"Best of {len(own)}, {', '.join(named)}{about}:")
        rows = [
            [
                row["backbone"] if row["preset"] is None else f"{row['preset']}: {row['backbone']}",
                row["pooling"],
                row["head"],
                *(percent(row[score]) for score in ("macro_f1", "accuracy", "uar")),
            ]
            for row in own[:_BEST]
        ]
        show(console, "backbone|pooling|head|macro-F1 %>|accuracy %>|UAR %>", rows)
    lucky = "The best of many by test score is a little lucky."
    say(console, f"{lucky if found else 'No cell of this run has a result.'} Next:")
    for command, words in more:
        say(console, f"  {command}  # {words}", whole=True)
