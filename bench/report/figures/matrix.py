"""Scores of every task's winner on every task, as a heat map."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.figures import canvases

# Raise it when the drawing changes.
_DRAWING = 1


@dataclass(frozen=True)
class Matrix:
    """Macro-F1 of winners. Implements `Figure`.

    Attributes:
        tasks: names, of rows (trained on) and columns (tested on).
        scores: shares, [trained on][tested on].
        notes: what stands in each cell.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    scores: Sequence[Sequence[float]]
    notes: Sequence[Sequence[str]]

    @property
    def mark(self) -> str:
        """Digest of what is drawn."""
        text = json.dumps([_DRAWING, self.title, self.tasks, self.scores, self.notes])
        return hashlib.sha256(text.encode()).hexdigest()

    def draw(self, dark: bool) -> bytes:
        """A heat map as PNG: colour by score, with what the notes say."""
        import numpy as np
        import seaborn as sns

        side = max(4.5, 2.4 + 1.3 * len(self.tasks))
        names = [canvases.words(task) for task in self.tasks]
        ink = canvases.ink(dark)
        with canvases.blank(side + 0.8, side, self.title, dark) as canvas:
            axes = canvas.subplots()
            sns.heatmap(
                100 * np.array(self.scores),
                annot=np.array(self.notes),
                fmt="",
                cmap="viridis",
                vmin=0.0,
                vmax=100.0,
                square=True,
                linewidths=0.6,
                linecolor=ink.paper,
                xticklabels=names,
                yticklabels=names,
                annot_kws={"fontsize": 9},
                cbar_kws={"label": "macro-F1 in %", "shrink": 0.8},
                ax=axes,
            )
            axes.set_xlabel("tested on", fontsize=10)
            axes.set_ylabel("trained on", fontsize=10)
            axes.tick_params(axis="x", labelrotation=20, labelsize=9, length=0)
            axes.tick_params(axis="y", labelrotation=0, labelsize=9, length=0)
            return canvases.png(canvas, self.mark)
