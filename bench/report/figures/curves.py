"""How training went: loss and validation scores by epoch, one line per fold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from bench.records.schema import FoldRecord, Record
from bench.report.figures import canvases
from bench.report.figures.canvases import Ink
from bench.report.select import finished, is_control

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

SUFFIX = "curves"
# Raise it when the drawing changes, so that every figure is made again.
_DRAWING = 2
_DIGITS = 6
# Folds; the legend names each.
MOST = 40

Values = tuple[float | None, ...]


@dataclass(frozen=True)
class FoldCurve:
    """One fold's best trial, by epoch; None where an epoch was not scored.

    Attributes:
        number: of the fold, from 1.
        best: index of the best epoch, None where unknown.
    """

    number: int
    best: int | None
    train_loss: Values
    validation_loss: Values
    accuracy: Values
    macro_f1: Values


@dataclass(frozen=True)
class Curves:
    """The curves of one cell, of its folds with epochs. Implements `Figure`."""

    name: str
    title: str
    folds: tuple[FoldCurve, ...]

    @property
    def mark(self) -> str:
        """Digest of what is drawn."""
        text = json.dumps([SUFFIX, _DRAWING, self.title, [astuple(fold) for fold in self.folds]])
        return hashlib.sha256(text.encode()).hexdigest()

    def draw(self, dark: bool) -> bytes:
        """Three panels as PNG: loss, validation accuracy, validation macro-F1."""
        import seaborn as sns

        ink = canvases.ink(dark)
        with canvases.blank(8.0, 4.0, self.title, dark) as canvas:
            losses, accuracy, f1 = canvas.subplots(1, 3, sharex=True)
            count = len(self.folds)
            many = "cool" if dark else "viridis"
            colours = sns.color_palette("colorblind" if count <= 10 else many, count)
            for fold, colour in zip(self.folds, colours, strict=True):
                _line(losses, fold.train_loss, colour, linestyle=(0, (2, 1.5)), linewidth=1.0)
                for axes, values in (
                    (losses, fold.validation_loss),
                    (accuracy, fold.accuracy),
                    (f1, fold.macro_f1),
                ):
                    _line(axes, values, colour, linewidth=1.6)
                    _mark_best(axes, values, fold.best, colour, ink)
            for axes, title in (
                (losses, "cross-entropy, nats"),
                (accuracy, "validation accuracy, %"),
                (f1, "validation macro-F1, %"),
            ):
                _style(axes, title)
            f1.sharey(accuracy)
            for axes in (losses, accuracy):
                axes.set_ylim(bottom=0)
            for axes in (accuracy, f1):
                axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")
            _legend(canvas, [fold.number for fold in self.folds], colours, ink)
            return canvases.png(canvas, self.mark)


def wanted(found: Iterable[Record]) -> list[Curves]:
    """The curves of every real cell whose head trained the backbone.

    Controls are not drawn, and nobody could tell the lines of more than `MOST` folds apart.
    """
    return [
        of
        for record in sorted(finished(found), key=lambda r: str(r.cell))
        # heads that only learn a pooling are too many to draw
        if record.training is not None and record.training.reads == "backbone"
        if not record.sample and not is_control(record)
        if 0 < len((of := _of(record)).folds) <= MOST
    ]


def _of(record: Record) -> Curves:
    row = [record.backbone, record.pooling, record.head]
    if record.preset is not None:
        row.append(f"preset {record.preset}")
    return Curves(
        "__".join([*record.cell.relative_path.parts, SUFFIX]),
        f"{record.task}, {record.protocol}: {', '.join(row)}: "
        f"macro-F1 {100 * record.scored.macro_f1:.1f} %",
        tuple(
            _fold(number, fold) for number, fold in enumerate(record.folds, start=1) if fold.curve
        ),
    )


def _fold(number: int, fold: FoldRecord) -> FoldCurve:
    def values(field: str) -> Values:
        found = (getattr(epoch, field) for epoch in fold.curve)
        return tuple(None if value is None else round(value, _DIGITS) for value in found)

    return FoldCurve(
        number,
        fold.best_epoch,
        values("train_loss"),
        values("validation_loss"),
        values("validation_accuracy"),
        values("validation_macro_f1"),
    )


def _line(axes: Axes, values: Values, colour: Any, **style: Any) -> None:
    known = [(epoch, value) for epoch, value in enumerate(values, start=1) if value is not None]
    if known:
        epochs, heights = zip(*known, strict=True)
        # one epoch alone would leave no line to see
        axes.plot(epochs, heights, color=colour, marker="." if len(known) == 1 else "", **style)


def _mark_best(axes: Axes, values: Values, best: int | None, colour: Any, ink: Ink) -> None:
    height = values[best] if best is not None and best < len(values) else None
    if best is not None and height is not None:
        style: dict[str, Any] = {
            "markersize": 6,
            "markeredgecolor": ink.text,
            "zorder": 3,
            "clip_on": False,
        }
        axes.plot([best + 1], [height], "o", color=colour, **style)


def _style(axes: Axes, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, fontsize=10)
    axes.set_xlabel("epoch", fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.tick_params(labelsize=9)
    axes.grid(linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(canvas: Canvas, numbers: Sequence[int], colours: Sequence[Any], ink: Ink) -> None:
    from matplotlib.lines import Line2D

    entries = [
        Line2D([], [], color=colour, linewidth=1.6, label=f"fold {number}")
        for number, colour in zip(numbers, colours, strict=True)
    ]
    entries += [
        Line2D([], [], color=ink.quiet, linewidth=1.6, label="validation"),
        Line2D([], [], color=ink.quiet, linestyle=(0, (2, 1.5)), linewidth=1.0, label="training"),
        Line2D([], [], color=ink.paper, marker="o", markeredgecolor=ink.text, label="best epoch"),
    ]
    canvas.legend(handles=entries, loc="outside lower center", ncols=5, fontsize=9, frameon=False)
