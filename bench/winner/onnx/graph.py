"""All of a winner as one module of torch: a wave in, probabilities out.

Imports torch, so it is imported inside functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

# As in bench.report.calibration: a probability of zero would have an infinite loss.
_LEAST = math.log(1e-12)


def _deviation(frames: torch.Tensor) -> torch.Tensor:
    return (frames - frames.mean(dim=0)).square().mean(dim=0).sqrt()


# Of frames (frames, width); as in bench.features.pooling, of the same names. In float64, since
# runtimes add up the many frames of a long clip one after the other.
POOLED: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "mean": lambda frames: frames.mean(dim=0),
    "sum": lambda frames: frames.mean(dim=0) * frames.shape[0],
    "max": lambda frames: frames.amax(dim=0),
    "mean_std": lambda frames: torch.cat([frames.mean(dim=0), _deviation(frames)]),
    "mean_max": lambda frames: torch.cat([frames.mean(dim=0), frames.amax(dim=0)]),
}


@dataclass(frozen=True)
class Vector:
    """A part of the joined vector: position of its encoder, layer, and name of its pooling."""

    encoder: int
    layer: int
    pooling: str


@dataclass(frozen=True, eq=False)
class Ending:
    """What comes after the joined vector.

    Attributes:
        mean, scale: of the standardisation, (features,).
        head: of standardised vectors (clips, features) the scores (clips, classes).
        classes: positions in the winner's labels of the head's classes.
        labels: how many labels there are.
        temperature: what logits are divided by.
    """

    mean: Any
    scale: Any
    head: nn.Module
    classes: Sequence[int]
    labels: int
    temperature: float


class Graph(nn.Module):
    """A winner: front ends, backbones, pooling, standardisation, head, temperature.

    Args:
        encoders: each (samples,) → layers (frames, width).
        normalised: of each encoder, whether its wave has zero mean and unit variance.
        vectors: what is joined, in order.
        ending: what comes then.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    places: torch.Tensor

    def __init__(
        self,
        encoders: Sequence[nn.Module],
        normalised: Sequence[bool],
        vectors: Sequence[Vector],
        ending: Ending,
    ) -> None:
        super().__init__()
        self.encoders, self.head = nn.ModuleList(encoders), ending.head
        self.normalised, self.vectors = tuple(normalised), tuple(vectors)
        self.register_buffer("mean", torch.tensor(ending.mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(ending.scale, dtype=torch.float32))
        # labels that no clip had are read behind the classes, where the least probability stands
        places = [len(ending.classes)] * ending.labels
        for place, label in enumerate(ending.classes):
            places[label] = place
        self.register_buffer("places", torch.tensor(places))
        self.temperature = ending.temperature

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        """Float32 (samples,), mono, at the backbones' rate → float32 (labels,)."""
        layers = [
            encoder(_normalised(wave) if normalised else wave)
            for encoder, normalised in zip(self.encoders, self.normalised, strict=True)
        ]
        joined = torch.cat(
            [
                POOLED[own.pooling](layers[own.encoder][own.layer].double()).float()
                for own in self.vectors
            ]
        )
        standard = (joined - self.mean) / self.scale
        logs = self.head(standard[None])[0].double().log_softmax(dim=0).clamp(min=_LEAST)
        logs = torch.cat([logs, logs.new_full((1,), _LEAST)])[self.places]
        return (logs / self.temperature).softmax(dim=0).float()


def _normalised(wave: torch.Tensor) -> torch.Tensor:
    """See `bench.audio.batch.normalise`."""
    exact = wave.double()
    centred = exact - exact.mean()
    return (centred / (centred.square().mean() + 1e-7).sqrt()).float()
