"""Which backbone, pooling and head fit together, and why the others do not."""

from __future__ import annotations

from collections.abc import Sequence

from backbones import BackboneInfo
from bench.features.pooling import POOLINGS, get_pooling
from bench.plugins import HEADS
from heads.base import Reads

# The pooling that stands for all, where a clip is one frame.
_OF_ONE_FRAME = "mean"
_READS: dict[Reads, str] = {"frames": "frames", "backbone": "a backbone that it trains"}


def reads(pooling: str, head: str) -> Reads:
    """What a head is fitted on under a pooling: a live backbone only where nothing cheaper does."""
    kinds = HEADS.get(head)
    frozen: Reads = "frames" if get_pooling(pooling).learnt else "vectors"
    return "backbone" if frozen not in kinds and "backbone" in kinds else frozen


def skip(infos: Sequence[BackboneInfo], name: str, pooling: str, head: str) -> str | None:
    """Why a combination cannot be run, in one sentence; None where it can.

    Args:
        infos: of a backbone, or of those of a fusion.
        name: of the backbone or fusion.
    """
    kind = reads(pooling, head)
    if kind != "vectors" and name != infos[0].name and kind in HEADS.get(head):
        return (
            f"{name} is a fusion of pooled vectors, and {head} under {pooling} pooling reads "
            f"{_READS[kind]}: use one backbone with all its layers, or another head or pooling"
        )
    backbone = infos[0]
    if kind == "backbone" and not backbone.trainable:
        nothing = "it has no weights" if not backbone.needs_weights else "its plugin offers none"
        return (
            f"{head} trains the backbone, and {backbone.name} has no part to train ({nothing}): "
            "use another backbone, or another head"
        )
    per_clip = all(info.per_clip for info in infos)
    if kind == "vectors" and per_clip and pooling != _OF_ONE_FRAME:
        return (
            f"{name} gives one vector per clip, which {pooling} pooling leaves as it is: "
            f"use {_OF_ONE_FRAME}, whose rows stand for both"
        )
    if kind not in HEADS.get(head):
        learners = sorted(
            name for name in HEADS.names() if HEADS.get(name).keys() & {"frames", "backbone"}
        )
        fixed = ", ".join(name for name, other in POOLINGS.items() if not other.learnt)
        return (
            f"{pooling} pooling is learnt together with the head, and {head} is fitted on fixed "
            f"vectors: use {' or '.join(learners)}, or a pooling of {fixed}"
        )
    return None
