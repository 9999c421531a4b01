"""Heads on frames or a backbone: correct ones, and one that breaks each check of training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.utils.validation import check_is_fitted

from heads.base import HeadInfo
from heads.sequences import Epoch, Training
from tests.heads.broken.vectors import Centroids

INFO = HeadInfo(name="averages", summary="class means of mean frames, approached epoch by epoch")
CHECKPOINT = "means.npy"


class Averages(Centroids):
    """A correct little head: mean frames, and class means that epochs approach."""

    info = INFO
    reads = "frames"
    epochs = 4

    def fit(self, X, y, training=None):
        training = training or Training()
        self.means_, self.n_features_in_ = np.zeros((len(set(y)), self._frames(X).width)), None
        states = self._restore(training)
        self.curve_, self.best_epoch_, self.precision_ = [], None, "float32"
        for index in range(self.epochs):
            if index == len(states):
                vectors, codes = self.check_training_data(self._pooled(X, 17 + index), y)
                self.n_features_in_ = vectors.shape[1]
                states.append(self._means(vectors, codes) * (index + 1) / self.epochs)
                self._save(training, states)
            self.means_ = states[index]
            self._check_labels(X, y)
            self._record(training, index)
        return self

    def predict_proba(self, X):
        check_is_fitted(self)
        return self._from(self.check_vectors(self._pooled(X, None)))

    def _frames(self, X):
        return X

    def _check_labels(self, X, y):
        self.check_training_data(self._pooled(X, None), y)

    def _pooled(self, X, augment):
        frames, lengths = self._frames(X).batch(np.arange(len(X)), augment=augment)
        frames = self._layer(X, frames, lengths)
        own = np.arange(frames.shape[2]) < lengths.numpy()[:, None]
        return (frames[:, 0].numpy() * own[..., None]).sum(axis=1) / lengths.numpy()[:, None]

    def _layer(self, X, frames, lengths):
        return frames

    def _restore(self, training):
        if training.folder is None or not (training.folder / CHECKPOINT).exists():
            return []
        return list(np.load(training.folder / CHECKPOINT))

    def _save(self, training, states):
        if training.folder is not None:
            training.folder.mkdir(parents=True, exist_ok=True)
            np.save(training.folder / CHECKPOINT, np.stack(states))

    def _record(self, training, index):
        scores = (None, None, None)
        if training.validation is not None:
            clips, labels = training.validation
            right = self.predict(clips) == np.asarray(labels)
            loss = -np.log(self.predict_proba(clips).max(axis=1)).mean()
            scores = (float(loss), float(right.mean()), float(right.mean()))
        self.curve_.append(Epoch(index, 1.0, 0.0, *scores))
        self._tell(training, self.curve_[-1])

    def _tell(self, training, epoch):
        if training.on_epoch is not None:
            training.on_epoch(epoch)


class BackboneAverages(Averages):
    """The same on the frames of a live backbone, none of which it trains."""

    reads = "backbone"

    def reads_from(self, cut):
        return cut

    def _frames(self, X):
        return X.inputs(0)


class TellsAnotherLayer(BackboneAverages):
    def reads_from(self, cut):
        return cut - 1


class KeepsEpochsToItself(Averages):
    def _tell(self, training, epoch):
        if training.folder is not None:
            super()._tell(training, epoch)
        elif epoch.index == 0:
            super()._tell(training, replace(epoch, index=1))


class ForgetsItsCurve(Averages):
    def _record(self, training, index):
        super()._record(training, index)
        self.best_epoch_ = index + 1


class StartsAnew(Averages):
    def _restore(self, training):
        return []


class AugmentsPredictions(Averages):
    def predict_proba(self, X):
        check_is_fitted(self)
        return self._from(self.check_vectors(self._pooled(X, 17)))


class PoolsPadding(Averages):
    """One class of the same fault as `CentresTheBatch`, where only lengths show it."""

    def _pooled(self, X, augment):
        frames, _ = self._frames(X).batch(np.arange(len(X)), augment=augment)
        return frames.mean(dim=2)[:, 0].numpy()
