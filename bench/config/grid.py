"""Cells: the combinations that a run is made of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backbones import fusion

Control = Literal["random-init"]


@dataclass(frozen=True, order=True)
class Cell:
    """One combination of the grid: task × protocol × backbone × pooling × head.

    Attributes:
        backbone: or a fusion, by its one name.
        control: `random-init` where the weights are random on purpose, else None.
        preset: the published set-up this is a reproduction of, with nothing tuned; else None.
    """

    task: str
    protocol: str
    backbone: str
    pooling: str
    head: str
    control: Control | None = None
    preset: str | None = None

    @property
    def relative_path(self) -> Path:
        """Path of the record below the results folder, without a suffix."""
        folder = Path(self.task) / self.protocol
        for kind in (self.control, self.preset):
            if kind:
                folder /= kind
        name = fusion.parse(self.backbone).file_name
        return folder / f"{name}__{self.pooling}__{self.head}"

    def seed(self, base: int, *more: object) -> int:
        """A seed from names alone, so that adding a cell changes no other cell.

        Args:
            base: the run's seed.
            more: what else to tell apart, e.g. the fold and the trial.
        """
        text = "|".join(map(str, (base, self, *more)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def __str__(self) -> str:
        parts = [self.task, self.protocol, self.backbone, self.pooling, self.head]
        return " / ".join([*parts, *filter(None, (self.control, self.preset))])
