"""The conformance suite passes what is right and catches what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

import backbones
from backbones import Backbone, BackboneInfo, Frames
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


BY_NAME = {check.__name__: check for check in CHECKS}
# These classes live next to `import torch`, which is what this check is about.
LISTING = "check_listing_is_light"


@pytest.mark.parametrize("name", sorted(BY_NAME.keys() - {LISTING}))
def test_correct_backbone_passes(name: str) -> None:
    BY_NAME[name](Subject(Framer))


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
    ],
)
def test_wrong_backbone_fails_its_check_with_a_sentence(cls: type[Backbone], name: str) -> None:
    with pytest.raises(AssertionError, match=r"\w+ \w+ \w+"):
        BY_NAME[name](Subject(cls))


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
