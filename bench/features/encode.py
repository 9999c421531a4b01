"""Windows → statistics of every layer, and frames of chosen ones, in batches."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backbones import STEM, Backbone, BackboneError
from backbones.base import misshapen
from backbones.weights import resolve
from bench.audio.batch import Wave, WindowBatch, batches, normalise
from bench.errors import crashes_of
from bench.features import statistics
from bench.features.frames import ClipFrames
from bench.features.key import FeatureSettings
from bench.features.source import ExtractionError, OtherWeights
from bench.features.statistics import ClipStatistics
from bench.plugins import BACKBONES


def load(settings: FeatureSettings) -> Backbone:
    """The backbone, with its weights as they are found on this machine.

    Raises:
        ExtractionError: what is found here would give other numbers than the settings say.
        BackboneError: the weights are not here, or cannot be used.
    """
    weights = settings.weights
    if weights.kind == "pretrained":
        weights = resolve(settings.info, allow_download=False)
    found = FeatureSettings(settings.info, weights, settings.dtype, settings.device)
    if found.key != settings.key:
        raise OtherWeights(
            f"backbone '{settings.info.name}' has other weights here, or another torch draws them, "
            "than when the run was planned; run again"
        )
    backbone = BACKBONES.create(settings.info.name, weights)
    backbone.load(settings.device, settings.dtype)
    return backbone


@dataclass(frozen=True)
class LoadedBackbone:
    """A loaded backbone, its torch device, and the most windows per batch."""

    backbone: Backbone
    device: str
    batch: int


@dataclass(frozen=True)
class Window:
    """What is encoded: samples (n,), how many make a second, and the layers whose frames are kept.

    It is no longer than the backbone accepts. `clip` says in a message what it is of.
    """

    wave: Wave
    rate: int
    layers: Collection[int] = ()
    clip: str = "noise"


@dataclass(frozen=True)
class Encoded:
    """What the backbone gave for a window or a clip: every layer's statistics, some's frames."""

    statistics: ClipStatistics
    frames: dict[int, ClipFrames]


@dataclass(frozen=True)
class Unusable:
    """Why nothing the backbone gave for a window, or for a clip, can be used: one sentence."""

    reason: str


Made = Encoded | Unusable


def encode(encoder: LoadedBackbone, windows: Sequence[Window]) -> tuple[list[Made], float]:
    """Pass windows through the backbone.

    Returns:
        What it gave for each window, in order, and seconds inside `Backbone.encode`.

    Raises:
        ExtractionError: the backbone has no such layer, or returns no frames.
        NotTrainable: frames of `STEM` are wanted of a backbone without a feature encoder.
        PluginCrashed: the backbone raised anything but a `BackboneError`, which only makes the
            clip unusable; the message names the clips of the batch.
    """
    import torch

    info = encoder.backbone.info
    waves = [normalise(one.wave) if info.normalised else one.wave for one in windows]
    found: dict[int, Made] = {}
    seconds = 0.0
    with torch.inference_mode():
        for batch in batches(waves, encoder.batch, equal_lengths=not info.attention_mask):
            made, took = _pass(encoder, batch, windows)
            # none is blamed for what it may have from its neighbours
            blamed = [row for row, one in made.items() if isinstance(one, Unusable)]
            for row in blamed if len(made) > 1 else ():
                (alone,) = batches([waves[row]], 1, equal_lengths=True)
                made |= _pass(encoder, replace(alone, rows=[row]), windows)[0]
            found |= made
            seconds += took
    return [found[row] for row in range(len(windows))], seconds


def _pass(
    encoder: LoadedBackbone, batch: WindowBatch, windows: Sequence[Window]
) -> tuple[dict[int, Made], float]:
    """What the backbone gave for each row of a batch, and seconds inside `Backbone.encode`."""
    import torch

    backbone, device = encoder.backbone, encoder.device
    name = backbone.info.name
    waves, lengths = batch.waves.to(device), batch.lengths.to(device)
    own = [windows[row] for row in batch.rows]
    rates = torch.tensor([window.rate for window in own], device=device)
    clips = ", ".join(dict.fromkeys(f"'{window.clip}'" for window in own))
    began = time.perf_counter()
    try:
        with crashes_of(f"encode, given {clips}, raised ", BACKBONES.origins):
            frames = backbone.encode_at(waves, lengths, rates)
    except BackboneError as error:
        return dict.fromkeys(batch.rows, Unusable(str(error))), 0.0
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    if wrong := misshapen(frames, len(own)):
        raise ExtractionError(f"backbone '{name}': {wrong}")
    layers = dict(enumerate(zip(frames.hidden, frames.lengths, strict=True)))
    wanted = {layer for window in own for layer in window.layers}
    if STEM in wanted:
        layers[STEM] = backbone.stem(waves, lengths)
    if missing := wanted - layers.keys():
        raise ExtractionError(
            f"backbone '{name}' has layers 0 to {len(frames.hidden) - 1}, and none is called "
            f"{min(missing)}"
        )
    made: dict[int, Made] = {}
    for position, (row, window) in enumerate(zip(batch.rows, own, strict=True)):
        try:
            kept = {}
            for layer in window.layers:
                hidden, valid = layers[layer]
                kept[layer] = ClipFrames.of(hidden[position, : int(valid[position])])
            made[row] = Encoded(statistics.of_row(frames, position), kept)
        except FloatingPointError as error:
            loudest = float(np.abs(window.wave).max())
            made[row] = Unusable(
                f"backbone '{name}' makes features of it that cannot be used ({error}); its "
                f"loudest sample is {loudest:.3g}, and full scale is 1"
            )
    return made, seconds
