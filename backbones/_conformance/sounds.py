"""Checks of clips that are out of the ordinary: very short, very long, silent, clipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backbones._conformance.compare import valid_layers
from backbones._conformance.outcome import Measured, require
from backbones._conformance.subject import BackboneSubject, pad
from backbones.base import BackboneError, Frames

if TYPE_CHECKING:
    import torch

SHORT_SECONDS = (0.1, 0.005)
LENGTH_SECONDS = (0.05, 1.0)
SOUND_SECONDS = 0.7


def check_every_length_gives_every_layer(subject: BackboneSubject) -> Measured:
    """There are as many layers for 0.05 s, for 1 s and for the longest clip there may be."""
    lengths = [*(subject.samples(s) for s in LENGTH_SECONDS), subject.longest]
    counts = [len(subject.encode([n]).hidden) for n in lengths]
    seconds = " s, ".join(f"{n / subject.info.sample_rate:g}" for n in lengths)
    return require(
        len(set(counts)) == 1,
        f"the number of layers depends on the clip's length ({seconds} s)",
        measured=f"{counts} layers for {seconds} s",
        limit="one number",
        remedy="return every layer for every clip",
    )


def check_short_clips_are_encoded(subject: BackboneSubject) -> Measured:
    """A tenth of a second, and even less than one frame, gives at least one frame."""
    for seconds in SHORT_SECONDS:
        samples = subject.samples(seconds)
        shortest = f"{samples / subject.info.sample_rate:g} s"
        frames = subject.encode([samples])
        for number, valid in enumerate(valid_layers(frames, 0)):
            require(
                len(valid) >= 1,
                f"layer {number} of a clip of {shortest} has no valid frame",
                measured=len(valid),
                limit="at least 1",
                remedy="let a clip shorter than a frame count as one, the rest being silence",
            )
        _require_finite(frames, 0, f"a clip of {shortest}")
    return Measured(f"frames for {shortest}", "at least 1")


def check_values_are_finite(subject: BackboneSubject) -> Measured:
    """No NaN and no infinity, whatever the clip holds; an error must be a `BackboneError`."""
    refused = []
    for clip in range(len(subject.lengths)):
        _require_finite(subject.together, clip, "an ordinary clip")
    for name, wave in _odd_sounds(subject).items():
        try:
            frames = subject.backbone.encode(*pad([subject.scaled(wave)]))
        except BackboneError:
            refused.append(name)
            continue
        _require_finite(frames, 0, name)
    return Measured(
        "finite" + (f"; refused: {', '.join(refused)}" if refused else ""), "finite or refused"
    )


def _odd_sounds(subject: BackboneSubject) -> dict[str, torch.Tensor]:
    import torch

    length = subject.samples(SOUND_SECONDS)
    clip = subject.clip(length)
    clip = clip / clip.abs().max()
    return {
        "digital silence": torch.zeros(length),
        "a clip driven into clipping": (1000.0 * clip).clamp(-1.0, 1.0),
        "a clip on an offset": 0.01 * clip + 0.9,
        "an offset and nothing else": torch.full((length,), 0.5),
        "a single sample": torch.tensor([0.3]),
    }


def _require_finite(frames: Frames, clip: int, what: str) -> None:
    for number, valid in enumerate(valid_layers(frames, clip)):
        wrong = int((~valid.isfinite()).sum())
        require(
            wrong == 0,
            f"layer {number} of {what} is not finite",
            measured=f"{wrong} of {valid.numel()} values",
            limit=0,
            remedy="add a small constant before a logarithm or a division, or raise a "
            "BackboneError that says what to do with such a clip",
        )
