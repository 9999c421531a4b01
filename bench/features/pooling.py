"""Frames → one fixed vector per clip: from stored statistics, or learnt by the head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import UserError, nearest
from heads import sequences

Matrix = NDArray[np.float32]
Combine = Callable[[Mapping[str, Matrix], NDArray[np.int64]], Matrix]

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
    combine: Combine | None = None

    @property
    def learnt(self) -> bool:
        """Whether it has weights of its own, trained together with the head."""
        return self.combine is None


_COMBINED: Mapping[str, tuple[tuple[str, ...], Combine]] = {
    "mean": (("mean",), lambda s, n: s["mean"]),
    "sum": (("mean",), lambda s, n: s["mean"] * n[:, None].astype(np.float32)),
    "max": (("max",), lambda s, n: s["max"]),
    "mean_std": (("mean", "std"), lambda s, n: np.concatenate([s["mean"], s["std"]], axis=1)),
    "mean_max": (("mean", "max"), lambda s, n: np.concatenate([s["mean"], s["max"]], axis=1)),
}
# which there are, heads say: those that are learnt and those of frames are their work
POOLINGS: dict[str, Pooling] = {
    **{name: Pooling(name, said, *_COMBINED[name]) for name, said in sequences.FIXED.items()},
    **{name: Pooling(name, said, ()) for name, said in sequences.LEARNT.items()},
}


def get_pooling(name: str) -> Pooling:
    """The pooling called `name`.

    Raises:
        UserError: there is none; the message offers the nearest name.
    """
    if name not in POOLINGS:
        raise UserError(f"no pooling is called '{name}'; {nearest(name, POOLINGS)}")
    return POOLINGS[name]
