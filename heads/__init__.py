"""Classifier heads, one file each. Importing this loads none of them."""

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
