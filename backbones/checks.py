"""The conformance suite every backbone has to pass, shipped for plugins from elsewhere too.

Run it from a shell with `voxgrid check NAME`, or in a plugin's own tests::

    from backbones.checks import parametrize_with_checks

    @parametrize_with_checks(["my-backbone"])
    def test_my_backbone(backbone, check):
        check(backbone)

Each check takes a `Subject` and raises an AssertionError whose message is a sentence.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backbones._subject import SECONDS, Subject, valid_layers
from backbones._training_checks import TRAINING_CHECKS
from backbones.base import Backbone, Weights

SHORT_SECONDS = (0.1, 0.005)
# A relative change of 4 % still means a cosine of 0.999.
PADDING_CHANGE = 0.04
FRAME_RATE_TOLERANCE = 0.05


@dataclass(frozen=True)
class CheckResult:
    """Outcome of one check: `problem` is None where it passed."""

    name: str
    problem: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the check found nothing."""
        return self.problem is None


def check_metadata_is_complete(subject: Subject) -> None:
    """Every field of the metadata record has a sensible value."""
    info = subject.info
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*", info.name), (
        f"name {info.name!r} must be lower case and usable as a file name"
    )
    for field in ("summary", "licence"):
        assert getattr(info, field).strip(), f"{field} is empty"
    for field in ("sample_rate", "layers", "width", "frame_rate", "max_seconds", "version"):
        value = getattr(info, field)
        assert value > 0, f"{field} is {value}, it must be positive"
    assert (info.weights_id is None) == (info.revision is None), (
        "weights_id and revision must both be given or both be None"
    )
    assert (info.parameters > 0) == info.needs_weights, (
        f"{info.parameters} parameters, but weights_id is {info.weights_id}"
    )


def check_layers_match_metadata(subject: Subject) -> None:
    """The number of layers and, at the published size, width and parameters are as announced."""
    info, frames = subject.info, subject.together
    assert frames.hidden, "encode returned no layer"
    for number, hidden in enumerate(frames.hidden):
        assert hidden.ndim == 3, f"layer {number} has shape {tuple(hidden.shape)}, not (B, T, D)"
    layers = info.layers_of("full" if subject.full_size else "small")
    assert len(frames.hidden) == layers, (
        f"encode returned {len(frames.hidden)} layers, the metadata say {layers}"
    )
    if not subject.full_size:
        return
    width = frames.hidden[-1].shape[2]
    assert width == info.width, f"the last layer is {width} wide, the metadata say {info.width}"
    count = subject.backbone.parameter_count()
    assert count == info.parameters, f"{count} parameters, the metadata say {info.parameters}"


def check_frame_rate_matches_metadata(subject: Subject) -> None:
    """Two clips' frame counts differ as their lengths and the frame rate say.

    Layers with one vector per clip have no frame rate; the last of the others is looked at.
    """
    in_frames = [n.tolist() for n in subject.together.lengths if int(n.max()) > 1]
    if not in_frames:
        return
    counts = dict(zip(subject.lengths, in_frames[-1], strict=True))
    shortest, longest = min(counts), max(counts)
    seconds = (longest - shortest) / subject.info.sample_rate
    found, expected = counts[longest] - counts[shortest], seconds * subject.info.frame_rate
    # one frame of rounding at each end
    assert abs(found - expected) <= 2 + FRAME_RATE_TOLERANCE * expected, (
        f"{seconds:.2f} s more of audio gave {found} more frames; {subject.info.frame_rate} "
        f"frames per second would be {expected:.0f}"
    )


def check_lengths_fit_the_frames(subject: Subject) -> None:
    """Valid frame counts are int64, one per clip, within the frames, and tight when alone."""
    import torch

    layers = zip(subject.together.hidden, subject.together.lengths, strict=True)
    for number, (hidden, lengths) in enumerate(layers):
        assert lengths.dtype == torch.int64, f"layer {number}: lengths are {lengths.dtype}"
        assert lengths.shape == (len(subject.lengths),), (
            f"layer {number}: lengths of shape {tuple(lengths.shape)} for "
            f"{len(subject.lengths)} clips"
        )
        assert all(0 < n <= hidden.shape[1] for n in lengths.tolist()), (
            f"layer {number}: lengths {lengths.tolist()} do not fit {hidden.shape[1]} frames"
        )
    for clip, alone in enumerate(subject.alone):
        for number, (one, batch) in enumerate(
            zip(alone.lengths, subject.together.lengths, strict=True)
        ):
            assert int(one[0]) == int(batch[clip]), (
                f"layer {number}: {int(one[0])} valid frames alone, {int(batch[clip])} in a batch"
            )


def check_values_are_finite(subject: Subject) -> None:
    """No NaN and no infinity among valid frames, digital silence included."""
    import torch

    length = subject.lengths[0]
    silence = subject.backbone.encode(torch.zeros(1, length), torch.tensor([length]))
    for name, frames in (("a clip", subject.together), ("digital silence", silence)):
        for clip in range(len(frames.lengths[0])):
            for number, valid in enumerate(valid_layers(frames, clip)):
                assert bool(valid.isfinite().all()), f"layer {number} of {name} is not finite"


def check_encoding_is_repeatable(subject: Subject) -> None:
    """The same clip twice gives the same numbers: no dropout, no dither."""
    again = subject.encode(subject.lengths[:1])
    for number, (first, second) in enumerate(
        zip(valid_layers(subject.alone[0], 0), valid_layers(again, 0), strict=True)
    ):
        assert bool((first == second).all()), (
            f"layer {number} differs between two runs by {float((first - second).abs().max()):.2g}"
        )


