"""How far apart two encodings of one clip are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backbones._conformance.outcome import Measured, require, require_equal
from backbones.base import Frames

if TYPE_CHECKING:
    import torch

# Lengths of vectors below this count as this, so that the ratio to nothing is still a number.
SMALLEST = 1e-6
# Another order of sums, as other shapes of a batch bring about, and nothing else.
ROUNDING = 1e-3


@dataclass(frozen=True)
class Difference:
    """The largest difference found."""

    change: float = 0.0  # length of the difference of two vectors relative to the first
    cosine: float = 1.0
    where: str = "nothing was compared"

    def __str__(self) -> str:
        return f"{as_percent(self.change)}, cosine {self.cosine:.5f}"


def as_percent(share: float) -> str:
    """A share in percent, with digits enough to tell it from nothing."""
    return f"{share:.1%}" if share >= 1e-3 or share == 0 else f"{100 * share:.1g}%"


def valid_layers(frames: Frames, clip: int) -> Iterator[torch.Tensor]:
    """The valid frames (frames, width) of one clip, layer by layer, in float32."""
    for hidden, lengths in zip(frames.hidden, frames.lengths, strict=True):
        yield hidden[clip, : int(lengths[clip])].detach().float()


def pooled(
    expected: Frames, expected_clip: int, found: Frames, found_clip: int, what: str
) -> Iterator[Difference]:
    """Compare mean and maximum over the valid frames of one clip in two batches, at every layer."""
    pairs = zip(valid_layers(expected, expected_clip), valid_layers(found, found_clip), strict=True)
    for number, (one, other) in enumerate(pairs):
        where = f"of the frames of layer {number} of {what}"
        yield difference(one.mean(dim=0), other.mean(dim=0), f"the mean {where}")
        yield difference(one.amax(dim=0), other.amax(dim=0), f"the maximum {where}")


def difference(expected: torch.Tensor, found: torch.Tensor, where: str) -> Difference:
    """Compare two tensors of one shape."""
    import torch

    a, b = expected.double().flatten(), found.double().flatten()
    change = float((a - b).norm() / a.norm().clamp_min(SMALLEST))
    # vectors of next to no length have no direction
    no_direction = max(float(a.norm()), float(b.norm())) < SMALLEST
    cosine = 1.0 if no_direction else float(torch.nn.functional.cosine_similarity(a, b, dim=0))
    if not math.isfinite(change):
        return Difference(math.inf, -1.0, where)
    return Difference(change, cosine, where)


def largest(differences: Iterable[Difference]) -> Difference:
    """The worst of all: the largest change, and the smallest cosine."""
    worst = Difference()
    for found in differences:
        cosine = min(worst.cosine, found.cosine)
        at = found if found.change > worst.change or worst.where == Difference.where else worst
        worst = Difference(at.change, cosine, at.where)
    return worst


def by_layer(
    expected: Frames, expected_clip: int, found: Frames, found_clip: int, what: str, first: int = 0
) -> Iterator[Difference]:
    """Compare the valid frames of one clip in two batches, at every layer from `first`."""
    pairs = zip(valid_layers(expected, expected_clip), valid_layers(found, found_clip), strict=True)
    for number, (one, other) in enumerate(pairs, start=first):
        require_equal(
            tuple(other.shape),
            tuple(one.shape),
            f"layer {number} of {what} has other frames",
            "compute frames and valid lengths from the clip alone, and keep what belongs to one "
            "batch in local variables",
        )
        yield difference(one, other, f"layer {number} of {what}")


def require_close(
    differences: Iterable[Difference], problem: str, remedy: str, limit: float = ROUNDING
) -> Measured:
    """Fail a check where the largest change exceeds a limit; `{}` in `problem` is what differs."""
    worst = largest(differences)
    return require(
        worst.change <= limit,
        problem.format(worst.where),
        measured=worst,
        limit=as_percent(limit),
        remedy=remedy,
    )


def require_frames(hidden: torch.Tensor, lengths: torch.Tensor, clips: int, what: str) -> None:
    """Fail a check unless frames are (batch, frames, width), and valid lengths within them."""
    require(
        hidden.ndim == 3,
        f"{what} has the wrong shape",
        measured=tuple(hidden.shape),
        limit="(batch, frames, width)",
        remedy="return one vector per frame and clip",
    )
    require_equal(
        f"{lengths.dtype} {tuple(lengths.shape)}",
        f"torch.int64 ({clips},)",
        f"{what}: the valid lengths of {clips} clips are of another type or shape",
        "return one int64 number of valid frames per clip",
    )
    require(
        all(0 < n <= hidden.shape[1] for n in lengths.tolist()),
        f"{what}: there are not as many frames as valid lengths say",
        measured=lengths.tolist(),
        limit=f"1 to {hidden.shape[1]}",
        remedy="compute valid frames as the model computes its frames",
    )
