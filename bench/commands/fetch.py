"""`voxgrid fetch`: a task's clips come to this machine, and what came is shown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backbones.reading import LONGEST
from bench import paths
from bench.commands.shell import echo, interruptible, reporter
from bench.commands.tables import say, show
from bench.errors import DataUnavailable, UserError, nearest
from bench.files import replacing, storing

if TYPE_CHECKING:
    import pandas as pd

    from bench.tasks.youtube.manifest import Item
    from bench.terminal import Terminal

FIGURE = "classes.png"
_REASONS = 12
_GROUPS = ("with sound", "not to be had", "still to fetch")

fetch_app = typer.Typer(help="Download a task's clips.", no_args_is_help=True)


@fetch_app.command()
@interruptible
def ravdess(
    to: Annotated[
        Path | None, typer.Option(help="Folder; default: VOXGRID_DATA/ravdess, else the cache.")
    ] = None,
) -> None:
    """RAVDESS speech (about 208 MB) from Zenodo, every clip checked; resumes where it stopped."""
    from bench.tasks.ravdess.fetch import fetch_ravdess

    echo(f"RAVDESS is in {fetch_ravdess(to, reporter())}")


@fetch_app.command()
@interruptible
def youtube(
    context: typer.Context,
    table: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            readable=True,
            help="CSV with link, title, description, category. Default: in the folder.",
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="Folder; default: VOXGRID_DATA/youtube, else the cache's.")
    ] = None,
    seconds: Annotated[
        str, typer.Option(metavar="FLOAT", help="Keep the first so many of each video.")
    ] = "60",
    repair: Annotated[
        bool, typer.Option("--repair/--no-repair", help="Search for damaged ids by title.")
    ] = True,
    cookies: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Cookies of a browser, Netscape format."),
    ] = None,
    jobs: Annotated[str, typer.Option(metavar="INTEGER", help="Downloads at once.")] = "4",
    interval: Annotated[
        str, typer.Option(metavar="FLOAT", help="Least seconds between two pages or searches.")
    ] = "1",
    megabytes: Annotated[
        str, typer.Option(metavar="FLOAT", help="Receive no more for one video.")
    ] = "200",
    timeout: Annotated[str, typer.Option(help="Spend no longer on one video, e.g. 5m.")] = "5m",
    again: Annotated[
        list[str] | None, typer.Option(help="Try videos of this status again; repeatable.")
    ] = None,
    status: Annotated[
        bool, typer.Option("--status", help="Only show what is here, and why the rest is not.")
    ] = False,
) -> None:
    """Sound of the YouTube videos of a table of links; resumes, and repairs damaged ids."""
    from bench.tasks.youtube import task

    folder = to if to is not None else task.folder(paths.data_root(), paths.cache_dir())
    if status:
        _say_without_effect(context)
        _show(folder)
        return
    from bench.config.spec import parse_duration
    from bench.tasks.youtube import run, site
    from bench.tasks.youtube import table as links
    from bench.tasks.youtube.client import Options

    try:
        longest = parse_duration(timeout)
    except ValueError as error:
        raise UserError(f"--timeout: {error}") from error
    kept = _number("seconds", seconds, 1.0, LONGEST)
    most = _number("megabytes", megabytes, 0.1, 1e6)
    apart = _number("interval", interval, 0.0, LONGEST)
    at_once = int(_number("jobs", jobs, 1.0, 16.0))
    _number("timeout", str(longest), 1.0, LONGEST)
    _check_again(again or [], repair)
    source = table if table is not None else _table_in(folder)
    read = links.read(source)
    if paths.offline():
        raise DataUnavailable(
            "VOXGRID_OFFLINE forbids fetching the YouTube videos: unset it, or copy the folder "
            f"{folder} from a machine that fetched them"
        )
    options = Options(kept, most, longest, at_once, apart, repair=repair, again=tuple(again or ()))
    found = site.YouTube(cookies, options)
    damaged = sum(not links.intact(video.left) for video in read.videos)
    progress = reporter()
    progress.say(
        f"{len(read.videos) + len(read.excluded)} rows: {len(read.videos)} videos, {damaged} of "
        f"them with a damaged id; {len(read.excluded)} rows left out, see excluded.csv in {folder}"
    )
    done = run.fetch_all(read, folder, found, progress)
    said = (
        f"{done.fetched} videos fetched ({done.received / 1e6:.1f} MB received), "
        f"{done.refused} not to be had this time; {done.repaired} ids repaired, "
        f"{done.not_repaired} not"
    )
    if done.unfinished:
        said += f"; {done.unfinished} to be tried again by the same command"
    echo(said)
    _show(folder)
    if done.unfinished:
        raise typer.Exit(1)


def _number(option: str, text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        bounds = f"{least:g} or more and {most:g} at most"
        raise UserError(f"--{option} is '{text}', and must be a number of {bounds}")
    return value


def _say_without_effect(context: typer.Context) -> None:
    """Say which of the options given are for fetching, where nothing is fetched."""
    others = [
        option.opts[0] if option.param_type_name == "option" else "the table"
        for option in context.command.params
        for source in [context.get_parameter_source(option.name or "")]
        if source and source.name == "COMMANDLINE" and option.name not in ("status", "to")
    ]
    if others:
        echo(f"note: --status fetches nothing: no effect of {', '.join(others)}", err=True)


def _check_again(again: Sequence[str], repair: bool) -> None:
    from bench.tasks.youtube.statuses import STATUSES

    known = [status for status in STATUSES if status not in ("ok", "not tried")]
    for name in again:
        if name not in known:
            raise UserError(f"--again knows no status '{name}': {nearest(name, [*known])}")
    if "not repaired" in again and not repair:
        raise UserError("--again 'not repaired' searches for ids: leave out --no-repair")


def _table_in(folder: Path) -> Path:
    """The table of a folder: the copy of an earlier fetch, or the only CSV file there."""
    from bench.tasks.youtube.manifest import EXCLUDED, TABLE

    if (folder / TABLE).is_file():
        return folder / TABLE
    found = sorted(path for path in folder.glob("*.csv") if path.name != EXCLUDED)
    if len(found) == 1:
        return found[0]
    which = f"{len(found)} CSV files" if found else "no CSV file"
    raise UserError(
        f"which table of links? there is {which} in {folder}: name it, as in "
        "'voxgrid fetch youtube TABLE.csv'"
    )


def _show(folder: Path) -> None:
    from bench.tasks.youtube import manifest
    from bench.terminal import Terminal

    items = manifest.read(folder)
    if not items:
        raise UserError(
            f"nothing was fetched to {folder} yet: run 'voxgrid fetch youtube TABLE.csv', or name "
            "the folder with --to"
        )
    render(items, Terminal())
    echo(f"class distribution: {draw(items, folder)}")


def render(items: Sequence[Item], console: Terminal) -> None:
    """Print how many videos of each category have which status, and the commonest reasons."""
    from bench.tasks.youtube.statuses import STATUSES

    present = {item.status for item in items if item.in_table}
    counts = _counted(items, lambda item: item.status, [s for s in STATUSES if s in present])
    counts["all"] = counts.sum(axis=1)
    counts.loc["all"] = counts.sum()
    heads = "|".join(["status", *(f"{category}>" for category in counts.columns)])
    show(console, heads, [list(map(str, row)) for row in counts.itertuples()])
    reasons = Counter(
        (item.status, item.reason) for item in items if item.in_table and item.reason
    ).most_common(_REASONS)
    for (status, reason), count in reasons:
        say(console, f"{count} × {status}: {reason}", whole=True)
    if older := sum(not item.in_table for item in items):
        say(console, f"{older} videos of an earlier table are kept and not counted here")


def draw(items: Sequence[Item], folder: Path) -> Path:
    """Draw the class distribution into `folder`/classes.png; a `StorageError` where it cannot."""
    import seaborn
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure

    from bench.tasks.youtube.manifest import UNWRITABLE

    videos = _counted(items, _group, _GROUPS).T.reset_index(names="category")
    videos = videos.melt("category", var_name="", value_name="videos")
    figure = Figure(figsize=(7.0, 3.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    seaborn.barplot(videos, x="videos", y="category", hue="", ax=axes, palette="colorblind")
    for bars in axes.containers:
        if isinstance(bars, BarContainer):
            axes.bar_label(bars, padding=2, fontsize=8)
    seaborn.despine(ax=axes)
    axes.set_ylabel("")
    figure.suptitle("YouTube videos by category", fontsize=10, x=0.02, ha="left")
    with storing(folder, UNWRITABLE), replacing(folder / FIGURE) as partial:
        figure.savefig(partial, format="png", metadata={"Software": None})
    return folder / FIGURE


def _counted(
    items: Sequence[Item], kind: Callable[[Item], str], kinds: Sequence[str]
) -> pd.DataFrame:
    """Videos of the table: a row for each kind, a column for each category, nothing left out."""
    import pandas as pd

    from bench.tasks.youtube.links import CATEGORIES

    ours = [item for item in items if item.in_table]
    kind_of = pd.Series([kind(item) for item in ours], dtype=str)
    found = pd.crosstab(kind_of, pd.Series([item.category for item in ours], dtype=str))
    return found.reindex(index=[*kinds], columns=[*CATEGORIES], fill_value=0)


def _group(item: Item) -> str:
    return _GROUPS[0 if item.status == "ok" else 1 if item.is_final else 2]
