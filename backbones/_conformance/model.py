"""Checks of the loaded model against its record: what INFO says is true."""

from __future__ import annotations

import json

from backbones._conformance import reach
from backbones._conformance.outcome import Measured, NotApplicable, require, require_equal
from backbones._conformance.subject import BackboneSubject
from backbones.base import Size, misshapen

FRAME_RATE_TOLERANCE = 0.05
# One frame of rounding at each end.
FRAMES_OF_ROUNDING = 2


# The first two: where they fail, the others have nothing to look at.
def check_backbone_loads(subject: BackboneSubject) -> Measured:
    """`load` builds the model and raises nothing."""
    _ = subject.backbone
    return Measured("loaded", "no error")


def check_encode_returns_frames(subject: BackboneSubject) -> Measured:
    """`encode` returns `Frames`, each layer of them (batch, frames, width) in this order."""
    clips = subject.lengths[:1] * 3
    backbone = subject.backbone
    with subject.only_if("encode does not return frames"):
        problem = misshapen(backbone.encode(*subject.batch(clips)), len(clips))
        wrong, _, remedy = (problem or "").partition(": ")
        return require(
            problem is None,
            wrong,
            measured=wrong or "(batch, frames, width)",
            limit="Frames of (batch, frames, width)",
            remedy=remedy,
        )


def check_model_is_in_evaluation_mode(subject: BackboneSubject) -> Measured:
    """After `load` no torch module the backbone holds is in training mode."""
    from torch import nn

    found = dict(reach.held(subject.backbone, nn.Module))
    training = sorted(name for name, module in found.items() if module.training)
    return require(
        not training,
        f"{', '.join(training[:3])} {'is' if len(training) == 1 else 'are'} in training mode",
        measured=f"{len(training)} of {len(found)} modules in training mode",
        limit=0,
        remedy="end load with model.eval(): dropout and batch statistics differ in training mode",
    )


def check_layers_match_metadata(subject: BackboneSubject) -> Measured:
    """`encode` returns as many layers as announced."""
    size: Size = "full" if subject.full_size else "small"
    return require_equal(
        len(subject.together.hidden),
        subject.info.layers_of(size),
        f"the network of size '{size}' returns another number of layers than INFO says",
        "correct layers (small_layers for the small network), or return the output of every block "
        "and what enters the first",
    )


def check_sizes_match_metadata(subject: BackboneSubject) -> Measured:
    """Width and number of parameters of the published network are as announced."""
    if not subject.full_size:
        raise NotApplicable("the published sizes are not those of the small network: --pretrained")
    info = subject.info
    width = subject.together.hidden[-1].shape[2]
    require_equal(
        width,
        info.width,
        "the last layer has another width than INFO says",
        "correct width in INFO",
    )
    count = subject.backbone.parameter_count()
    require_equal(
        count,
        info.parameters,
        "parameter_count() gives another number than INFO says",
        "correct parameters in INFO, or count the encoder's parameters only",
    )
    return Measured(f"{width} wide, {count} parameters", f"{info.width}, {info.parameters}")


def check_sample_rate_matches_the_checkpoint(subject: BackboneSubject) -> Measured:
    """The sample rate is the one in the preprocessor_config.json beside the weights."""
    folder = subject.weights.path
    file = folder / "preprocessor_config.json" if folder is not None else None
    if file is None or not file.is_file():
        raise NotApplicable("there is no preprocessor_config.json beside its weights")
    rate = json.loads(file.read_text(encoding="utf-8")).get("sampling_rate")
    if rate is None:
        raise NotApplicable(f"{file.name} of its weights names no sampling_rate")
    return require_equal(
        f"{subject.info.sample_rate} Hz",
        f"{rate} Hz",
        f"INFO has another sample rate than {file}",
        "correct sample_rate in INFO: at another rate the model hears another voice",
    )


def check_frame_rate_matches_metadata(subject: BackboneSubject) -> Measured:
    """Two clips' frame counts differ as their lengths and the frame rate say.

    Layers with one vector per clip have no frame rate; the last of the others is looked at.
    `per_clip` says whether the last layer is one of them.
    """
    per_clip = int(subject.together.lengths[-1].max()) == 1
    require(
        per_clip == subject.info.per_clip,
        f"INFO says per_clip is {subject.info.per_clip}, and the last layer has "
        f"{'one frame' if per_clip else 'several frames'} per clip",
        measured=f"{int(subject.together.lengths[-1].max())} frames of the longest clip",
        limit="1" if subject.info.per_clip else "more than 1",
        remedy="correct per_clip in INFO",
    )
    in_frames = [n.tolist() for n in subject.together.lengths if int(n.max()) > 1]
    if not in_frames:
        raise NotApplicable("every layer is one vector per clip")
    counts = dict(zip(subject.lengths, in_frames[-1], strict=True))
    shortest, longest = min(counts), max(counts)
    seconds = (longest - shortest) / subject.info.sample_rate
    found, expected = counts[longest] - counts[shortest], seconds * subject.info.frame_rate
    slack = FRAMES_OF_ROUNDING + FRAME_RATE_TOLERANCE * expected
    return require(
        abs(found - expected) <= slack,
        f"the last layer does not have the {subject.info.frame_rate} frames per second of INFO",
        measured=f"{found} frames more for {seconds:.2f} s more",
        limit=f"{expected:.0f} ± {slack:.0f}",
        remedy="correct frame_rate in INFO, or the valid lengths",
    )
