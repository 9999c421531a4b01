"""What a fold is, and the proof that nothing leaks between its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.clips import Clip, Exclusion
from bench.errors import VoxgridError


class LeakError(VoxgridError):
    """Folds break their promise: a bug in voxgrid, never a mistake of the user."""


@dataclass(frozen=True)
class Fold:
    """One outer fold; the three parts are sorted indices (int64) into the clips folded.

    Attributes:
        index: 0, 1, …
        train: what trials are fitted on.
        validation: what trials are scored on; train + validation is what the last refit sees.
        test: what nothing but the final score sees.
        test_groups: groups of the test clips, sorted.
    """

    index: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    test_groups: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """All folds of a protocol.

    Attributes:
        grouped: whether groups never straddle the parts.
        excluded: clips that may be in no fold, each with its reason; those a draw passed over are
            not among them.
        notes: what a reader should know, e.g. that a published fold is missing.
    """

    protocol: str
    grouped: bool
    folds: tuple[Fold, ...]
    excluded: tuple[Exclusion, ...] = ()
    notes: tuple[str, ...] = ()

    def leaks(self, clips: Sequence[Clip]) -> bool:
        """Whether a group is tested in a fold that other of its clips, (n,), are fitted on in."""
        groups = np.array([clip.group for clip in clips])
        return any(
            np.isin(groups[np.concatenate([fold.train, fold.validation])], fold.test_groups).any()
            for fold in self.folds
        )


def inner_folds(fold: Fold, folds: Sequence[Fold]) -> list[tuple[np.ndarray, np.ndarray]]:
    """What tuning may fit on and what it scores on, neither of it tested by the fold.

    Where the folds of a protocol test every clip, those are the other folds in turn: fitted on all
    but two, so that two folds share the fit without both. Elsewhere there is the one validation
    part.

    Returns:
        Sorted indices (int64) of each inner fold's two parts.
    """
    rest = np.union1d(fold.train, fold.validation)
    others = [other.test for other in folds if other.index != fold.index]
    if not others or not np.array_equal(np.sort(np.concatenate(others)), rest):
        return [(fold.train, fold.validation)]
    return [(np.setdiff1d(rest, part), part) for part in others]


def verify(split: Split, clips: Sequence[Clip], recordings: Sequence[str]) -> None:
    """Check that no clip, recording or (grouped protocols) group straddles a fold's parts.

    `clips` are those folded, (n,), and `recordings` say which recording each of them is, (n,).

    Raises:
        LeakError: naming the fold and what leaks; also where a part is empty or a clip is
            tested more than once.
    """
    tested: set[int] = set()
    for fold in split.folds:
        place = f"fold {fold.index} of {split.protocol}"
        parts = {"train": fold.train, "validation": fold.validation, "test": fold.test}
        keys: dict[str, Callable[[int], object]] = {
            "clip": lambda i: i,
            "recording": lambda i: recordings[i],
        }
        if split.grouped:
            keys["group"] = lambda i: clips[i].group
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
        twice = tested & set(fold.test.tolist())
        if twice:
            raise LeakError(f"clip {clips[min(twice)].id} is tested twice by {split.protocol}")
        tested |= set(fold.test.tolist())
