"""Frames → one fixed vector per clip: from stored statistics, or learnt by the head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import UserError, nearest

Matrix = NDArray[np.float32]

STATISTICS = ("mean", "std", "max", "min")


@dataclass(frozen=True)
class Pooling:
    """A pooling strategy.

    Attributes:
        name: as on the command line and in records.
        summary: one line for `voxgrid list`.
        needs: which of `STATISTICS` it reads.
        combine: statistics (clips, width) and frame counts (clips,) → vectors (clips, features);
            None where the pooling is learnt from the frames together with the head.
    """

    name: str
    summary: str
    needs: tuple[str, ...]
    combine: Callable[[Mapping[str, Matrix], NDArray[np.int64]], Matrix] | None = None

    @property
    def learnt(self) -> bool:
        """Whether it has weights of its own, trained together with the head."""
        return self.combine is None


_ALL = (
    Pooling("mean", "average over frames", ("mean",), lambda s, n: s["mean"]),
    Pooling(
        "sum",
        "sum over frames: the average times the number of frames, so duration is kept",
        ("mean",),
        lambda s, n: s["mean"] * n[:, None].astype(np.float32),
    ),
    Pooling("max", "maximum over frames", ("max",), lambda s, n: s["max"]),
    Pooling(
        "mean_std",
        "average and standard deviation over frames, concatenated",
        ("mean", "std"),
        lambda s, n: np.concatenate([s["mean"], s["std"]], axis=1),
    ),
    Pooling(
        "mean_max",
        "average and maximum over frames, concatenated",
        ("mean", "max"),
        lambda s, n: np.concatenate([s["mean"], s["max"]], axis=1),
    ),
    Pooling("attention", "average over frames, weighted by learnt self-attention", ()),
    Pooling(
        "attentive_stats",
        "average and standard deviation over frames, weighted by learnt self-attention",
        (),
    ),
)
POOLINGS: dict[str, Pooling] = {p.name: p for p in _ALL}


def get_pooling(name: str) -> Pooling:
    """The pooling called `name`.

    Raises:
        UserError: there is none; the message offers the nearest name.
    """
    if name not in POOLINGS:
        raise UserError(f"no pooling is called '{name}'; {nearest(name, POOLINGS)}")
    return POOLINGS[name]
