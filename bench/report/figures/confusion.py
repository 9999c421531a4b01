"""Confusion matrices of the best rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.records.schema import Record
from bench.report.figures import canvases
from bench.report.select import by_protocol, finished, is_control, ranked

SUFFIX = "confusion"
# Raise it when the drawing changes, so that every figure is made again.
_DRAWING = 2
# Labels; the pixels grow with their square.
MOST = 40
TOO_MANY = f"Confusions of more than {MOST} classes are not drawn."


@dataclass(frozen=True)
class Confusion:
    """A matrix of clips to draw: rows: truth, columns: prediction. Implements `Figure`."""

    name: str
    title: str
    labels: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def mark(self) -> str:
        """Digest of what is drawn."""
        text = json.dumps([_DRAWING, self.title, self.labels, self.confusion])
        return hashlib.sha256(text.encode()).hexdigest()

    def draw(self, dark: bool) -> bytes:
        """A heat map as PNG: colour by share of the row, counts as text."""
        import numpy as np
        import seaborn as sns
        from seaborn.utils import relative_luminance

        counts = np.array(self.confusion, dtype=np.int64)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        side = max(4.0, 2.2 + 0.58 * len(self.labels))  # the title needs four inches
        labels = [canvases.words(label) for label in self.labels]
        ink = canvases.ink(dark)
        deep = sns.blend_palette(["#161d29", "#1f6feb", "#cae8ff"], as_cmap=True)
        with canvases.blank(side + 0.6, side, self.title, dark) as canvas:
            axes = canvas.subplots()
            sns.heatmap(
                shares,
                annot=counts,
                fmt="d",
                cmap=deep if dark else "Blues",
                vmin=0.0,
                vmax=1.0,
                square=True,
                linewidths=0.6,
                linecolor=ink.paper,
                xticklabels=labels,
                yticklabels=labels,
                annot_kws={"fontsize": 9},
                cbar_kws={"label": "share of the true class", "shrink": 0.8},
                ax=axes,
            )
            if dark:  # seaborn leaves white text on colours that are too light for it
                for text, cell in zip(axes.texts, axes.collections[0].get_facecolor(), strict=True):
                    light = relative_luminance(cell) > 0.18
                    text.set_color("black" if light else "white")
            axes.set_xlabel("predicted", fontsize=10)
            axes.set_ylabel("true", fontsize=10)
            axes.tick_params(axis="x", labelrotation=40, labelsize=9, length=0)
            axes.tick_params(axis="y", labelrotation=0, labelsize=9, length=0)
            for label in axes.get_xticklabels():
                label.set_horizontalalignment("right")
                label.set_rotation_mode("anchor")
            return canvases.png(canvas, self.mark)


def wanted(
    found: Iterable[Record], recommended: Mapping[tuple[str, str], Record]
) -> dict[str, Confusion]:
    """One figure of a real task, by its first protocol.

    Args:
        found: records of one task.
        recommended: rows to take first, by task and protocol; elsewhere the best row is drawn.
    """
    rows = [r for r in finished(found) if not r.sample and not is_control(r) and r.preset is None]
    for protocol, own in by_protocol(rows).items():
        best = ranked(own)[0]
        return {protocol: _of(recommended.get((best.task, protocol), best))}
    return {}


def _of(record: Record) -> Confusion:
    own = record.scored
    return Confusion(
        f"{record.task}__{record.protocol}__{SUFFIX}",
        f"{record.task}, {record.protocol}: {record.backbone}, {record.pooling}, {record.head}: "
        f"macro-F1 {100 * own.macro_f1:.1f} %",
        tuple(record.labels),
        tuple(map(tuple, own.confusion)),
    )
