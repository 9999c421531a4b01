"""Checks of what a batch may do to a clip: nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backbones._conformance.compare import (
    largest,
    percent,
    pooled,
    require_close,
    require_frames,
)
from backbones._conformance.outcome import Measured, NotApplicable, require
from backbones._conformance.subject import Subject, pad
from backbones.base import Frames

# A relative change of 4 % still means a cosine of 0.999.
PADDING_CHANGE = 0.04
PADDING_COSINE = 0.999
BATCH = 16
BATCH_SECONDS = 0.4
SWEEP_SECONDS = 0.5
# A clip this much longer than a window is cut into two.
LONG = 1.1


def check_lengths_fit_the_frames(subject: Subject) -> Measured:
    """Valid frame counts are int64, one per clip, and within the frames."""
    layers = zip(subject.together.hidden, subject.together.lengths, strict=True)
    for number, (hidden, lengths) in enumerate(layers):
        require_frames(hidden, lengths, len(subject.lengths), f"layer {number}")
    return Measured("int64, within the frames", "1 to the number of frames")


def check_lengths_follow_the_models_arithmetic(subject: Subject) -> Measured:
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
                require(
                    valid[position] == made[position],
                    f"layer {number}: a clip of {samples} samples, alone, has more or fewer valid "
                    "frames than the model makes of it",
                    measured=f"{valid[position]} valid frames",
                    limit=f"{made[position]} made",
                    remedy="compute valid lengths with the model's own strides and kernels, "
                    "not by length / hop",
                )
            require(
                int(lengths[position]) == valid[position],
                f"layer {number}: a clip of {samples} samples has more or fewer valid frames in a "
                "padded batch",
                measured=f"{int(lengths[position])} valid frames",
                limit=f"{valid[position]}, as alone",
                remedy="compute valid lengths from the clip's own length",
            )
    return Measured(f"equal for {len(sweep)} lengths from {sweep[0]} samples on", "no difference")


def _around_the_edges(subject: Subject) -> list[int]:
    """Sample counts just before and at which one more frame is made, or said to be valid."""
    start = subject.samples(SWEEP_SECONDS)
    encoded: dict[int, Frames] = {}

    def encode(samples: int) -> Frames:
        if samples not in encoded:
            encoded[samples] = subject.encode([samples])
        return encoded[samples]

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
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if count(encode(middle)) == few else (low, middle)
        wanted |= {low, high, high + subject.hop - 1, high + subject.hop}
    return sorted(n for n in wanted if n <= subject.longest)


def check_padding_changes_nothing(subject: Subject) -> Measured:
    """Mean and maximum over a clip's frames are the same alone and in a padded batch.

    The measure is the length of the difference relative to the vector. It bounds the cosine (to at
    least 0.999) and, other than the cosine, notices a mean that silence has diluted. A backbone
    without an attention mask is only ever given clips of one length by the harness.
    """
    worst = largest(
        pooled(alone, 0, subject.padded, clip, f"a clip of {subject.lengths[clip]} samples")
        for clip, alone in enumerate(subject.alone)
    )
    kept = worst.change <= PADDING_CHANGE and worst.cosine >= PADDING_COSINE
    limit = f"{PADDING_CHANGE:.0%}, cosine {PADDING_COSINE}"
    if not kept and not subject.info.attention_mask:
        raise NotApplicable(
            f"padding changes {worst.where} by {percent(worst.change)}, but attention_mask is "
            "False, so that the harness never pads for it"
        )
    require(
        kept,
        f"padding in a batch changes {worst.where}",
        measured=worst,
        limit=limit,
        remedy="mask the padding inside the model; if it cannot be masked, set "
        "attention_mask=False in INFO",
    )
    return Measured(str(worst), limit)


def check_order_of_the_batch_changes_nothing(subject: Subject) -> Measured:
    """Clips in another order give the same results in that order."""
    if subject.info.attention_mask:
        waves = [subject.clip(n) for n in sorted(subject.lengths)]
    else:
        waves = [subject.clip(subject.lengths[0], number) for number in range(3)]
    last = len(waves) - 1
    forwards = subject.backbone.encode(*pad(waves))
    backwards = subject.backbone.encode(*pad(waves[::-1]))
    worst = largest(
        pooled(forwards, row, backwards, last - row, f"clip {row} of {last + 1}")
        for row in range(last + 1)
    )
    return require_close(
        worst,
        "the order of the batch changes {}",
        "return the rows in the order they were given, and let none see another",
    )


def check_size_of_the_batch_changes_nothing(subject: Subject) -> Measured:
    """A clip among sixteen of its length gives what it gives alone."""
    length = subject.samples(BATCH_SECONDS)
    waves = [subject.clip(length, number) for number in range(BATCH)]
    batch = subject.backbone.encode(*pad(waves))
    worst = largest(
        pooled(subject.backbone.encode(*pad([waves[row]])), 0, batch, row, f"clip {row} of {BATCH}")
        for row in (0, BATCH // 2, BATCH - 1)
    )
    return require_close(
        worst,
        f"a batch of {BATCH} changes {{}}",
        "let no row of a batch see another: no statistics over the batch",
    )


def check_windows_are_clips_of_their_own(subject: Subject) -> Measured:
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
    counts = [[int(n[0]) for n in frames.lengths] for frames in (first, second)]
    require(
        counts[0] == counts[1],
        f"two windows of {edge} samples have different numbers of frames",
        measured=counts[0],
        limit=counts[1],
        remedy="let the number of frames depend on the number of samples only",
    )
    worst = largest(
        (
            pooled(first, 0, batch, 0, "a window, in one batch with the next"),
            pooled(second, 0, batch, 1, "a window, after the one before or in one batch with it"),
        )
    )
    return require_close(
        worst,
        "what is encoded before or beside changes {}",
        "keep nothing from one call of encode to the next",
    )
