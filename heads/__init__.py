"""Classifier heads: one file per head, found by `heads.registry`."""

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
