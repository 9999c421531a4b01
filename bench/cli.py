"""The `voxgrid` command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.commands.fetch import fetch_app
from bench.errors import DataUnavailable, UserError, VoxgridError
from bench.new import new_app
from bench.shell import fail, interruptible, reporter

if TYPE_CHECKING:
    from bench.config import GridConfig
    from bench.plans import Plan
    from bench.progress import Reporter

app = typer.Typer(
    help="Which speech backbone, which pooling, which classifier head, and at what cost?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(fetch_app, name="fetch")
app.add_typer(new_app, name="new")

Many = list[str] | None
_TASK = typer.Option("--task", help="Task; repeatable. Default: grid.toml.")
_PROTOCOL = typer.Option("--protocol", help="Protocol; repeatable. Default: all of the task.")
_BACKBONE = typer.Option("--backbone", help="Backbone; repeatable. Default: all.")
_POOLING = typer.Option("--pooling", help="Pooling; repeatable. Default: grid.toml.")
_HEAD = typer.Option("--head", help="Head; repeatable. Default: grid.toml.")

TaskOption = Annotated[Many, _TASK]
ProtocolOption = Annotated[Many, _PROTOCOL]
BackboneOption = Annotated[Many, _BACKBONE]
PoolingOption = Annotated[Many, _POOLING]
HeadOption = Annotated[Many, _HEAD]
TrialsOption = Annotated[int | None, typer.Option(help="Optuna trials per cell and fold, total.")]
BudgetOption = Annotated[str | None, typer.Option(help="Stop after this long, e.g. 30m.")]
ResultsOption = Annotated[Path | None, typer.Option(help="Folder of the records.")]
SeedOption = Annotated[int | None, typer.Option(help="Seed of sampling and fitting.")]
JobsOption = Annotated[int | None, typer.Option(help="Worker processes; 0: one per core.")]
ControlOption = Annotated[
    str | None,
    typer.Option(help="'random-init': run with random weights on purpose, as a control."),
]
PresetOption = Annotated[
    str | None,
    typer.Option(help="Reproduce a published system; --backbone or --task swap another one in."),
]
AugmentOption = Annotated[
    bool | None,
    typer.Option("--augment/--no-augment", help="Augment training clips when fine-tuning."),
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Instead of ./grid.toml.")]


def _config(
    config: Path | None, preset: str | None = None, augment: bool | None = None, **asked: Any
) -> GridConfig:
    from bench import config as grid_config
    from bench import presets
    from bench.planning import choose

    overrides = {name: value for name, value in asked.items() if value not in (None, [])}
    fine_tune: dict[str, Any] = {}
    if augment is not None:
        fine_tune["augment"] = augment
    if "poolings" in overrides:
        fine_tune["poolings"] = overrides["poolings"]
    if "results" in overrides:
        # a run on the side must not replace the leaderboard of the records in results/
        overrides["leaderboard"] = overrides["results"] / "leaderboard.md"
    if "trials" in overrides:
        overrides["sample"] = dict.fromkeys(("trials", "trainings"), overrides["trials"])
        fine_tune["trials"] = overrides["trials"]
    if fine_tune:
        overrides["fine_tune"] = fine_tune
    settings = grid_config.load(config, overrides)
    if preset is not None:
        settings = presets.apply(presets.find(preset), settings, asked | {"augment": augment})
    return choose(settings)


def _control(value: str | None) -> Any:
    if value not in (None, "random-init"):
        raise UserError(f"--control knows only 'random-init', not '{value}'")
    return value


def _plan(
    config: GridConfig, control: str | None, preset: str | None, progress: Reporter, download: bool
) -> Plan:
    from bench import presets
    from bench.planning import make_plan

    return make_plan(
        config,
        control=_control(control),
        preset=presets.find(preset) if preset else None,
        allow_download=download,
        reporter=progress,
    )


@app.command()
@interruptible
def run(
    task: TaskOption = None,
    protocol: ProtocolOption = None,
    backbone: BackboneOption = None,
    pooling: PoolingOption = None,
    head: HeadOption = None,
    trials: TrialsOption = None,
    budget: BudgetOption = None,
    results: ResultsOption = None,
    seed: SeedOption = None,
    jobs: JobsOption = None,
    control: ControlOption = None,
    preset: PresetOption = None,
    augment: AugmentOption = None,
    config: ConfigOption = None,
) -> None:
    """Run every cell of the grid that is not done, then write leaderboard.md."""
    settings = _config(
        config,
        preset,
        augment,
        tasks=task,
        protocols=protocol,
        backbones=backbone,
        poolings=pooling,
        heads=head,
        trials=trials,
        budget=budget,
        results=results,
        seed=seed,
        jobs=jobs,
    )
    from bench.report import leaderboard
    from bench.run import exclusive, execute

    progress = reporter()
    with exclusive(settings.results):
        plan = _plan(settings, control, preset, progress, download=True)
        for note in plan.notes:
            progress.say(f"note: {note}")
        for task_plan in plan.tasks:
            for planned in task_plan.backbones.values():
                if planned.reason:
                    progress.say(f"skipped: {planned.reason}")
        summary = execute(plan, settings, progress)
        target = leaderboard.update(settings.results, settings.leaderboard)
    progress.say(
        f"{summary.ok} cells ran, {summary.done_before} were done, {summary.skipped} skipped, "
        f"{summary.failed} failed, {summary.unfinished} left for the next run; see {target}"
    )
    if summary.failed:
        raise typer.Exit(1)


@app.command()
def plan(
    task: TaskOption = None,
    protocol: ProtocolOption = None,
    backbone: BackboneOption = None,
    pooling: PoolingOption = None,
    head: HeadOption = None,
    trials: TrialsOption = None,
    results: ResultsOption = None,
    seed: SeedOption = None,
    jobs: JobsOption = None,
    control: ControlOption = None,
    preset: PresetOption = None,
    augment: AugmentOption = None,
    config: ConfigOption = None,
) -> None:
    """Show the cells, what is skipped and why, and the time and disk a run would take."""
    settings = _config(
        config,
        preset,
        augment,
        tasks=task,
        protocols=protocol,
        backbones=backbone,
        poolings=pooling,
        heads=head,
        trials=trials,
        results=results,
        seed=seed,
        jobs=jobs,
    )
    from bench.report.plan import render

    made = _plan(settings, control, preset, reporter(), download=False)
    render(made, settings)


@app.command(name="list")
def list_(
    kind: Annotated[
        str | None,
        typer.Argument(help="tasks, protocols, backbones, poolings, heads or presets; or all."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on standard output.")] = False,
) -> None:
    """List tasks, protocols, backbones, poolings and heads, and what is available here."""
    from bench.report import inventory

    found = inventory.collect(kind)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    else:
        inventory.render(found)


@app.command()
def leaderboard(
    results: ResultsOption = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail where the file differs.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Regenerate leaderboard.md and its figures from the records."""
    settings = _config(config, results=results)
    from bench.report import leaderboard as report

    if check:
        difference = report.difference(settings.results, settings.leaderboard)
        if difference:
            typer.echo(difference, err=True)
            raise typer.Exit(1)
        typer.echo(f"{settings.leaderboard} agrees with the records in {settings.results}")
        return
    target = report.update(settings.results, settings.leaderboard)
    typer.echo(f"wrote {target}")


