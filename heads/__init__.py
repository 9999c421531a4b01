"""Classifier heads: one file per head, found by `heads.registry`."""

from heads.base import FitDiverged, Head, HeadContext, HeadError, HeadInfo

__all__ = ["FitDiverged", "Head", "HeadContext", "HeadError", "HeadInfo"]
