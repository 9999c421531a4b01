"""Checks of what a backbone keeps: it loads and encodes without leaving anything behind."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from backbones._conformance import reach
from backbones._conformance.compare import by_layer, pooled, require_close
from backbones._conformance.outcome import Measured, NotApplicable, require
from backbones._conformance.subject import BackboneSubject, disturbed_since, random_states
from backbones.base import Frames

# The same weights on the same machine.
LOADED_TWICE = 1e-4
ROUNDS = 3
# How often threads take turns, in seconds: a race that is there shall be seen.
SWITCH_SECONDS = 1e-5


def check_loading_is_repeatable(subject: BackboneSubject) -> Measured:
    """Loading twice gives the same weights."""
    frames = subject.reloaded.backbone.encode(*subject.batch(subject.lengths[:1]))
    return require_close(
        pooled(subject.alone[0], 0, frames, 0, "a clip after loading again"),
        "{} differs from the first time",
        "draw random weights from Weights.seed, and read every tensor from the checkpoint",
        limit=LOADED_TWICE,
    )


def check_random_state_is_left_alone(subject: BackboneSubject) -> Measured:
    """Neither `load` nor `encode` touches the global random generators."""
    loading = subject.reloaded.disturbed
    before = random_states()
    subject.encode(subject.lengths)
    for name, disturbed, remedy in (
        ("load", loading, "build the model inside torch.random.fork_rng(devices=[])"),
        ("encode", disturbed_since(before), "encode without chance: no dropout, no dither"),
    ):
        require(
            not disturbed,
            f"{name} disturbs a global random generator",
            measured=", ".join(disturbed),
            limit="none",
            remedy=remedy,
        )
    return Measured("none disturbed", "none of random, numpy, torch")


def check_encoding_is_repeatable(subject: BackboneSubject) -> Measured:
    """The same clip twice gives the same numbers, bit for bit: no dropout, no dither."""
    first, second = subject.encode(subject.lengths[:1]), subject.encode(subject.lengths[:1])
    return require_close(
        by_layer(first, 0, second, 0, "a clip"),
        "{} differs between two runs",
        "switch the model to evaluation mode, and off whatever dithers",
        limit=0.0,
    )


def check_parameters_are_left_alone(subject: BackboneSubject) -> Measured:
    """`encode` changes no tensor the backbone holds: parameters, buffers and others."""
    subject.encode(subject.lengths)  # tables of positions may grow with the first batch
    before = reach.digests(subject.backbone)
    subject.encode(subject.lengths)
    after = reach.digests(subject.backbone)
    changed = sorted(name for name in before if before[name] != after.get(name))
    return require(
        not changed,
        f"encode changes {', '.join(changed[:3])}",
        measured=f"{len(changed)} of {len(before)} tensors changed",
        limit=0,
        remedy="switch to evaluation mode, and keep no statistics of what has been encoded",
    )


def check_no_gradient_is_recorded(subject: BackboneSubject) -> Measured:
    """Frames do not drag a graph along, and no parameter is there to be trained."""
    import torch

    with torch.enable_grad():
        frames = subject.encode(subject.lengths)
    for number, hidden in enumerate(frames.hidden):
        require(
            not hidden.requires_grad,
            f"layer {number} requires a gradient",
            measured="requires_grad",
            limit="no graph",
            remedy="encode under torch.no_grad, with frozen parameters",
        )
    held = dict(reach.held(subject.backbone, torch.Tensor))
    trained = sorted(name for name, tensor in held.items() if tensor.requires_grad)
    return require(
        not trained,
        f"after load, gradients are on for {', '.join(trained[:3])}",
        measured=f"gradients on for {len(trained)} of {len(held)} tensors",
        limit=0,
        remedy="end load with model.requires_grad_(False); what is trained is the copy that tail "
        "gives out",
    )


def check_input_is_left_alone(subject: BackboneSubject) -> Measured:
    """`encode` does not write into the waves or lengths it is given."""
    waves, lengths = subject.batch(subject.lengths)
    copies = waves.clone(), lengths.clone()
    subject.backbone.encode(waves, lengths)
    for name, given, kept in (("waves", waves, copies[0]), ("lengths", lengths, copies[1])):
        require(
            bool((given == kept).all()),
            f"encode writes into the {name} it is given",
            measured=f"{int((given != kept).sum())} values changed",
            limit=0,
            remedy="do not use operations in place on the input",
        )
    return Measured("0 values changed", "0")


def check_threads_may_share_it(subject: BackboneSubject) -> Measured:
    """Two threads that encode on one instance get what each would get by itself."""
    if not subject.info.thread_safe:
        raise NotApplicable("INFO says so: thread_safe is False")
    import torch

    clips = subject.lengths[:2]
    expected = subject.alone[:2]
    start = threading.Barrier(2)

    def encode(clip: int) -> list[Frames]:
        start.wait(timeout=60)
        with torch.no_grad():
            return [subject.encode([clips[clip]]) for _ in range(ROUNDS)]

    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        stack.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(SWITCH_SECONDS)
        threads = [pool.submit(encode, clip) for clip in range(2)]
        found = [thread.result() for thread in threads]
    return require_close(
        (
            difference
            for samples, alone, rounds in zip(clips, expected, found, strict=True)
            for frames in rounds
            for difference in by_layer(
                alone, 0, frames, 0, f"a clip of {samples} samples among two threads"
            )
        ),
        "{} changes when two threads encode at once",
        "keep what belongs to one batch in local variables, or set thread_safe=False in INFO",
    )
