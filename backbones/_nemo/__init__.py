"""Encoders of NeMo: what plugins share, and any archive by its address."""

from backbones._nemo.addresses import backbone_class

__all__ = ["backbone_class"]
