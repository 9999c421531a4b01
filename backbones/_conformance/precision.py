"""The check of what else than float32 a backbone may compute in."""

from __future__ import annotations

from backbones._conformance.compare import Difference, difference, largest, valid_layers
from backbones._conformance.outcome import Measured, NotApplicable, require
from backbones._conformance.subject import BackboneSubject, pad
from backbones.base import Backbone, Frames

COSINE = 0.999
CLIP_SECONDS = 0.7
# Trained encoders have few features of great size, which go wrong in one clip of a hundred.
CLIPS_TRAINED = 64
CLIPS = 8
BATCH = 16


def check_stated_dtypes_are_close(subject: BackboneSubject) -> Measured:
    """In each of `info.dtypes` the mean of a clip's frames points where it does in float32."""
    others = [dtype for dtype in subject.info.dtypes if dtype != "float32"]
    if not others:
        raise NotApplicable("INFO says so: dtypes is float32 alone")
    expected = _encode(subject, subject.backbone)
    found = {
        dtype: _difference(expected, _encode(subject, subject.fresh(dtype))) for dtype in others
    }
    coarsest, worst = min(found.items(), key=lambda item: item[1].cosine)
    return require(
        worst.cosine >= COSINE,
        f"{coarsest} is too coarse: mean vectors differ from those in float32, most in "
        f"{worst.where}",
        measured=", ".join(f"{dtype} {worst.cosine:.5f}" for dtype, worst in found.items()),
        limit=f"cosine {COSINE}",
        remedy=f"take {coarsest} out of dtypes in INFO (the harness then refuses it), or compute "
        "the parts that need it in float32",
    )


def _encode(subject: BackboneSubject, backbone: Backbone) -> list[Frames]:
    count = CLIPS_TRAINED if subject.weights.kind == "pretrained" else CLIPS
    waves = [subject.clip(subject.samples(CLIP_SECONDS), number) for number in range(count)]
    return [backbone.encode(*pad(waves[start : start + BATCH])) for start in range(0, count, BATCH)]


def _difference(expected: list[Frames], found: list[Frames]) -> Difference:
    return largest(
        difference(a.mean(dim=0), b.mean(dim=0), f"layer {layer} of clip {BATCH * batch + row}")
        for batch, (one, other) in enumerate(zip(expected, found, strict=True))
        for row in range(len(one.lengths[0]))
        for layer, (a, b) in enumerate(
            zip(valid_layers(one, row), valid_layers(other, row), strict=True)
        )
    )