@app.command()
@interruptible
def check(
    asked: Annotated[
        list[str] | None,
        typer.Argument(
            help="Backbones, heads or tasks; default: all registered backbones.",
            metavar="[NAME]...",
        ),
    ] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="With real weights, not a small random network.")
    ] = False,
    control: Annotated[
        str | None,
        typer.Option(help="'random-init': with random weights at the published size."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON on standard output.")] = False,
    write_golden: Annotated[
        Path | None,
        typer.Option(
            help="Where nothing else failed, write what the weights give into this folder. "
            "It belongs next to the plugin's file, under the name 'golden'."
        ),
    ] = None,
) -> None:
    """Check that backbones (or heads, or tasks) keep the contract: padding, lengths and more."""
    from rich.console import Console

    from bench import checking
    from bench.report import conformance, suites

    names, left_out = conformance.registered()
    others: list[checking.Subject] = []
    if asked:
        (names, others), left_out = checking.split(asked), []
    if pretrained and control:
        raise UserError("--pretrained and --control ask for different weights: leave out one")
    if others and (pretrained or control or write_golden is not None):
        raise UserError(f"{others[0].name} is a {others[0].kind}: leave out the options of weights")
    console = Console()
    found = []
    for examination in conformance.examinations(
        names, pretrained=pretrained, control=_control(control)
    ):
        if asked and examination.skipped:
            raise UserError(f"{examination.name} cannot be checked: {examination.skipped}")
        if write_golden is not None:
            examination = conformance.with_golden(examination, write_golden)
        found.append(examination)
        if not as_json:
            conformance.render(examination, console)
    examined = [suites.examine(other) for other in others]
    if as_json:
        listing = conformance.as_json(found, left_out)
        listing["passed"] &= all(each.passed for each in examined)
        typer.echo(json.dumps(listing | suites.as_json(examined), indent=1))
    else:
        for each in examined:
            suites.render(each, console)
    if names or not others:
        typer.echo(conformance.summary(found, left_out, len(names)), err=as_json)
    if others:
        typer.echo(suites.summary(examined), err=as_json)
    passed = [each.passed for each in found] + [each.passed for each in examined]
    if left_out or not all(passed):
        raise typer.Exit(1)


def main() -> None:
    """Entry point: errors are one sentence on standard error, and code 2 is the user's mistake."""
    from backbones import BackboneError

    try:
        app()
    except (UserError, DataUnavailable, BackboneError) as error:
        fail(str(error), 2)
    except VoxgridError as error:
        fail(str(error), 1)


if __name__ == "__main__":
    main()
