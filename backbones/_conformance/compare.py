"""How far apart two encodings of one clip are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backbones.base import Frames

if TYPE_CHECKING:
    import torch

# Lengths of vectors below this count as this, so that the ratio to nothing is still a number.
SMALLEST = 1e-6
# Another order of sums, as other shapes of a batch bring about, and nothing else.
ROUNDING = 1e-3
ROUNDING_LIMIT = f"{ROUNDING:.1%}"


@dataclass(frozen=True)
class Difference:
    """The largest difference found.

    Attributes:
        change: length of the difference of two vectors relative to the first.
        cosine: the smallest between any two vectors compared.
        where: what differed by `change`.
    """

    change: float = 0.0
    cosine: float = 1.0
    where: str = "nothing was compared"

    def __str__(self) -> str:
        return f"{percent(self.change)}, cosine {self.cosine:.5f}"


def percent(share: float) -> str:
    """A share in percent, with digits enough to tell it from nothing."""
    return f"{share:.1%}" if share >= 1e-3 or share == 0 else f"{100 * share:.1g}%"


def valid_layers(frames: Frames, clip: int) -> Iterator[torch.Tensor]:
    """The valid frames (frames, width) of one clip, layer by layer, in float32."""
    for hidden, lengths in zip(frames.hidden, frames.lengths, strict=True):
        yield hidden[clip, : int(lengths[clip])].detach().float()


def pooled(
    expected: Frames, expected_clip: int, found: Frames, found_clip: int, what: str
) -> Difference:
    """Compare mean and maximum over the valid frames of one clip in two batches, at every layer.

    Args:
        expected: what it should be.
        expected_clip: row of the clip there.
        found: what it is.
        found_clip: row of the clip there.
        what: of which clip, for messages.
    """
    pairs = zip(valid_layers(expected, expected_clip), valid_layers(found, found_clip), strict=True)
    return largest(
        difference(a, b, f"the {name} of the frames of layer {number} of {what}")
        for number, (one, other) in enumerate(pairs)
        for name, a, b in (
            ("mean", one.mean(dim=0), other.mean(dim=0)),
            ("maximum", one.amax(dim=0), other.amax(dim=0)),
        )
    )


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
