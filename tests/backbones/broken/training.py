"""Backbones that each break one promise about training, named by the check that `fails`."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backbones import STEM
from tests.backbones.broken.reference import INFO, Reference

if TYPE_CHECKING:
    import torch

LAST = 3


class TrainsUnannounced(Reference):
    fails = "check_untrainable_backbone_says_so"
    info = replace(INFO, trainable=False)


class StemKeepsPadding(Reference):
    fails = "check_stem_is_zero_after_each_clip"

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.front(waves, lengths)


class StemKeepsTheGraph(Reference):
    fails = "check_stem_is_zero_after_each_clip"

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return super().stem(waves.clone().requires_grad_(), lengths)


class StemForgetsASample(Reference):
    """It is not what `encode` starts from."""

    fails = "check_tail_from_the_stem_repeats_encode"

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return super().stem(waves.roll(1, dims=1), lengths)


class TailForgetsLayerZero(Reference):
    fails = "check_tail_from_the_stem_repeats_encode"

    def tail(self, start: int, stop: int) -> Any:
        part = super().tail(start, stop)
        part.layer_zero = False
        return part


class TailForgetsTheNorm(Reference):
    fails = "check_tail_from_layer_zero_repeats_encode"

    def tail(self, start: int, stop: int) -> Any:
        part = super().tail(start, stop)
        if start == 0:
            part.norm = None
        return part


class TailSeesPadding(Reference):
    fails = "check_tail_from_layer_zero_repeats_encode"

    def tail(self, start: int, stop: int) -> Any:
        from tests.backbones.broken.blocks import SeesPadding

        part = super().tail(start, stop)
        if (start, stop) == (0, LAST):
            part.__class__ = SeesPadding
        return part


class TailDropsOut(Reference):
    fails = "check_tail_from_the_middle_repeats_encode"

    def tail(self, start: int, stop: int) -> Any:
        from tests.backbones.broken.blocks import DropsOut

        part = super().tail(start, stop)
        if start > 0:
            part.__class__ = DropsOut
        return part


class TailStartsAtTheFirstBlock(Reference):
    fails = "check_tail_from_the_middle_repeats_encode"

    def tail(self, start: int, stop: int) -> Any:
        part = super().tail(start, stop)
        if start > 0:
            part.blocks = copy.deepcopy(self.network.blocks)[: stop - start].requires_grad_(True)
        return part


class TailNormalisesEveryPart(Reference):
    fails = "check_tail_to_the_middle_repeats_encode"

    def tail(self, start: int, stop: int) -> Any:
        part = super().tail(start, stop)
        part.norm = copy.deepcopy(self.network.norm).requires_grad_(True)
        return part


class TailOfAnything(Reference):
    fails = "check_parts_that_do_not_exist_are_refused"

    def tail(self, start: int, stop: int) -> Any:
        return super().tail(max(start, STEM), min(stop, LAST))


class TailIsCut(Reference):
    fails = "check_gradients_reach_every_parameter"

    def tail(self, start: int, stop: int) -> Any:
        from tests.backbones.broken.blocks import Cut

        part = super().tail(start, stop)
        part.__class__ = Cut
        return part


class TailIsFrozen(Reference):
    fails = "check_gradients_reach_every_parameter"

    def tail(self, start: int, stop: int) -> Any:
        return super().tail(start, stop).requires_grad_(False)


class TailIsDouble(Reference):
    fails = "check_gradients_reach_every_parameter"

    def tail(self, start: int, stop: int) -> Any:
        from tests.backbones.broken.blocks import Double

        part = super().tail(start, stop).double()
        part.__class__ = Double
        return part


class TailIsNoCopy(Reference):
    fails = "check_training_leaves_the_backbone_alone"

    def tail(self, start: int, stop: int) -> Any:
        part = super().tail(start, stop)
        part.blocks = self.network.blocks[max(start, 0) : stop].requires_grad_(True)
        return part
