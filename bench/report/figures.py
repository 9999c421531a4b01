"""Confusion matrices of the best rows, as PNG files beside the records."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import records
from bench.errors import StorageError
from bench.records import Record
from bench.report.ranking import finished, grouped, is_control, leaks, protocol_order, ranked
from bench.report.ranking import scores as scores_of

FOLDER = "figures"
# Raise it when the drawing changes, so that every figure is made again.
_DRAWING = 1


@dataclass(frozen=True)
class Figure:
    """One confusion matrix to draw.

    Attributes:
        name: of the file, without suffix.
        title: names the cell and its scores.
        labels: classes in order.
        confusion: clips; rows: truth, columns: prediction.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]

    def path(self, results: Path) -> Path:
        """Where the figure lives below the results folder."""
        return results / FOLDER / f"{self.name}.png"

    @property
    def mark(self) -> str:
        """Digest of what is drawn; the file carries it, whatever machine drew the pixels."""
        text = json.dumps([_DRAWING, self.title, self.labels, self.confusion])
        return hashlib.sha256(text.encode()).hexdigest()


def wanted(found: Iterable[Record]) -> list[Figure]:
    """The top row of each real task under its first grouped and its first leaking protocol."""
    rows = [r for r in finished(found) if not r.sample and not is_control(r)]
    figures = []
    for task in sorted({r.task for r in rows}):
        own = [r for r in rows if r.task == task]
        names = sorted({r.protocol for r in own}, key=protocol_order)
        for kind in (grouped, leaks):
            protocol = next(filter(kind, names), None)
            if protocol is not None:
                figures.append(_figure(ranked(r for r in own if r.protocol == protocol)[0]))
    return figures


def _figure(record: Record) -> Figure:
    own = scores_of(record)
    return Figure(
        f"{record.task}__{record.protocol}__confusion",
        f"{record.task}, {record.protocol}: {record.backbone}, {record.pooling}, {record.head}: "
        f"macro-F1 {100 * own.macro_f1:.1f} %",
        tuple(record.labels),
        tuple(map(tuple, own.confusion)),
    )


def outdated(results: Path, figures: Sequence[Figure]) -> list[Path]:
    """Files that are missing, or that were drawn from other records."""
    return [figure.path(results) for figure in figures if not _is_current(figure, results)]


def write(results: Path, figures: Sequence[Figure]) -> None:
    """Draw what is outdated, and remove confusion matrices that belong to no record any more.

    Raises:
        StorageError: a figure cannot be written or removed.
    """
    for figure in figures:
        if not _is_current(figure, results):
            records.write_atomically(figure.path(results), draw(figure))
    kept = {figure.path(results) for figure in figures}
    for path in (results / FOLDER).glob("*__*__confusion.png"):
        if path not in kept:
            _remove(path)


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise StorageError(
            f"{path} belongs to no record any more and cannot be removed ({error.strerror}); "
            "make its folder writable"
        ) from error


def _is_current(figure: Figure, results: Path) -> bool:
    path = figure.path(results)
    return path.is_file() and figure.mark.encode() in path.read_bytes()


def draw(figure: Figure) -> bytes:
    """A heat map of the confusion matrix as PNG: colour by share of the row, counts as text."""
    import numpy as np
    import seaborn as sns
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    counts = np.array(figure.confusion, dtype=np.int64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(4.0, 2.2 + 0.58 * len(figure.labels))  # the title needs four inches
    canvas = Canvas(figsize=(side + 0.6, side), dpi=110, layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.subplots()
    sns.heatmap(
        shares,
        annot=counts,
        fmt="d",
        cmap="Blues",
        vmin=0.0,
        vmax=1.0,
        square=True,
        linewidths=0.6,
        linecolor="white",
        xticklabels=list(figure.labels),
        yticklabels=list(figure.labels),
        annot_kws={"fontsize": 9},
        cbar_kws={"label": "share of the true class", "shrink": 0.8},
        ax=axes,
    )
    axes.set_xlabel("predicted", fontsize=10)
    axes.set_ylabel("true", fontsize=10)
    axes.tick_params(axis="x", labelrotation=40, labelsize=9, length=0)
    axes.tick_params(axis="y", labelrotation=0, labelsize=9, length=0)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("right")
        label.set_rotation_mode("anchor")
    canvas.suptitle(figure.title.replace(": ", "\n"), fontsize=10, x=0.02, ha="left")
    buffer = io.BytesIO()
    canvas.savefig(
        buffer, format="png", metadata={"Software": None, "Description": f"voxgrid {figure.mark}"}
    )
    return buffer.getvalue()
