"""Weights to measure speed with."""

from __future__ import annotations

from backbones import Weights, WeightsUnavailable
from backbones import weights as backbone_weights
from bench.plugins import BACKBONES


def weights_of(name: str) -> Weights:
    """Pretrained weights where they are; otherwise random ones, which cost the same time."""
    info = BACKBONES.get(name).info
    try:
        return backbone_weights.resolve(info, allow_download=False)
    except WeightsUnavailable:
        return backbone_weights.resolve(info, control="random-init", allow_download=False)
