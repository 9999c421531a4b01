"""The conformance checks of `Backbone.stem` and `Backbone.tail`.

All but the first are about trainable backbones and pass without looking at any other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from backbones._subject import Subject, valid_layers
from backbones.base import STEM, Frames, NotTrainable

if TYPE_CHECKING:
    import torch

# The same arithmetic in the same precision: only the order of sums may differ.
TAIL_CHANGE = 1e-3
# What stands for padding in a batch: nothing an encoder would come up with, but finite.
JUNK = 7.0

Check = Callable[[Subject], None]


def _if_trainable(check: Check) -> Check:
    @functools.wraps(check)
    def run(subject: Subject) -> None:
        if subject.info.trainable:
            check(subject)

    return run


def check_untrainable_backbone_says_so(subject: Subject) -> None:
    """Where `info.trainable` is False, `stem` and `tail` raise `NotTrainable`."""
    if subject.info.trainable:
        return
    backbone, batch = subject.backbone, subject.batch(subject.lengths[:1])
    calls: tuple[tuple[str, Callable[[], object]], ...] = (
        ("stem", lambda: backbone.stem(*batch)),
        ("tail", lambda: backbone.tail(STEM, 0)),
    )
    for name, call in calls:
        try:
            call()
        except NotTrainable:
            continue
        raise AssertionError(f"{name} must raise NotTrainable, since trainable is False")


@_if_trainable
def check_stem_is_zero_after_each_clip(subject: Subject) -> None:
    """The stem's output is (batch, frames, width), zero in the padding, without a graph."""
    import torch

    clips = len(subject.lengths)
    hidden, lengths = subject.backbone.stem(*subject.batch(subject.lengths))
    assert hidden.ndim == 3, f"stem returned the shape {tuple(hidden.shape)}, not (B, T, D)"
    assert lengths.dtype == torch.int64, f"stem returned lengths of {lengths.dtype}, not int64"
    assert lengths.shape == (clips,), (
        f"stem returned lengths of shape {tuple(lengths.shape)} for {clips} clips"
    )
    assert not hidden.requires_grad, "stem recorded a graph; run it under torch.no_grad"
    for clip, count in enumerate(lengths.tolist()):
        assert 0 < count <= hidden.shape[1], f"length {count} for {hidden.shape[1]} frames"
        assert not bool(hidden[clip, count:].any()), (
            f"the stem of clip {clip} is not zero after its {count} frames"
        )


@_if_trainable
def check_tail_from_the_stem_repeats_encode(subject: Subject) -> None:
    """From the stem's output `tail(STEM, last)` makes every layer as `encode` does."""
    _compare_with_encode(subject, STEM, subject.last)


@_if_trainable
def check_tail_from_layer_zero_repeats_encode(subject: Subject) -> None:
    """From layer 0 `tail(0, last)` makes the other layers as `encode` does."""
    _compare_with_encode(subject, 0, subject.last)


@_if_trainable
def check_tail_from_the_middle_repeats_encode(subject: Subject) -> None:
    """From a layer in the middle `tail` makes the later ones as `encode` does."""
    if subject.last > 1:
        _compare_with_encode(subject, subject.last // 2, subject.last)


@_if_trainable
def check_tail_to_the_middle_repeats_encode(subject: Subject) -> None:
    """A part that stops before the last layer is not normalised as the last one may be."""
    if subject.last > 1:
        _compare_with_encode(subject, 0, subject.last - 1)


@_if_trainable
def check_parts_that_do_not_exist_are_refused(subject: Subject) -> None:
    """`tail` raises ValueError where `stop` is not after `start`, or there is no such layer."""
    last = subject.last
    for start, stop in ((0, 0), (last, last), (last, 0), (STEM - 1, last), (0, last + 1)):
        try:
            subject.backbone.tail(start, stop)
        except ValueError:
            continue
        raise AssertionError(
            f"tail({start}, {stop}) must raise ValueError, the layers are 0 to {last}"
        )


@_if_trainable
def check_gradients_reach_every_parameter(subject: Subject) -> None:
    """Every parameter of the whole tail is float32, to be trained, and gets a finite gradient."""
    hidden, lengths = subject.backbone.stem(*subject.batch(subject.lengths))
    tail = subject.backbone.tail(STEM, subject.last).train()
    parameters = dict(tail.named_parameters())
    assert parameters, "the tail from the stem to the last layer has no parameters"
    for name, parameter in parameters.items():
        assert str(parameter.dtype) == "torch.float32", f"{name} is {parameter.dtype}"
        assert parameter.requires_grad, f"{name} of the tail does not require gradients"
        assert parameter.device == hidden.device, (
            f"{name} of the tail is on {parameter.device}, the backbone on {hidden.device}"
        )
    _backward(tail, hidden, lengths)
    for name, parameter in parameters.items():
        assert parameter.grad is not None, f"no gradient reaches {name} from the last layer"
        assert bool(parameter.grad.isfinite().all()), f"the gradient of {name} is not finite"


@_if_trainable
def check_training_leaves_the_backbone_alone(subject: Subject) -> None:
    """After a training step on a tail, `encode` still gives the numbers it gave before."""
    import torch

    # one of its own: if this goes wrong, other checks must not meet what is left
    backbone = subject.cls(subject.weights)
    backbone.load()
    batch = subject.batch(subject.lengths[:1])
    before = backbone.encode(*batch)
    tail = backbone.tail(0, subject.last).train()
    _backward(tail, before.hidden[0], before.lengths[0])
    with torch.no_grad():
        for parameter in tail.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad.sign())
    after = backbone.encode(*batch)
    for number, (first, second) in enumerate(zip(before.hidden, after.hidden, strict=True)):
        assert bool((first == second).all()), (
            f"layer {number} of encode changed with a training step on a tail, which must be a copy"
        )
        assert not second.requires_grad, f"layer {number} records a graph since there is a tail"


