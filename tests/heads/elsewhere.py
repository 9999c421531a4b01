"""A head of another package that trains the backbone, in words of its own."""

from __future__ import annotations

from heads.base import HeadInfo
from tests.heads.broken.sequences import BackboneAverages
from tests.heads.broken.vectors import Centroids

INFO = HeadInfo(name="elsewhere", summary="class means of what the blocks above some depth make")


class OnVectors(Centroids):
    info = INFO


class Elsewhere(BackboneAverages):
    """Passes the frames through a copy of the last blocks; `depth` of them."""

    info = INFO

    def __init__(self, sharpness=1.0, depth=1, random_state=None, n_jobs=1):
        super().__init__(sharpness, random_state, n_jobs)
        self.depth = depth

    @staticmethod
    def suggest(trial, context):
        deepest = context.blocks if context.cut is None else context.cut
        depth = min(trial.suggest_int("depth", 1, max(1, context.blocks)), deepest)
        return {"sharpness": trial.suggest_float("sharpness", 0.5, 2.0), "depth": depth}

    @staticmethod
    def first(context):
        return {"sharpness": 1.0, "depth": 1}

    def reads_from(self, cut):
        return cut - self.depth

    def _frames(self, X):
        return X.inputs(self.depth)

    def _layer(self, X, frames, lengths):
        import torch

        with torch.no_grad():
            return X.tail(self.depth).eval()(frames[:, 0], lengths).hidden[-1][:, None]
