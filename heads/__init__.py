"""Classifier heads, one file each. Importing this loads none of them."""

from heads.base import FitDiverged, Head, HeadContext, HeadError, HeadInfo, OutOfMemory, Reads
from heads.sequences import Epoch, Sequences, TrainableClips, TrainedHead, Training

__all__ = [
    "Epoch",
    "FitDiverged",
    "Head",
    "HeadContext",
    "HeadError",
    "HeadInfo",
    "OutOfMemory",
    "Reads",
    "Sequences",
    "TrainableClips",
    "TrainedHead",
    "Training",
]