TRAINING_CHECKS: tuple[Check, ...] = (
    check_untrainable_backbone_says_so,
    check_stem_is_zero_after_each_clip,
    check_tail_from_the_stem_repeats_encode,
    check_tail_from_layer_zero_repeats_encode,
    check_tail_from_the_middle_repeats_encode,
    check_tail_to_the_middle_repeats_encode,
    check_parts_that_do_not_exist_are_refused,
    check_gradients_reach_every_parameter,
    check_training_leaves_the_backbone_alone,
)


def _compare_with_encode(subject: Subject, start: int, stop: int) -> None:
    """Feed a part with what `encode` or `stem` gave, and compare all of its layers."""
    import torch

    tail = subject.backbone.tail(start, stop).eval()
    batches = [([n], frames) for n, frames in zip(subject.lengths, subject.alone, strict=True)]
    for clips, expected in [*batches, (subject.lengths, subject.together)]:
        with torch.no_grad():
            found = tail(*_entering(subject, start, clips, expected))
        assert len(found.hidden) == stop - start, (
            f"tail({start}, {stop}) returned {len(found.hidden)} layers, not {stop - start}"
        )
        part = slice(start + 1, stop + 1)
        wanted = Frames(expected.hidden[part], expected.lengths[part])
        how = "alone" if len(clips) == 1 else "in a padded batch"
        _compare(found, wanted, clips, first=start + 1, source=f"tail({start}, {stop})", how=how)


def _entering(
    subject: Subject, start: int, clips: Sequence[int], encoded: Frames
) -> tuple[torch.Tensor, torch.Tensor]:
    if start == STEM:
        return subject.backbone.stem(*subject.batch(clips))
    hidden, lengths = encoded.hidden[start].clone(), encoded.lengths[start]
    for clip, count in enumerate(lengths.tolist()):
        hidden[clip, count:] = JUNK
    return hidden, lengths


def _compare(
    found: Frames, wanted: Frames, clips: Sequence[int], *, first: int, source: str, how: str
) -> None:
    for clip, length in enumerate(clips):
        pairs = zip(valid_layers(wanted, clip), valid_layers(found, clip), strict=True)
        for number, (expected, made) in enumerate(pairs, start=first):
            what = f"layer {number} of {source} for a clip of {length} samples {how}"
            assert made.shape == expected.shape, (
                f"{what} is {tuple(made.shape)}, encode gives {tuple(expected.shape)}"
            )
            change = float((made - expected).norm() / expected.norm().clamp_min(1e-6))
            assert change <= TAIL_CHANGE, (
                f"{what} differs from encode by {change:.2%}, at most {TAIL_CHANGE:.1%} wanted"
            )


def _backward(tail: torch.nn.Module, hidden: torch.Tensor, lengths: torch.Tensor) -> None:
    """Gradients of a made-up loss on the valid frames of the last layer."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        frames = tail(hidden, lengths)
        counts = frames.lengths[-1].tolist()
        last = torch.cat([frames.hidden[-1][clip, :count] for clip, count in enumerate(counts)])
        # not a plain sum: that of a normalised layer has no gradient
        (last * torch.randn(last.shape).to(last)).sum().backward()
