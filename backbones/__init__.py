"""Speech backbones: waveform → frames, for every layer. Importing this loads no model code."""

from backbones.base import (
    Backbone,
    BackboneError,
    BackboneInfo,
    Frames,
    Weights,
    WeightsMismatch,
    WeightsUnavailable,
)
from backbones.registry import create, get, infos, missing_extra
from backbones.weights import availability, resolve

__all__ = [
    "Backbone",
    "BackboneError",
    "BackboneInfo",
    "Frames",
    "Weights",
    "WeightsMismatch",
    "WeightsUnavailable",
    "availability",
    "create",
    "get",
    "infos",
    "missing_extra",
    "resolve",
]
