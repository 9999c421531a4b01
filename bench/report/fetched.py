"""`voxgrid fetch youtube --status`: which videos have sound here, which not and why."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import StorageError
from bench.files import replacing
from bench.report.figures import canvases
from bench.tasks.youtube.links.videos import CATEGORIES
from bench.tasks.youtube.manifest import Item, by_category

if TYPE_CHECKING:
    from rich.console import Console

FIGURE = "classes.png"
_REASONS = 12
_GROUPS = ("with sound", "not to be had", "still to fetch")


def render(items: Sequence[Item], console: Console) -> None:
    """Print how many videos of each category have which status, and the commonest reasons.

    Args:
        items: of a manifest.
        console: where to.
    """
    from rich.table import Table

    counts = by_category(items)
    table = Table("status", *CATEGORIES, "all", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for status, of in counts.items():
        numbers = [of[category] for category in CATEGORIES]
        table.add_row(status, *map(str, [*numbers, sum(numbers)]))
    totals = [sum(of[category] for of in counts.values()) for category in CATEGORIES]
    table.add_row("all", *map(str, [*totals, sum(totals)]), style="bold")
    console.print(table)
    reasons = Counter(
        (item.status, item.reason) for item in items if item.in_table and item.reason
    ).most_common(_REASONS)
    for (status, reason), count in reasons:
        console.print(
            f"{count} × {status}: {reason}", highlight=False, markup=False, soft_wrap=True
        )
    if older := sum(not item.in_table for item in items):
        console.print(f"{older} videos of an earlier table are kept and not counted here")


def draw(items: Sequence[Item], folder: Path) -> Path:
    """Draw the class distribution into `folder`/classes.png.

    Raises:
        StorageError: the file cannot be written.
    """
    import seaborn
    from matplotlib.container import BarContainer

    counts = _counts(items)
    mark = hashlib.sha256(json.dumps(counts).encode()).hexdigest()[:16]
    figure = canvases.blank(7.0, 3.6)
    axes = figure.subplots()
    seaborn.barplot(
        {
            "videos": [row[2] for row in counts],
            "category": [row[0] for row in counts],
            "": [row[1] for row in counts],
        },
        x="videos",
        y="category",
        hue="",
        ax=axes,
        palette="colorblind",
    )
    for bars in axes.containers:
        if isinstance(bars, BarContainer):
            axes.bar_label(bars, padding=2, fontsize=8)
    seaborn.despine(ax=axes)
    axes.set_ylabel("")
    path = folder / FIGURE
    try:
        with replacing(path) as partial:
            partial.write_bytes(canvases.png(figure, "YouTube videos by category", mark))
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written ({error.strerror or error}): free some space or make the "
            "folder writable"
        ) from error
    return path


def _counts(items: Iterable[Item]) -> list[tuple[str, str, int]]:
    """Return (category, what of it, videos), nothing left out."""
    found = Counter((item.category, _group(item)) for item in items if item.in_table)
    return [
        (category, group, found[category, group]) for category in CATEGORIES for group in _GROUPS
    ]


def _group(item: Item) -> str:
    if item.status == "ok":
        return _GROUPS[0]
    return _GROUPS[1] if item.is_final else _GROUPS[2]
