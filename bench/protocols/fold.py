"""What a fold is, and the proof that nothing leaks between its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.clips import Clip, Exclusion
from bench.errors import VoxgridError


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
        return np.union1d(self.train, self.validation)


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
        return any(
            np.isin(groups[np.concatenate([fold.train, fold.validation])], fold.test_groups).any()
            for fold in self.folds
        )


def verify(split: Split, clips: Sequence[Clip], recordings: Sequence[str]) -> None:
    """Check that no clip, recording or (grouped protocols) group straddles a fold's parts.

    Nor may one straddle what an inner fold is fitted and scored on. `clips` are those folded,
    (n,), and `recordings` say which recording each of them is, (n,).

    Raises:
        LeakError: naming the fold and what leaks; also where a part is empty, a clip is tested
            in more than one fold that is no split of its own, or an inner fold has clips that are
            not of train or validation.
    """
    keys: dict[str, Callable[[int], object]] = {
        "clip": lambda i: i,
        "recording": lambda i: recordings[i],
    }
    if split.grouped:
        keys["group"] = lambda i: clips[i].group
    tested: set[int] = set()
    for fold in split.folds:
        place = f"fold {fold.index} of {split.protocol}"
        parts = {"train": fold.train, "validation": fold.validation, "test": fold.test}
        _are_apart(parts, keys, place)
        for number, scored in enumerate(fold.inner):
            inner = f"inner fold {number} of {place}"
            strangers = np.setdiff1d(scored, fold.rest)
            if len(strangers):
                raise LeakError(
                    f"clip {clips[strangers[0]].id} is in {inner}, and not in its train or "
                    "validation part"
                )
            fitted = np.setdiff1d(fold.rest, scored)
            _are_apart({"train": fitted, "validation": scored}, keys, inner)
        twice = tested & set(fold.test.tolist())
        if twice and not split.repeats:
            raise LeakError(f"clip {clips[min(twice)].id} is tested twice by {split.protocol}")
        tested |= set(fold.test.tolist())


def _are_apart(
    parts: Mapping[str, np.ndarray], keys: Mapping[str, Callable[[int], object]], place: str
) -> None:
    for what, key in keys.items():
        owner: dict[object, str] = {}
        for part, indices in parts.items():
            if not len(indices):
                raise LeakError(f"{place} has an empty {part} part")
            for i in indices.tolist():
                if owner.setdefault(key(i), part) != part:
                    raise LeakError(
                        f"{what} {key(i)} is in both {owner[key(i)]} and {part} of {place}"
                    )
