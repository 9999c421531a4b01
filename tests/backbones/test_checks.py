"""The conformance suite passes what is right and catches what is wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import backbones
from backbones import STEM, Backbone, BackboneInfo, Frames
from backbones.checks import CHECKS, Subject, check_backbone, parametrize_with_checks

INFO = BackboneInfo(
    name="framer",
    summary="means of 10 ms",
    weights_id=None,
    revision=None,
    licence="MIT",
    sample_rate=16_000,
    layers=1,
    width=4,
    frame_rate=100.0,
    max_seconds=30.0,
    attention_mask=True,
    normalised=False,
)


class Framer(Backbone):
    """A correct little backbone: four numbers per 10 ms."""

    info = INFO

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        pass

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        counts = lengths.clamp(min=160) // 160
        waves = torch.nn.functional.pad(waves, (0, max(0, 160 - waves.shape[1])))
        frames = waves.unfold(1, 160, 160)
        bands = frames.unflatten(2, (4, 40)).square().mean(dim=3)
        return Frames.same_lengths([bands + 1e-3], counts)


class PoolsPadding(Framer):
    """Counts padding as frames of the clip."""

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        frames = super().encode(waves, lengths)
        everything = torch.full_like(lengths, frames.hidden[0].shape[1])
        return Frames.same_lengths(frames.hidden, everything)


class SeesPadding(Framer):
    """Subtracts the mean over the batch's time axis, padding included."""

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        frames = super().encode(waves, lengths)
        hidden = [h - h.mean(dim=1, keepdim=True) for h in frames.hidden]
        return Frames(hidden, frames.lengths)


class Dithers(Framer):
    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        frames = super().encode(waves, lengths)
        return Frames([h + 1e-4 * torch.randn_like(h) for h in frames.hidden], frames.lengths)


class DividesBySilence(Framer):
    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        loudest = waves.abs().amax(dim=1, keepdim=True)
        return super().encode(waves / loudest, lengths)


class WritesIntoItsInput(Framer):
    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        return super().encode(waves.mul_(0.5), lengths)


class Seeds(Framer):
    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        torch.manual_seed(0)


class KeepsTheGraph(Framer):
    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        return super().encode(waves.clone().requires_grad_(), lengths)


class WrongRate(Framer):
    info = replace(INFO, frame_rate=50.0)


class WrongWidth(Framer):
    info = replace(INFO, width=8)


class NeedsHalfASecond(Framer):
    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        frames = super().encode(waves, lengths)
        return Frames(frames.hidden, [n * (lengths > 8000) for n in frames.lengths])


class NoLicence(Framer):
    info = replace(INFO, licence=" ")


