"""What a fold is, and the proof that nothing leaks between its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.clips import Clip, Exclusion
from bench.errors import VoxgridError
from bench.protocols.grouping import codes_of


class LeakError(VoxgridError):
    """Folds break their promise: a bug in voxgrid, never a mistake of the user."""


@dataclass(frozen=True)
class Fold:
    """One outer fold; all parts are sorted indices (int64) into the clips folded.

    Attributes:
        index: 0, 1, …
        train: what trials are fitted on.
        validation: what trials are scored on; train + validation is what the last refit sees.
        test: what nothing but the final score sees.
        test_groups: groups of the test clips, sorted.
        inner: parts of train + validation that settings are scored on in turn, where all of them
            are tried; each is scored by fits on the rest. Validation alone by default.
    """

    index: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    test_groups: tuple[str, ...]
    inner: tuple[np.ndarray, ...] = ()

    def __post_init__(self) -> None:
        if not self.inner:
            object.__setattr__(self, "inner", (self.validation,))

    @property
    def rest(self) -> np.ndarray:
        """Train + validation, sorted."""
        return np.sort(np.concatenate([self.train, self.validation]))


@dataclass(frozen=True)
class Split:
    """All folds of a protocol.

    Attributes:
        grouped: whether groups never straddle the parts.
        excluded: clips that may be in no fold, each with its reason; those a draw passed over are
            not among them.
        notes: what a reader should know, e.g. that a published fold is missing.
        repeats: whether each fold is a split of its own, so that clips may be tested in several.
    """

    protocol: str
    grouped: bool
    folds: tuple[Fold, ...]
    excluded: tuple[Exclusion, ...] = ()
    notes: tuple[str, ...] = ()
    repeats: bool = False

    def leaks(self, clips: Sequence[Clip]) -> bool:
        """Whether a group is tested in a fold that other of its clips, (n,), are fitted on in."""
        groups = np.array([clip.group for clip in clips])
        return any(np.isin(groups[fold.rest], fold.test_groups).any() for fold in self.folds)


def verify(split: Split, clips: Sequence[Clip], recordings: Sequence[str]) -> None:
    """Check that no clip, recording or (grouped protocols) group straddles a fold's parts.

    Nor may one straddle what an inner fold is fitted and scored on. `clips` are those folded,
    (n,), and `recordings` say which recording each of them is, (n,).

    Raises:
        LeakError: naming the fold and what leaks; also where a part is empty, a clip is tested
            in more than one fold that is no split of its own, or an inner fold has clips that are
            not of train or validation.
    """
    keys = {"clip": np.arange(len(clips)), "recording": codes_of(recordings)}
    if split.grouped:
        keys["group"] = codes_of([clip.group for clip in clips])
    tested = np.zeros(len(clips), dtype=bool)
    for fold in split.folds:
        place = f"fold {fold.index} of {split.protocol}"
        parts = {"train": fold.train, "validation": fold.validation, "test": fold.test}
        _are_apart(parts, keys, clips, recordings, place)
        known = np.zeros(len(clips), dtype=bool)
        known[fold.train] = known[fold.validation] = True
        for number, scored in enumerate(fold.inner):
            inner = f"inner fold {number} of {place}"
            strangers = scored[~known[scored]]
            if len(strangers):
                raise LeakError(
                    f"clip {clips[strangers.min()].id} is in {inner}, and not in its train or "
                    "validation part"
                )
            fitted = known.copy()
            fitted[scored] = False
            both = {"train": np.flatnonzero(fitted), "validation": scored}
            _are_apart(both, keys, clips, recordings, inner)
        twice = fold.test[tested[fold.test]]
        if len(twice) and not split.repeats:
            raise LeakError(f"clip {clips[twice.min()].id} is tested twice by {split.protocol}")
        tested[fold.test] = True


def _are_apart(
    parts: Mapping[str, np.ndarray],
    keys: Mapping[str, np.ndarray],
    clips: Sequence[Clip],
    recordings: Sequence[str],
    place: str,
) -> None:
    """Raise where a part is empty, or a clip, recording or group is in two of them."""
    for what, codes in keys.items():
        owner = np.full(codes.max(initial=0) + 1, -1)
        for number, (part, indices) in enumerate(parts.items()):
            if not len(indices):
                raise LeakError(f"{place} has an empty {part} part")
            before = owner[codes[indices]]
            if (before >= 0).any():
                first = int(indices[before >= 0].min())
                named = {"clip": first, "recording": recordings[first], "group": clips[first].group}
                other = list(parts)[before[before >= 0].min()]
                raise LeakError(f"{what} {named[what]} is in both {other} and {part} of {place}")
            owner[codes[indices]] = number
