"""What the conformance suite looks at: a head, and what it makes of a few synthetic clips."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads.base import Head, HeadContext

CLASSES = ("calm", "happy", "sad")
TRAINING = 48
UNSEEN = 24
FEATURES = 64
BLOCKS = 2
# How far apart the classes' means lie, in standard deviations of one feature.
SEPARATION = 3.0


class CheckFailed(AssertionError):
    """A contract is broken; the message says how."""


def require(holds: object, problem: str) -> None:
    """Fail a check unless something is true. Not an `assert`, which `python -O` would leave out.

    Raises:
        CheckFailed: it is not.
    """
    if not holds:
        raise CheckFailed(problem)


def require_plain(params: Mapping[str, Any], source: str) -> None:
    """Fail a check unless parameters can be written into a record.

    Raises:
        CheckFailed: one is no plain number, word, bool or None.
    """
    for name, value in params.items():
        require(
            value is None or type(value) in (bool, int, float, str),
            f"{source} returns {name} as {type(value).__name__}; records are JSON, so it has to be "
            "a plain number, word, bool or None",
        )


class HeadSubject:
    """A head under test, its synthetic clips, and what it made of them.

    The clips are those the head reads: standardised vectors, sequences of frames, or the clips of
    a small live backbone. Three classes are far apart.

    Args:
        head: the class.
    """

    def __init__(self, head: type[Head]) -> None:
        self.cls = head
        self.info = head.info
        self.reads = head.reads
        cut = BLOCKS if head.reads == "backbone" else None
        self.context = HeadContext(TRAINING, FEATURES, len(CLASSES), cut or 0, cut)

    def __repr__(self) -> str:
        return self.info.name if self.reads == "vectors" else f"{self.info.name}-{self.reads}"

    def create(self, random_state: int = 0, **params: Any) -> Head:
        """A new head on one thread, by default with the parameters its author chose."""
        return self.cls(**params, random_state=random_state, n_jobs=1)

    @property
    def clips(self) -> Any:
        """Training clips of three classes, made anew so that no check finds another's traces."""
        return self.make(self.codes)

    @property
    def labels(self) -> NDArray[Any]:
        """Their labels, of which the first to occur is not the first in the alphabet."""
        return np.array(CLASSES)[self.codes]

    @property
    def codes(self) -> NDArray[np.int64]:
        """The labels as positions in `CLASSES`, (clips,)."""
        return (np.arange(TRAINING) + 1) % len(CLASSES)

    @property
    def unseen(self) -> tuple[Any, NDArray[Any]]:
        """Other clips of the same classes, made anew, and their labels."""
        codes = np.arange(UNSEEN) % len(CLASSES)
        return self.make(codes, seed=1), np.array(CLASSES)[codes]

    @cached_property
    def fitted(self) -> Head:
        """A head fitted on the training clips; no check may fit it again."""
        return self.create().fit(self.clips, self.labels)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """What it predicts for the unseen clips, (clips, classes)."""
        return self.fitted.predict_proba(self.unseen[0])

    def make(
        self,
        codes: NDArray[np.int64],
        seed: int = 0,
        features: int = FEATURES,
        separation: float = SEPARATION,
        bad: float = 0.0,
    ) -> Any:
        """Clips of the given classes.

        Args:
            codes: class of each clip, (clips,).
            seed: of the noise.
            features: length of a vector, or width of a frame.
            separation: of the classes' means, in standard deviations of one feature.
            bad: added to one number of clip 1.
        """
        rng = np.random.default_rng(seed)
        directions = np.random.default_rng(99).standard_normal((len(CLASSES), features))
        means = separation * directions
        if self.reads == "vectors":
            vectors = means[codes] + rng.standard_normal((len(codes), features))
            vectors[1, 2] += bad
            # as the harness standardises them; statistics of what is expected, not of the clips
            scale = np.sqrt(1 + SEPARATION**2 * directions.var(axis=0))
            return ((vectors - means.mean(axis=0)) / scale).astype(np.float32)
        frames = [
            (means[code] + rng.standard_normal((1, int(rng.integers(4, 12)), features)))
            for code in codes
        ]
        frames[1][0, 1, 2] += bad
        return self.sequences([clip.astype(np.float32) for clip in frames])

    def sequences(self, frames: list[NDArray[np.float32]]) -> Any:
        """Clips of the given frames, each (layers, frames, width), as the head wants them."""
        from heads._conformance.in_memory import MemoryClips, MemorySequences, backbone

        sequences = MemorySequences(frames)
        if self.reads == "frames":
            return sequences
        return MemoryClips(sequences, backbone(BLOCKS, sequences.width))

    def take(self, clips: Any, indices: NDArray[np.int64]) -> Any:
        """Some of the clips."""
        return clips[indices] if self.reads == "vectors" else clips.take(indices)

    def asked_for_augmentation(self, clips: Any) -> int:
        """How many batches the head has drawn of these clips for training."""
        sequences = clips if self.reads == "frames" else clips.stem
        return sum(seed is not None for _, seed in sequences.batches)
