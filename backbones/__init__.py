"""Speech backbones: waveform → frames, for every layer. Importing this loads no model code."""

from backbones.base import (
    STEM,
    Backbone,
    BackboneError,
    BackboneInfo,
    Frames,
    NotTrainable,
    Weights,
    WeightsMismatch,
    WeightsUnavailable,
)

__all__ = [
    "STEM",
    "Backbone",
    "BackboneError",
    "BackboneInfo",
    "Frames",
    "NotTrainable",
    "Weights",
    "WeightsMismatch",
    "WeightsUnavailable",
]
