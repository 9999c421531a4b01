"""`voxgrid clean`: what no record needs, and what deleting it would free."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, get_args

import typer


def clean(
    results: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of records; repeatable, all are heeded. Default: grid.toml."),
    ] = None,
    unfinished: Annotated[
        bool,
        typer.Option("--unfinished", help="Also what interrupted runs would go on from."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete it; else it is only listed.")] = False,
    config: Annotated[Path | None, typer.Option("--config", help="Instead of ./grid.toml.")] = None,
) -> None:
    """List studies, features, frames and sections that no record needs; --yes deletes them.

    A study is unneeded once its record is finished; a later run with more trials then begins it
    anew. Features are needed where a record names their key, frames where its head was trained on
    them too, and both where their backbone has an unfinished study. Sections of long files are cut
    again where they are wanted. Name every results folder that
    uses this cache. Data and weights are never touched.
    """
    from bench import paths
    from bench.commands.shell import echo
    from bench.config import spec
    from bench.errors import UserError
    from bench.files import exclusive
    from bench.planning.estimate import size
    from bench.report.values import plural
    from bench.run.clean import Kind, remove, unneeded

    folders = results or [spec.load(config, {}).results]
    with ExitStack() as held:
        for folder in folders:
            if not folder.is_dir():
                raise UserError(f"there is no results folder {folder}; name it with --results")
            held.enter_context(exclusive(folder))
        found = unneeded(folders, paths.cache_dir() / "features", unfinished=unfinished)
        for kind in get_args(Kind):
            of_kind = [one for one in found if one.kind == kind]
            total = size(sum(one.size for one in of_kind))
            echo(f"{kind}: {len(of_kind)} unneeded, {total}" if of_kind else f"{kind}: none")
            for one in of_kind:
                echo(f"  {size(one.size):>8}  {one.paths[0]}: {one.reason}")
        if not found:
            return
        freed = size(sum(one.size for one in found))
        if yes:
            remove(found)
            echo(f"deleted {plural(len(found), 'item')}: {freed} freed")
        else:
            echo(f"nothing was deleted; `voxgrid clean --yes` with the same options frees {freed}")
