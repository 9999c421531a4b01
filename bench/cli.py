"""The `voxgrid` command."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from bench.errors import DataUnavailable, UserError, VoxgridError
from bench.new import new_app

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
fetch_app = typer.Typer(help="Download a task's clips.", no_args_is_help=True)
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


def _reporter() -> Reporter:
    from rich.console import Console

    from bench.progress import Reporter

    return Reporter(Console(stderr=True))


def _plan(
    config: GridConfig, control: str | None, preset: str | None, reporter: Reporter, download: bool
) -> Plan:
    from bench import presets
    from bench.planning import make_plan

    return make_plan(
        config,
        control=_control(control),
        preset=presets.find(preset) if preset else None,
        allow_download=download,
        reporter=reporter,
    )


Command = TypeVar("Command", bound=Callable[..., None])


def _interruptible(command: Command) -> Command:
    """Ctrl-C ends a long command with a sentence and code 130."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            _fail("interrupted; what is finished is kept, the same command goes on from there", 130)

    return cast(Command, wrapped)


@app.command()
@_interruptible
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

    reporter = _reporter()
    with exclusive(settings.results):
        plan = _plan(settings, control, preset, reporter, download=True)
        for note in plan.notes:
            reporter.say(f"note: {note}")
        for task_plan in plan.tasks:
            for planned in task_plan.backbones.values():
                if planned.reason:
                    reporter.say(f"skipped: {planned.reason}")
        summary = execute(plan, settings, reporter)
        target = leaderboard.update(settings.results, settings.leaderboard)
    reporter.say(
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

    made = _plan(settings, control, preset, _reporter(), download=False)
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
@_interruptible
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


@fetch_app.command()
@_interruptible
def ravdess(
    to: Annotated[
        Path | None, typer.Option(help="Folder; default: VOXGRID_DATA/ravdess, else the cache.")
    ] = None,
) -> None:
    """RAVDESS speech (about 208 MB) from Zenodo, every clip checked; resumes where it stopped."""
    from bench.tasks.fetch import fetch_ravdess

    typer.echo(f"RAVDESS is in {fetch_ravdess(to)}")


@fetch_app.command()
@_interruptible
def youtube(
    table: Annotated[
        Path | None,
        typer.Argument(help="CSV with link, title, description, category. Default: in the folder."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder; default: VOXGRID_DATA/youtube, else the cache's.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Keep the first so many of each video.")] = 60.0,
    repair: Annotated[
        bool, typer.Option("--repair/--no-repair", help="Search for damaged ids by title.")
    ] = True,
    cookies: Annotated[
        Path | None, typer.Option(help="Cookies of a browser, Netscape format.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=16, help="Downloads at once.")] = 4,
    interval: Annotated[
        float, typer.Option(min=0.0, help="Least seconds between two pages or searches.")
    ] = 1.0,
    megabytes: Annotated[float, typer.Option(help="Receive no more for one video.")] = 200.0,
    timeout: Annotated[str, typer.Option(help="Spend no longer on one video, e.g. 5m.")] = "5m",
    again: Annotated[
        Many, typer.Option(help="Try videos of this status again; repeatable.")
    ] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Connect to private addresses as well.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Only show what is here, and why the rest is not.")
    ] = False,
) -> None:
    """Sound of the YouTube videos of a table of links; resumes, and repairs damaged ids."""
    from bench.tasks.youtube import commands

    folder = commands.folder(to)
    if status:
        _show_fetched(folder)
        return
    said, finished = commands.fetch(
        table,
        folder,
        commands.options(
            seconds=seconds,
            megabytes=megabytes,
            timeout=timeout,
            jobs=jobs,
            interval=interval,
            repair=repair,
            again=again or [],
        ),
        cookies=cookies,
        allow_private=allow_private,
        reporter=_reporter(),
    )
    typer.echo(said)
    _show_fetched(folder)
    if not finished:
        raise typer.Exit(1)


def _show_fetched(folder: Path) -> None:
    from rich.console import Console

    from bench.report import fetched
    from bench.tasks.youtube import manifest

    items = manifest.read(folder)
    if not items:
        raise UserError(
            f"nothing was fetched to {folder} yet: run 'voxgrid fetch youtube TABLE.csv', or name "
            "the folder with --to"
        )
    fetched.render(items, Console())
    typer.echo(f"class distribution: {fetched.draw(items, folder)}")


def main() -> None:
    """Entry point: errors are one sentence on standard error, and code 2 is the user's mistake."""
    from backbones import BackboneError

    try:
        app()
    except (UserError, DataUnavailable, BackboneError) as error:
        _fail(str(error), 2)
    except VoxgridError as error:
        _fail(str(error), 1)


def _fail(message: str, code: int) -> None:
    typer.echo(f"voxgrid: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