class Mixer(nn.Module):
    """A block whose frames see the mean of their clip."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, hidden: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        number = valid.sum(dim=1, keepdim=True)
        mean = hidden.masked_fill(~valid, 0).sum(dim=1, keepdim=True) / number
        return hidden + self.linear(hidden - mean).tanh() + mean


class Part(nn.Module):
    def __init__(self, blocks: nn.ModuleList, norm: nn.Module | None, stem: bool) -> None:
        super().__init__()
        self.blocks, self.norm, self.stem = blocks, norm, stem

    def forward(self, hidden: torch.Tensor, lengths: torch.Tensor) -> Frames:
        valid = (torch.arange(hidden.shape[1]) < lengths[:, None])[..., None]
        layers = [hidden] if self.stem else []
        for block in self.blocks:
            layers.append(block(self.between(layers[-1] if layers else hidden), valid))
        if self.norm is not None:
            layers[-1] = self.norm(layers[-1])
        return Frames.same_lengths(layers, lengths)

    def between(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden


class Trainee(Framer):
    """A correct little backbone with three blocks that can be trained."""

    info = replace(INFO, name="trainee", layers=4, trainable=True)
    part: type[Part] = Part

    def load(self, device: str = "cpu", dtype: str = "float32") -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.blocks = nn.ModuleList(Mixer() for _ in range(3)).requires_grad_(False)
            self.norm = nn.LayerNorm(4).requires_grad_(False)

    def encode(self, waves: torch.Tensor, lengths: torch.Tensor) -> Frames:
        frames = super().encode(waves, lengths)
        return Part(self.blocks, self.norm, True)(frames.hidden[0], frames.lengths[0])

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        frames = super().encode(waves, lengths)
        (hidden,), (counts, *_) = frames.hidden, frames.lengths
        padding = torch.arange(hidden.shape[1]) >= counts[:, None]
        return hidden.masked_fill(padding[..., None], 0), counts

    def tail(self, start: int, stop: int) -> nn.Module:
        if not STEM <= start < stop <= 3:
            raise ValueError(f"no part from {start} to {stop}")
        blocks = self.blocks[max(start, 0) : stop]
        norm = self.norm if stop == 3 else None
        return copy.deepcopy(self.part(blocks, norm, start == STEM)).requires_grad_(True)


class TrainsUnannounced(Trainee):
    info = replace(Trainee.info, trainable=False)


class StemKeepsPadding(Trainee):
    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden, counts = super().stem(waves, lengths)
        return hidden + 1e-3, counts


class StemKeepsTheGraph(Trainee):
    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return super().stem(waves.clone().requires_grad_(), lengths)


class StemForgetsASample(Trainee):
    """Its stem is not what `encode` starts from."""

    def stem(self, waves: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return super().stem(waves.roll(1, dims=1), lengths)


class TailSeesPadding(Trainee):
    class part(Part):  # noqa: N801
        def forward(self, hidden: torch.Tensor, lengths: torch.Tensor) -> Frames:
            everything = torch.full_like(lengths, hidden.shape[1])
            return Frames.same_lengths(super().forward(hidden, everything).hidden, lengths)


class TailDropsOut(Trainee):
    """In evaluation mode too."""

    class part(Part):  # noqa: N801
        def between(self, hidden: torch.Tensor) -> torch.Tensor:
            return nn.functional.dropout(hidden, 0.1)


class TailForgetsLayerZero(Trainee):
    class part(Part):  # noqa: N801
        def forward(self, hidden: torch.Tensor, lengths: torch.Tensor) -> Frames:
            frames = super().forward(hidden, lengths)
            return Frames(frames.hidden[self.stem :], frames.lengths[self.stem :])


class TailStartsAtTheFirstBlock(Trainee):
    def tail(self, start: int, stop: int) -> nn.Module:
        return super().tail(min(start, 0), stop - max(start, 0))


class TailForgetsTheNorm(Trainee):
    def tail(self, start: int, stop: int) -> nn.Module:
        part = super().tail(start, stop)
        part.norm = None
        return part


class TailNormalisesEveryPart(Trainee):
    def tail(self, start: int, stop: int) -> nn.Module:
        part = super().tail(start, stop)
        part.norm = copy.deepcopy(self.norm).requires_grad_(True)
        return part


class TailOfAnything(Trainee):
    def tail(self, start: int, stop: int) -> nn.Module:
        return super().tail(0, 3)


class TailIsCut(Trainee):
    class part(Part):  # noqa: N801
        def between(self, hidden: torch.Tensor) -> torch.Tensor:
            return hidden.detach()


class TailIsFrozen(Trainee):
    def tail(self, start: int, stop: int) -> nn.Module:
        return super().tail(start, stop).requires_grad_(False)


class TailIsShort(Trainee):
    def tail(self, start: int, stop: int) -> nn.Module:
        return super().tail(start, stop).bfloat16()


class TailIsNoCopy(Trainee):
    def tail(self, start: int, stop: int) -> nn.Module:
        part = super().tail(start, stop)
        part.blocks = self.blocks[max(start, 0) : stop].requires_grad_(True)
        return part


BY_NAME = {check.__name__: check for check in CHECKS}
# These classes live next to `import torch`, which is what this check is about.
LISTING = "check_listing_is_light"


@pytest.mark.parametrize("cls", [Framer, Trainee])
@pytest.mark.parametrize("name", sorted(BY_NAME.keys() - {LISTING}))
def test_correct_backbone_passes(name: str, cls: type[Backbone]) -> None:
    BY_NAME[name](Subject(cls))


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (PoolsPadding, "check_padding_changes_nothing"),
        (PoolsPadding, "check_lengths_fit_the_frames"),
        (SeesPadding, "check_padding_changes_nothing"),
        (Dithers, "check_encoding_is_repeatable"),
        (DividesBySilence, "check_values_are_finite"),
        (WritesIntoItsInput, "check_input_is_left_alone"),
        (Seeds, "check_loading_is_repeatable"),
        (KeepsTheGraph, "check_no_gradient_is_recorded"),
        (WrongRate, "check_frame_rate_matches_metadata"),
        (WrongWidth, "check_layers_match_metadata"),
        (NeedsHalfASecond, "check_short_clips_are_encoded"),
        (NoLicence, "check_metadata_is_complete"),
        (TrainsUnannounced, "check_untrainable_backbone_says_so"),
        (StemKeepsPadding, "check_stem_is_zero_after_each_clip"),
        (StemKeepsTheGraph, "check_stem_is_zero_after_each_clip"),
        (StemForgetsASample, "check_tail_from_the_stem_repeats_encode"),
        (TailForgetsLayerZero, "check_tail_from_the_stem_repeats_encode"),
        (TailSeesPadding, "check_tail_from_the_stem_repeats_encode"),
        (TailSeesPadding, "check_tail_from_layer_zero_repeats_encode"),
        (TailDropsOut, "check_tail_from_layer_zero_repeats_encode"),
        (TailForgetsTheNorm, "check_tail_from_layer_zero_repeats_encode"),
        (TailSeesPadding, "check_tail_from_the_middle_repeats_encode"),
        (TailStartsAtTheFirstBlock, "check_tail_from_the_middle_repeats_encode"),
        (TailNormalisesEveryPart, "check_tail_to_the_middle_repeats_encode"),
        (TailOfAnything, "check_parts_that_do_not_exist_are_refused"),
        (TailIsCut, "check_gradients_reach_every_parameter"),
        (TailIsFrozen, "check_gradients_reach_every_parameter"),
        (TailIsShort, "check_gradients_reach_every_parameter"),
        (TailIsNoCopy, "check_training_leaves_the_backbone_alone"),
    ],
)
def test_wrong_backbone_fails_its_check_with_a_sentence(cls: type[Backbone], name: str) -> None:
    with pytest.raises(AssertionError, match=r"\w+ \w+ \w+"):
        BY_NAME[name](Subject(cls))


def test_untrainable_backbone_is_asked_nothing_else() -> None:
    """A plugin without `stem` and `tail` passes: training is an offer, not a duty."""
    assert not Framer.info.trainable
    assert [r.name for r in check_backbone(Framer) if not r.passed] == [LISTING]


def test_every_check_has_a_backbone_that_fails_it() -> None:
    marks = test_wrong_backbone_fails_its_check_with_a_sentence.pytestmark
    failed = {name for _, name in marks[0].args[1]}
    assert failed == BY_NAME.keys() - {LISTING}


def test_every_check_is_reported() -> None:
    results = {result.name: result for result in check_backbone(WrongWidth)}
    assert results.keys() == BY_NAME.keys()
    failed = {name: r.problem for name, r in results.items() if not r.passed}
    assert failed.keys() == {LISTING, "check_layers_match_metadata"}
    assert failed["check_layers_match_metadata"] == "the last layer is 4 wide, the metadata say 8"


REGISTERED = [
    name for name, info in backbones.infos().items() if backbones.missing_extra(info) is None
]


@parametrize_with_checks(REGISTERED)
def test_registered_backbones_conform(backbone: Any, check: Callable[[Any], None]) -> None:
    check(backbone)