def check_loading_is_repeatable(subject: Subject) -> None:
    """Loading twice gives the same weights, and leaves torch's global random state alone."""
    import torch

    other = subject.cls(subject.weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20_240_229)  # a state that no plugin happens to leave behind
        before = torch.random.get_rng_state()
        other.load()
        assert torch.equal(before, torch.random.get_rng_state()), (
            "load disturbed the global random state; build inside torch.random.fork_rng"
        )
    frames = other.encode(*subject.batch(subject.lengths[:1]))
    for number, (first, second) in enumerate(
        zip(valid_layers(subject.alone[0], 0), valid_layers(frames, 0), strict=True)
    ):
        assert torch.allclose(first, second, atol=1e-5), f"layer {number} differs after loading"


def check_padding_changes_nothing(subject: Subject) -> None:
    """Mean and maximum over a clip's frames are the same alone and in a padded batch.

    The measure is the length of the difference relative to the vector. It bounds the cosine (to at
    least 0.999) and, other than the cosine, notices a mean that silence has diluted.
    """
    for clip, alone in enumerate(subject.alone):
        pairs = zip(valid_layers(alone, 0), valid_layers(subject.together, clip), strict=True)
        for number, (one, batch) in enumerate(pairs):
            for name, a, b in (
                ("mean", one.mean(dim=0), batch.mean(dim=0)),
                ("max", one.amax(dim=0), batch.amax(dim=0)),
            ):
                change = float((a - b).norm() / a.norm().clamp_min(1e-6))
                assert change <= PADDING_CHANGE, (
                    f"layer {number}: padding a clip of {subject.lengths[clip]} samples changes "
                    f"the {name} of its frames by {change:.1%}, at most {PADDING_CHANGE:.0%} wanted"
                )


def check_short_clips_are_encoded(subject: Subject) -> None:
    """A tenth of a second, and even less than one frame, gives at least one frame."""
    for seconds in SHORT_SECONDS:
        frames = subject.encode([round(seconds * subject.info.sample_rate)])
        for number, valid in enumerate(valid_layers(frames, 0)):
            assert len(valid) >= 1, f"layer {number} has no frame for a clip of {seconds} s"
            assert bool(valid.isfinite().all()), f"layer {number} of {seconds} s is not finite"


def check_no_gradient_is_recorded(subject: Subject) -> None:
    """Frames do not drag a graph along."""
    for number, hidden in enumerate(subject.encode(subject.lengths).hidden):
        assert not hidden.requires_grad, f"layer {number} requires a gradient"


def check_input_is_left_alone(subject: Subject) -> None:
    """`encode` does not write into the waves or lengths it is given."""
    waves, lengths = subject.batch(subject.lengths)
    copies = waves.clone(), lengths.clone()
    subject.backbone.encode(waves, lengths)
    assert bool((waves == copies[0]).all()), "encode changed the waves it was given"
    assert bool((lengths == copies[1]).all()), "encode changed the lengths it was given"


def check_listing_is_light(subject: Subject) -> None:
    """Importing the plugin imports neither torch nor transformers."""
    module = subject.cls.__module__
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; import {module}; "
        "print(*[m for m in ('torch', 'transformers', 'nemo') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, f"importing {module} failed: {run.stderr.strip()[-300:]}"
    heavy = run.stdout.split()
    assert not heavy, f"importing {module} imports {', '.join(heavy)}; import it inside methods"


CHECKS: tuple[Callable[[Subject], None], ...] = (
    check_metadata_is_complete,
    check_listing_is_light,
    check_layers_match_metadata,
    check_frame_rate_matches_metadata,
    check_lengths_fit_the_frames,
    check_values_are_finite,
    check_encoding_is_repeatable,
    check_loading_is_repeatable,
    check_padding_changes_nothing,
    check_short_clips_are_encoded,
    check_no_gradient_is_recorded,
    check_input_is_left_alone,
    *TRAINING_CHECKS,
)


def check_backbone(
    backbone: str | type[Backbone],
    weights: Weights | None = None,
    seconds: Sequence[float] = SECONDS,
) -> Iterator[CheckResult]:
    """Run every check on a backbone, yielding each outcome as it is known.

    Args:
        backbone: name of a registered backbone, or a class.
        weights: None takes a small random-init network (`none` for hand-made features).
        seconds: lengths of the synthetic clips, at least two different ones.

    Yields:
        One result per check. Errors other than a failed check (weights that do not fit, a bug in
        the plugin) are not caught.
    """
    subject = Subject(backbone, weights, seconds)
    for check in CHECKS:
        try:
            check(subject)
        except AssertionError as error:
            yield CheckResult(check.__name__, str(error))
        else:
            yield CheckResult(check.__name__)


def parametrize_with_checks(
    backbones: Sequence[str | type[Backbone]],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Pytest decorator: one test per backbone and check, with arguments `backbone` and `check`.

    Args:
        backbones: names of registered backbones, or classes.
    """
    import pytest

    subjects = [Subject(backbone) for backbone in backbones]
    cases = [
        pytest.param(subject, check, id=f"{subject.info.name}-{check.__name__}")
        for subject in subjects
        for check in CHECKS
    ]
    return pytest.mark.parametrize(("backbone", "check"), cases)
