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
from backbones.registry import create, get, info, infos, missing_extra
from backbones.weights import availability, resolve

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
    "availability",
    "create",
    "get",
    "info",
    "infos",
    "missing_extra",
    "resolve",
]
