"""Inner folds: the parts of train + validation that settings are scored on in turn.

Each part is sorted indices (int64) into the clips folded; what is scored on one was fitted on the
rest of train + validation, where every class is. Where no parts are like that, validation is one.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from bench.clips import Clip
from bench.protocols.fold import Fold
from bench.protocols.grouping import codes_of, deal

MOST = 5

Parts = tuple[np.ndarray, ...]


def others(fold: Fold, folds: Sequence[Fold], clips: Sequence[Clip]) -> Parts:
    """The test parts of a protocol's other folds, where those are all of train + validation.

    Two outer folds then share the fit without both. `clips` are those folded, (n,).
    """
    parts = tuple(other.test for other in folds if other.index != fold.index)
    whole = parts and np.array_equal(np.sort(np.concatenate(parts)), fold.rest)
    return parts if whole and _serve(parts, fold, clips) else (fold.validation,)


def dealt(fold: Fold, clips: Sequence[Clip], recordings: Sequence[str]) -> Parts:
    """Five parts of whole recordings, even in size and class mix; fewer of a rare class.

    `clips` are those folded, (n,), and `recordings` say which recording each of them is, (n,).
    """
    # dealt in the order of a hash, since ids count through speakers and sentences
    order = sorted(fold.rest.tolist(), key=lambda i: hashlib.sha256(clips[i].id.encode()).digest())
    labels = [clips[i].label for i in order]
    sets: dict[str, list[int]] = defaultdict(list)
    for place, i in enumerate(order):
        sets[recordings[i]].append(place)
    held = Counter(label for label, _ in {(clips[i].label, recordings[i]) for i in order})
    for k in range(min(MOST, *held.values()), 1, -1):
        places = deal(list(sets.values()), labels, k)
        parts = tuple(np.array(sorted(order[p] for p in part), dtype=np.int64) for part in places)
        if _serve(parts, fold, clips):
            return parts
    return (fold.validation,)


def _serve(parts: Parts, fold: Fold, clips: Sequence[Clip]) -> bool:
    """Whether there is something to score on each part, and of every class to fit on."""
    label_of = codes_of([clip.label for clip in clips])
    of_class = np.bincount(label_of[fold.rest], minlength=len(clips))
    held = (np.bincount(label_of[part], minlength=len(clips)) for part in parts)
    # a class is missed by the rest where a part holds all there is of it
    return all(map(len, parts)) and not any(((own == of_class) & (own > 0)).any() for own in held)
