"""Windows → statistics of every layer, and frames of chosen ones, in batches."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from backbones import STEM, Backbone
from backbones.weights import resolve
from bench.audio.batch import Wave, batches, normalise
from bench.features import statistics
from bench.features.frames import ClipFrames
from bench.features.key import FeatureSettings
from bench.features.source import ExtractionError
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
        raise ExtractionError(
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


@dataclass
class Encoded:
    """What the backbone gave for some windows, in order, and seconds inside `Backbone.encode`."""

    statistics: list[ClipStatistics]
    frames: list[dict[int, ClipFrames]]
    seconds: float


def encode(
    encoder: LoadedBackbone,
    windows: Sequence[Wave],
    clips: Sequence[str],
    wanted: Sequence[Collection[int]],
) -> Encoded:
    """Pass windows through the backbone.

    Args:
        encoder: the backbone.
        windows: float32 (samples,) each, none longer than the backbone accepts.
        clips: the id of each window's clip, for errors.
        wanted: layers whose frames are kept, of each window.

    Raises:
        ExtractionError: NaN or infinite features, which names the clip; or the backbone has no
            such layer.
        NotTrainable: frames of `STEM` are wanted of a backbone without a feature encoder.
    """
    import torch

    backbone, device = encoder.backbone, encoder.device
    info = backbone.info
    prepared = [normalise(wave) for wave in windows] if info.normalised else list(windows)
    results: dict[int, ClipStatistics] = {}
    kept: list[dict[int, ClipFrames]] = [{} for _ in windows]
    seconds = 0.0
    with torch.inference_mode():
        for batch in batches(prepared, encoder.batch, equal_lengths=not info.attention_mask):
            waves, lengths = batch.waves.to(device), batch.lengths.to(device)
            began = time.perf_counter()
            frames = backbone.encode(waves, lengths)
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            seconds += time.perf_counter() - began
            try:
                results.update(zip(batch.rows, statistics.of_batch(frames), strict=True))
            except FloatingPointError as error:
                involved = ", ".join(clips[row] for row in batch.rows)
                raise ExtractionError(
                    f"backbone '{info.name}' returned unusable features ({error}; clips of the "
                    f"batch: {involved}); check the clips and the weights"
                ) from error
            of_batch = {wanted_layer for row in batch.rows for wanted_layer in wanted[row]}
            for layer in of_batch:
                if layer == STEM:
                    hidden, valid = backbone.stem(waves, lengths)
                elif layer < len(frames.hidden):
                    hidden, valid = frames.hidden[layer], frames.lengths[layer]
                else:
                    raise ExtractionError(
                        f"backbone '{info.name}' has layers 0 to {len(frames.hidden) - 1}, and "
                        f"none is called {layer}"
                    )
                for position, row in enumerate(batch.rows):
                    if layer in wanted[row]:
                        own = hidden[position, : int(valid[position])]
                        try:
                            kept[row][layer] = ClipFrames.of(own)
                        except FloatingPointError as error:
                            raise ExtractionError(
                                f"backbone '{info.name}' returned unusable frames for clip "
                                f"'{clips[row]}' at layer {layer} ({error}); check the clip and "
                                "the weights"
                            ) from error
    return Encoded([results[row] for row in range(len(windows))], kept, seconds)
