"""Checks of `Backbone.stem` and `Backbone.tail`.

All but the first are about trainable backbones and apply to no other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from backbones._conformance.compare import Difference, by_layer, require_close, require_frames
from backbones._conformance.outcome import (
    CheckFailed,
    Measured,
    NotApplicable,
    require,
    require_equal,
)
from backbones._conformance.subject import BackboneSubject, Check
from backbones.base import STEM, Frames, NotTrainable

if TYPE_CHECKING:
    import torch

# What stands for padding in a batch: nothing an encoder would come up with, but finite.
JUNK = 7.0


def _if_trainable(check: Check) -> Check:
    @functools.wraps(check)
    def run(subject: BackboneSubject) -> Measured:
        if not subject.info.trainable:
            raise NotApplicable("INFO says so: trainable is False")
        return check(subject)

    return run


def check_untrainable_backbone_says_so(subject: BackboneSubject) -> Measured:
    """Where `info.trainable` is False, `stem` and `tail` raise `NotTrainable`."""
    if subject.info.trainable:
        raise NotApplicable("INFO says so: trainable is True")
    backbone, batch = subject.backbone, subject.batch(subject.lengths[:1])
    calls = (lambda: backbone.stem(*batch), lambda: backbone.tail(STEM, 0))
    for name, call in zip(("stem", "tail"), calls, strict=True):
        _require_raised(
            NotTrainable,
            call,
            f"trainable is False, but {name} does not say so",
            f"set trainable=True in INFO, or leave {name} to the base class",
        )
    return Measured("NotTrainable", "NotTrainable")


@_if_trainable
def check_stem_is_zero_after_each_clip(subject: BackboneSubject) -> Measured:
    """The stem's output is (batch, frames, width), zero in the padding, without a graph."""
    hidden, lengths = subject.backbone.stem(*subject.batch(subject.lengths))
    require_frames(hidden, lengths, len(subject.lengths), "the stem")
    require(
        not hidden.requires_grad,
        "stem records a graph",
        measured="requires_grad",
        limit="no graph",
        remedy="run it under torch.no_grad",
    )
    for clip, count in enumerate(lengths.tolist()):
        require_equal(
            int(hidden[clip, count:].count_nonzero()),
            0,
            f"the stem of clip {clip} is not zero after its {count} frames",
            "return zero_padding(hidden, lengths) of backbones._tensors.frames",
        )
    return Measured("0 values in the padding", "0")


@_if_trainable
def check_tail_from_the_stem_repeats_encode(subject: BackboneSubject) -> Measured:
    """From the stem's output `tail(STEM, last)` makes every layer as `encode` does."""
    return _compare_with_encode(subject, STEM, subject.last)


@_if_trainable
def check_tail_from_layer_zero_repeats_encode(subject: BackboneSubject) -> Measured:
    """From layer 0 `tail(0, last)` makes the other layers as `encode` does."""
    return _compare_with_encode(subject, 0, subject.last)


