"""Which layers' frames are kept on disk, and which of them a cell reads."""

from __future__ import annotations

from backbones import STEM, BackboneInfo, Weights
from bench.config.spec import RunSpec
from bench.features.frames import frames_bytes
from bench.plugins import HEADS
from bench.tuning.fits.base import Draw
from heads import Reads

_GIGABYTE = 1e9


def kept(info: BackboneInfo, weights: Weights, seconds: float, gigabytes: float) -> tuple[int, ...]:
    """Layers whose frames may be read: all of them, or as many as the disk may hold.

    The clips hold so many `seconds`, and one backbone's frames may take so many `gigabytes`.

    Returns:
        Layers in order, evenly spaced where not all fit; none where not one does.
    """
    layers = info.layers_of(weights.size)
    per_layer = frames_bytes(info, seconds, 1) if weights.size == "full" else 0
    count = int(min(layers, gigabytes * _GIGABYTE / per_layer)) if per_layer else layers
    return tuple(int((i + 0.5) * layers / count) for i in range(count))


def frames_read(
    head: str, reads: Reads, layers: tuple[int, ...], recipe: Draw | None, spec: RunSpec
) -> tuple[int, ...]:
    """Which of the layers that may be kept a cell's fits read the frames of, from the store."""
    if reads == "vectors" or (reads == "backbone" and not spec.fine_tune.cache):
        return ()
    if recipe is not None and isinstance(recipe.layer, int):
        if reads == "frames":
            return (recipe.layer,)
        fixed = HEADS.reading(head, reads).build(
            recipe.params, pooling="mean", random_state=0, n_jobs=1
        )
        start = fixed.reads_from(recipe.layer)
        return () if start is None else (start,)
    # an accelerator can afford to train everything above the feature encoder
    return (STEM, *layers) if reads == "backbone" and spec.accelerator else layers
