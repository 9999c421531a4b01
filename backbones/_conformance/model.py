"""Checks of the loaded model against its record: what INFO says is true."""

from __future__ import annotations

import json

from backbones._conformance import reach
from backbones._conformance.outcome import Measured, NotApplicable, require
from backbones._conformance.subject import Subject

FRAME_RATE_TOLERANCE = 0.05
# One frame of rounding at each end.
FRAMES_OF_ROUNDING = 2


# first: where it fails, the others have nothing to look at
def check_backbone_loads(subject: Subject) -> Measured:
    """`load` builds the model and raises nothing."""
    _ = subject.backbone
    return Measured("loaded", "no error")


def check_model_is_in_evaluation_mode(subject: Subject) -> Measured:
    """After `load` no torch module the backbone holds is in training mode."""
    found = dict(reach.modules(subject.backbone))
    training = sorted(name for name, module in found.items() if module.training)
    require(
        not training,
        f"{', '.join(training[:3])} {'is' if len(training) == 1 else 'are'} in training mode",
        measured=f"{len(training)} of {len(found)} modules",
        limit=0,
        remedy="end load with model.eval(): dropout and batch statistics differ in training mode",
    )
    return Measured(f"0 of {len(found)} modules in training mode", "0")


def check_layers_match_metadata(subject: Subject) -> Measured:
    """`encode` returns as many layers as announced, each (batch, frames, width)."""
    info, frames = subject.info, subject.together
    for number, hidden in enumerate(frames.hidden):
        require(
            hidden.ndim == 3,
            f"layer {number} has the wrong shape",
            measured=tuple(hidden.shape),
            limit="(batch, frames, width)",
            remedy="return one vector per frame and clip",
        )
    size = "full" if subject.full_size else "small"
    layers = info.layers_of("full" if subject.full_size else "small")
    require(
        len(frames.hidden) == layers,
        f"the network of size '{size}' returns another number of layers than INFO says",
        measured=len(frames.hidden),
        limit=layers,
        remedy="correct layers (small_layers for the small network), or return the output of "
        "every block and what enters the first",
    )
    return Measured(f"{len(frames.hidden)} layers", f"{layers}")


def check_sizes_match_metadata(subject: Subject) -> Measured:
    """Width and number of parameters of the published network are as announced."""
    if not subject.full_size:
        raise NotApplicable("the published sizes are not those of the small network: --pretrained")
    info = subject.info
    width = subject.together.hidden[-1].shape[2]
    require(
        width == info.width,
        "the last layer has another width than INFO says",
        measured=width,
        limit=info.width,
        remedy="correct width in INFO",
    )
    count = subject.backbone.parameter_count()
    require(
        count == info.parameters,
        "parameter_count() gives another number than INFO says",
        measured=count,
        limit=info.parameters,
        remedy="correct parameters in INFO, or count the encoder's parameters only",
    )
    return Measured(f"{width} wide, {count} parameters", f"{info.width}, {info.parameters}")


def check_sample_rate_matches_the_checkpoint(subject: Subject) -> Measured:
    """The sample rate is the one in the preprocessor_config.json beside the weights."""
    folder = subject.weights.path
    file = folder / "preprocessor_config.json" if folder is not None else None
    if file is None or not file.is_file():
        raise NotApplicable("there is no preprocessor_config.json beside its weights")
    rate = json.loads(file.read_text(encoding="utf-8")).get("sampling_rate")
    if rate is None:
        raise NotApplicable(f"{file.name} of its weights names no sampling_rate")
    require(
        rate == subject.info.sample_rate,
        f"INFO has another sample rate than {file}",
        measured=f"{subject.info.sample_rate} Hz",
        limit=f"{rate} Hz",
        remedy="correct sample_rate in INFO: at another rate the model hears another voice",
    )
    return Measured(f"{rate} Hz", f"{rate} Hz")


def check_frame_rate_matches_metadata(subject: Subject) -> Measured:
    """Two clips' frame counts differ as their lengths and the frame rate say.

    Layers with one vector per clip have no frame rate; the last of the others is looked at.
    """
    in_frames = [n.tolist() for n in subject.together.lengths if int(n.max()) > 1]
    if not in_frames:
        raise NotApplicable("every layer is one vector per clip")
    counts = dict(zip(subject.lengths, in_frames[-1], strict=True))
    shortest, longest = min(counts), max(counts)
    seconds = (longest - shortest) / subject.info.sample_rate
    found, expected = counts[longest] - counts[shortest], seconds * subject.info.frame_rate
    measured = f"{found} frames more for {seconds:.2f} s more"
    slack = FRAMES_OF_ROUNDING + FRAME_RATE_TOLERANCE * expected
    limit = f"{expected:.0f} ± {slack:.0f}"
    require(
        abs(found - expected) <= slack,
        f"the last layer does not have the {subject.info.frame_rate} frames per second of INFO",
        measured=measured,
        limit=limit,
        remedy="correct frame_rate in INFO, or the valid lengths",
    )
    return Measured(measured, limit)
