"""Checks of what a batch may do to a clip: nothing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cache

from backbones._conformance.compare import (
    as_percent,
    largest,
    pooled,
    require_close,
    require_frames,
)
from backbones._conformance.outcome import Measured, NotApplicable, require, require_equal
from backbones._conformance.subject import BackboneSubject, pad
from backbones.base import Frames

# A relative change of 4 % still means a cosine of 0.999.
PADDING_CHANGE = 0.04
PADDING_COSINE = 0.999
BATCH = 16
BATCH_SECONDS = 0.4
SWEEP_SECONDS = 0.5
# A clip this much longer than a window is cut into two.
LONG = 1.1


def check_lengths_fit_the_frames(subject: BackboneSubject) -> Measured:
    """Layers are (batch, frames, width); valid frame counts int64, per clip, within the frames."""
    layers = zip(subject.together.hidden, subject.together.lengths, strict=True)
    for number, (hidden, lengths) in enumerate(layers):
        require_frames(hidden, lengths, len(subject.lengths), f"layer {number}")
    return Measured("int64, within the frames", "1 to the number of frames")


def check_lengths_follow_the_models_arithmetic(subject: BackboneSubject) -> Measured:
    """Valid frames are those the model makes of a clip alone, on both sides of a frame's edge.

    The sample counts where one more frame comes out are searched for. There, a clip alone has no
    padding, so that all its frames are valid; and in a padded batch it has as many. Only a model
    that fills every clip up to one size may have more frames than valid ones.
    """
    sweep = _around_the_edges(subject)
    alone = [subject.encode([n]) for n in sweep]
    batch = subject.encode(sweep)
    for number, lengths in enumerate(batch.lengths):
        made = [frames.hidden[number].shape[1] for frames in alone]
        valid = [int(frames.lengths[number][0]) for frames in alone]
        filled_up = len(set(made)) == 1 and len(set(valid)) > 1
        for position, samples in enumerate(sweep):
            if not filled_up:
                require_equal(
                    valid[position],
                    made[position],
                    f"layer {number}: a clip of {samples} samples, alone, has more or fewer valid "
                    "frames than the model makes of it",
                    "compute valid lengths with the model's own strides and kernels, not by "
                    "length / hop",
                )
            require_equal(
                int(lengths[position]),
                valid[position],
                f"layer {number}: a clip of {samples} samples has more or fewer valid frames in a "
                "padded batch than alone",
                "compute valid lengths from the clip's own length",
            )
    return Measured(f"equal for {len(sweep)} lengths from {sweep[0]} samples on", "no difference")


def _around_the_edges(subject: BackboneSubject) -> list[int]:
    """Sample counts just before and at which one more frame is made, or said to be valid."""
    start = subject.samples(SWEEP_SECONDS)

    @cache
    def encode(samples: int) -> Frames:
        return subject.encode([samples])

    in_frames = [i for i, n in enumerate(encode(start).lengths) if int(n[0]) > 1]
    if not in_frames:
        raise NotApplicable("every layer is one vector per clip")
    layer = in_frames[-1]
    ways: Sequence[Callable[[Frames], int]] = (
        lambda frames: int(frames.hidden[layer].shape[1]),
        lambda frames: int(frames.lengths[layer][0]),
    )
    wanted = {start, start + subject.hop}
    for count in ways:
        low, high = start, min(start + 2 * subject.hop, subject.longest)
        few = count(encode(low))
        if count(encode(high)) == few:
            continue
        edges = range(low, high)
        high = low + bisect_right(edges, few, key=lambda samples: count(encode(samples)))
        wanted |= {high - 1, high, high + subject.hop - 1, high + subject.hop}
    return sorted(n for n in wanted if n <= subject.longest)


def check_padding_changes_nothing(subject: BackboneSubject) -> Measured:
    """Mean and maximum over a clip's frames are the same alone and in a padded batch.

    The measure is the length of the difference relative to the vector. It bounds the cosine (to at
    least 0.999) and, other than the cosine, notices a mean that silence has diluted. A backbone
    without an attention mask is only ever given clips of one length by the harness.
    """
    worst = largest(
        found
        for clip, (samples, alone) in enumerate(zip(subject.lengths, subject.alone, strict=True))
        for found in pooled(alone, 0, subject.padded, clip, f"a clip of {samples} samples")
    )
    kept = worst.change <= PADDING_CHANGE and worst.cosine >= PADDING_COSINE
    if not kept and not subject.info.attention_mask:
        raise NotApplicable(
            f"padding changes {worst.where} by {as_percent(worst.change)}, but attention_mask is "
            "False, so that the harness never pads for it"
        )
    return require(
        kept,
        f"padding in a batch changes {worst.where}",
        measured=worst,
        limit=f"{PADDING_CHANGE:.0%}, cosine {PADDING_COSINE}",
        remedy="mask the padding inside the model; if it cannot be masked, set "
        "attention_mask=False in INFO",
    )


def check_order_of_the_batch_changes_nothing(subject: BackboneSubject) -> Measured:
    """Clips in another order give the same results in that order."""
    if subject.info.attention_mask:
        waves = [subject.clip(n) for n in sorted(subject.lengths)]
    else:
        waves = [subject.clip(subject.lengths[0], number) for number in range(3)]
    last = len(waves) - 1
    forwards = subject.backbone.encode(*pad(waves))
    backwards = subject.backbone.encode(*pad(waves[::-1]))
    return require_close(
        (
            found
            for row in range(last + 1)
            for found in pooled(forwards, row, backwards, last - row, f"clip {row} of {last + 1}")
        ),
        "the order of the batch changes {}",
        "return the rows in the order they were given, and let none see another",
    )


def check_size_of_the_batch_changes_nothing(subject: BackboneSubject) -> Measured:
    """A clip among sixteen of its length gives what it gives alone."""
    length = subject.samples(BATCH_SECONDS)
    waves = [subject.clip(length, number) for number in range(BATCH)]
    batch = subject.backbone.encode(*pad(waves))
    rows = (0, BATCH // 2, BATCH - 1)
    alone = {row: subject.backbone.encode(*pad([waves[row]])) for row in rows}
    return require_close(
        (
            found
            for row, frames in alone.items()
            for found in pooled(frames, 0, batch, row, f"clip {row} of {BATCH}")
        ),
        f"a batch of {BATCH} changes {{}}",
        "let no row of a batch see another: no statistics over the batch",
    )


def check_windows_are_clips_of_their_own(subject: BackboneSubject) -> Measured:
    """Windows of a long clip do not know of each other.

    The harness cuts a clip longer than `max_seconds` into equal windows and weights each by its
    frames. That is the whole clip only if a window gives the same whether it comes after its
    neighbour or in one batch with it, and if windows of one length have one number of frames.
    """
    edge = int(subject.longest * LONG) // 2
    clip = subject.clip(2 * edge)
    windows = [subject.scaled(part) for part in (clip[:edge], clip[edge:])]
    first = subject.backbone.encode(*pad(windows[:1]))
    second = subject.backbone.encode(*pad(windows[1:]))
    batch = subject.backbone.encode(*pad(windows))
    require_equal(
        [int(count) for count in first.lengths],
        [int(count) for count in second.lengths],
        f"two windows of {edge} samples have different numbers of frames",
        "let the number of frames depend on the number of samples only",
    )
    return require_close(
        (
            *pooled(first, 0, batch, 0, "a window, in one batch with the next"),
            *pooled(second, 0, batch, 1, "a window, after the one before or in one batch with it"),
        ),
        "what is encoded before or beside changes {}",
        "keep nothing from one call of encode to the next",
    )
