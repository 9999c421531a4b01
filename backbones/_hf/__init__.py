"""Encoders in the transformers layout: what plugins share, and any model by its address."""

from backbones._hf.addresses import backbone_class

__all__ = ["backbone_class"]