@_if_trainable
def check_tail_from_the_middle_repeats_encode(subject: BackboneSubject) -> Measured:
    """From a layer in the middle `tail` makes the later ones as `encode` does."""
    if subject.last < 2:
        raise NotApplicable("it has a single block")
    return _compare_with_encode(subject, subject.last // 2, subject.last)


@_if_trainable
def check_tail_to_the_middle_repeats_encode(subject: BackboneSubject) -> Measured:
    """A part that stops before the last layer is not normalised as the last one may be."""
    if subject.last < 2:
        raise NotApplicable("it has a single block")
    return _compare_with_encode(subject, 0, subject.last - 1)


@_if_trainable
def check_parts_that_do_not_exist_are_refused(subject: BackboneSubject) -> Measured:
    """`tail` raises ValueError where `stop` is not after `start`, or there is no such layer."""
    last = subject.last
    for start, stop in ((0, 0), (last, last), (last, 0), (STEM - 1, last), (0, last + 1)):
        _require_raised(
            ValueError,
            functools.partial(subject.backbone.tail, start, stop),
            f"tail({start}, {stop}) is given out, though the layers are 0 to {last}",
            "begin tail with check_part(start, stop, last) of backbones._tensors.frames",
        )
    return Measured("ValueError", "ValueError")


@_if_trainable
def check_gradients_reach_every_parameter(subject: BackboneSubject) -> Measured:
    """Every parameter of the whole tail is float32, to be trained, and gets a finite gradient."""
    hidden, lengths = subject.backbone.stem(*subject.batch(subject.lengths))
    tail = subject.backbone.tail(STEM, subject.last).train()
    parameters = dict(tail.named_parameters())
    require(
        bool(parameters),
        "the tail from the stem to the last layer has nothing to train",
        measured="0 parameters",
        limit="at least 1",
        remedy="return a module that owns copies of the blocks",
    )
    for name, parameter in parameters.items():
        frozen = "" if parameter.requires_grad else ", frozen"
        require_equal(
            f"{parameter.dtype} on {parameter.device}{frozen}",
            f"torch.float32 on {hidden.device}",
            f"{name} of the tail is frozen, of another type or on another device than the backbone",
            "copy the blocks with trainable() of backbones._tensors.frames",
        )
    _backward(tail, hidden, lengths)
    for name, parameter in parameters.items():
        grad = parameter.grad
        require(
            grad is not None and bool(grad.isfinite().all()),
            f"{name} of the tail gets no finite gradient from the last layer",
            measured="none" if grad is None else "not finite",
            limit="a finite one",
            remedy="let nothing detach the frames on their way, and leave out of the module what "
            "does not contribute",
        )
    return Measured(f"{len(parameters)} of {len(parameters)} parameters", "all")


@_if_trainable
def check_training_leaves_the_backbone_alone(subject: BackboneSubject) -> Measured:
    """After a training step on a tail, `encode` still gives the numbers it gave before."""
    import torch

    last = subject.last
    copies = "give out copies: trainable() of backbones._tensors.frames makes them"
    # one of its own: if this goes wrong, other checks must not meet what is left
    backbone = subject.fresh()
    before = backbone.encode(*subject.batch(subject.lengths[:1]))
    tail = backbone.tail(0, last).train()
    _backward(tail, before.hidden[0].detach(), before.lengths[0])
    with torch.no_grad():
        for parameter in tail.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad.sign())
    after = backbone.encode(*subject.batch(subject.lengths[:1]))
    for number, (first, second) in enumerate(zip(before.hidden, after.hidden, strict=True)):
        require(
            first.requires_grad or not second.requires_grad,
            f"layer {number} of encode records a graph since there is a tail",
            measured="requires_grad",
            limit="no graph",
            remedy=copies,
        )
    return require_close(
        by_layer(before, 0, after, 0, "encode"),
        "{} changes with a training step on a tail",
        copies,
    )


def _require_raised(
    error: type[Exception], call: Callable[[], object], problem: str, remedy: str
) -> None:
    try:
        call()
    except error:
        return
    raise CheckFailed(problem, measured="no error", limit=error.__name__, remedy=remedy)


def _compare_with_encode(subject: BackboneSubject, start: int, stop: int) -> Measured:
    """Feed a part with what `encode` or `stem` gave, and compare all of its layers."""
    import torch

    tail = subject.backbone.tail(start, stop).eval()
    batches = [([n], frames) for n, frames in zip(subject.lengths, subject.alone, strict=True)]
    if subject.info.attention_mask or start != STEM:
        batches.append((subject.lengths, subject.together))
    differences: list[Difference] = []
    for clips, expected in batches:
        with torch.no_grad():
            found = tail(*_entering(subject, start, clips, expected))
        require_equal(
            len(found.hidden),
            stop - start,
            f"tail({start}, {stop}) returns another number of layers",
            "return the layers after start up to stop, layer 0 for STEM included",
        )
        part = slice(start + 1, stop + 1)
        wanted = Frames(expected.hidden[part], expected.lengths[part])
        how = "alone" if len(clips) == 1 else "in a padded batch"
        for row, length in enumerate(clips):
            what = f"a clip of {length} samples {how}"
            differences += by_layer(wanted, row, found, row, what, start + 1)
    return require_close(
        differences,
        f"tail({start}, {stop}) does not repeat encode in {{}}",
        "make the part of the same blocks, masks, norms and valid lengths as encode uses, each "
        "where encode has it",
    )


def _entering(
    subject: BackboneSubject, start: int, clips: Sequence[int], encoded: Frames
) -> tuple[torch.Tensor, torch.Tensor]:
    if start == STEM:
        return subject.backbone.stem(*subject.batch(clips))
    hidden, lengths = encoded.hidden[start].detach().clone(), encoded.lengths[start]
    for clip, count in enumerate(lengths.tolist()):
        hidden[clip, count:] = JUNK
    return hidden, lengths


def _backward(tail: torch.nn.Module, hidden: torch.Tensor, lengths: torch.Tensor) -> None:
    """Gradients of a made-up loss on the valid frames of the last layer."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        frames = tail(hidden, lengths)
        counts = frames.lengths[-1].tolist()
        last = torch.cat([frames.hidden[-1][clip, :count] for clip, count in enumerate(counts)])
        # not a plain sum: that of a normalised layer has no gradient
        weight = torch.randn(last.shape).to(last)
        if last.requires_grad:
            (last * weight).sum().backward()
