"""Which layers' frames are kept, where learnt pooling or fine-tuning reads them."""

from __future__ import annotations

from backbones import STEM, BackboneInfo, Weights
from bench.features.frames import frames_bytes
from bench.tuning.fits.vectors import Draw
from heads import Head

_GIGABYTE = 1e9


def kept(info: BackboneInfo, weights: Weights, seconds: float, gigabytes: float) -> tuple[int, ...]:
    """Layers whose frames may be read: all of them, or as many as the disk may hold.

    Args:
        info: metadata of the backbone.
        weights: those it runs with.
        seconds: sound in all clips.
        gigabytes: most disk for one backbone's frames.

    Returns:
        Layers in order, evenly spaced where not all fit; none where not one does.
    """
    layers = info.layers_of(weights.size)
    per_layer = frames_bytes(info, seconds, 1) if weights.size == "full" else 0
    count = layers
    if per_layer:
        count = min(layers, int(gigabytes * _GIGABYTE / per_layer))
    return tuple(int((i + 0.5) * layers / count) for i in range(count))


def input_of(head: Head, draw: Draw) -> int | None:
    """Layer whose frames the first trained part reads, None where the head cannot say.

    Args:
        head: that trains the backbone, with the parameters drawn.
        draw: its layer is where the backbone is cut.
    """
    return head.reads_from(cut_of(draw))


def cut_of(draw: Draw) -> int:
    """Layer the backbone is cut after.

    Raises:
        ValueError: the draw is of a sum of layers.
    """
    if draw.layer == "weighted":
        raise ValueError("a backbone is cut after one layer, not after a sum of layers")
    return draw.layer


def start_of(cut: int, blocks: int | None) -> int:
    """The layer that the first trained block reads.

    Raises:
        ValueError: there are not so many blocks below the cut.
    """
    if blocks is None:
        return STEM
    if not 0 <= blocks <= cut:
        raise ValueError(f"{blocks} blocks cannot be trained below layer {cut}")
    return cut - blocks
