"""Classifier heads: one file per head, found by `heads.registry`."""

from heads.base import FitDiverged, Head, HeadContext, HeadError, HeadInfo, OutOfMemory
from heads.sequences import LEARNT, Epoch, Sequences, TrainableClips, Training

__all__ = [
    "LEARNT",
    "Epoch",
    "FitDiverged",
    "Head",
    "HeadContext",
    "HeadError",
    "HeadInfo",
    "OutOfMemory",
    "Sequences",
    "TrainableClips",
    "Training",
]
