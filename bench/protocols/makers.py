"""Makers of folds: what each protocol does with clips and the recordings they are of.

A recording that occurs twice: `group_kfold` protocols merge the groups that share it; the published
speaker folds cannot be merged, so the copy of the later speaker (by clip id) is excluded;
the random ones move every copy of one that would straddle to the train part;
`balanced-109` draws one copy at most.

Makers are given clips in the order of their ids, so that folds follow from ids alone.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence

from sklearn.model_selection import train_test_split

from bench.clips import Clip, Exclusion
from bench.errors import UserError
from bench.protocols.grouping import components, deal

# Test actors per fold as published by EmoBox
RAVDESS_FOLDS = (
    ("01", "11", "20", "21"),
    ("04", "10", "12", "14"),
    ("08", "09", "19", "23"),
    ("03", "05", "07", "24"),
    ("02", "15", "16", "18"),
    ("06", "13", "17", "22"),
)
RANDOM_STATE = 101
# of random-10x80-20, whose first split is that of random-80-20
RANDOM_STATES = tuple(range(RANDOM_STATE, RANDOM_STATE + 10))
# Clips of each class under balanced-109: validation has as many as test.
DRAWN = 109
DRAWN_FOR_TEST = 11


# Clips of the train, validation and test part of a fold, as positions.
Parts = tuple[list[int], list[int], list[int]]
# What a maker returns: parts of each fold, excluded clips and notes.
Made = tuple[list[Parts], list[Exclusion], list[str]]
# Clips (n,), sorted by id, and the recording each is of (n,) → folds.
Maker = Callable[[Sequence[Clip], Sequence[str]], Made]


def rotate(folds: Sequence[list[int]]) -> list[Parts]:
    """Test = fold k, validation = fold k + 1, train = the others."""
    k = len(folds)
    return [
        (
            [i for other in range(k) if other not in (test, (test + 1) % k) for i in folds[other]],
            folds[(test + 1) % k],
            folds[test],
        )
        for test in range(k)
    ]


def speaker_6fold(clips: Sequence[Clip], recordings: Sequence[str]) -> Made:
    """Make the published folds of RAVDESS's actors; some of them, where not all actors are here."""
    fold_of = {actor: fold for fold, actors in enumerate(RAVDESS_FOLDS) for actor in actors}
    strangers = sorted({clip.group for clip in clips} - set(fold_of))
    if strangers:
        raise UserError(
            f"speaker-6fold is RAVDESS's own protocol and knows no speaker '{strangers[0]}': "
            "choose another protocol for this task"
        )
    first: dict[str, Clip] = {}
    folds: list[list[int]] = [[] for _ in RAVDESS_FOLDS]
    excluded = []
    for i, clip in enumerate(clips):
        original = first.setdefault(recordings[i], clip)
        if original.group != clip.group:
            reason = f"the same recording as {original.id}, which is of another speaker"
            excluded.append(Exclusion(clip.id, reason))
        else:
            folds[fold_of[clip.group]].append(i)
    present = [fold for fold in folds if fold]
    if len(present) < 3:
        raise UserError(
            f"speaker-6fold needs speakers of 3 of its 6 folds, and {len(present)} are here: "
            "add the missing Actor_NN folders"
        )
    absent = sorted(set(fold_of) - {clips[i].group for fold in folds for i in fold})
    notes = []
    if absent:
        notes.append(
            f"speaker-6fold runs {len(present)} of its 6 folds, without actors " + ", ".join(absent)
        )
    return rotate(present), excluded, notes


def group_kfold(k: int) -> Maker:
    """Return a maker of k folds of whole groups, even in size and class mix."""

    def make(clips: Sequence[Clip], recordings: Sequence[str]) -> Made:
        sets = components([clip.group for clip in clips], recordings)
        if len(sets) < k:
            raise UserError(
                f"{k} folds of whole groups need {k} groups that share no recording, and there "
                f"are {len(sets)}: add clips of other groups or choose another protocol"
            )
        return rotate(deal(sets, [clip.label for clip in clips], k)), [], []

    return make


def random_split(held_out: float, states: Sequence[int] = (RANDOM_STATE,)) -> Maker:
    """Return a maker of stratified random folds, each a split of all clips.

    Args:
        held_out: share of all clips that is tested, and of the rest that is validation.
        states: random state of each fold.
    """

    def split(clips: Sequence[Clip], recordings: Sequence[str], state: int) -> Parts:
        def apart(indices: list[int]) -> list[list[int]]:
            labels = [clips[i].label for i in indices]
            return train_test_split(  # type: ignore[no-any-return]
                indices, test_size=held_out, random_state=state, stratify=labels
            )

        rest, test = apart(list(range(len(clips))))
        train, validation = apart(rest)
        parts_of = defaultdict(set)
        for name, part in (("train", train), ("validation", validation), ("test", test)):
            for i in part:
                parts_of[recordings[i]].add(name)
        straddling = {recording for recording, names in parts_of.items() if len(names) > 1}
        train += [i for i in validation + test if recordings[i] in straddling]
        validation = [i for i in validation if recordings[i] not in straddling]
        test = [i for i in test if recordings[i] not in straddling]
        return train, validation, test

    def make(clips: Sequence[Clip], recordings: Sequence[str]) -> Made:
        return [split(clips, recordings, state) for state in states], [], []

    return make


def balanced_109(clips: Sequence[Clip], recordings: Sequence[str]) -> Made:
    """Make one fold of 109 different recordings of each class, drawn by a hash of their ids."""

    def lot(i: int) -> bytes:
        return hashlib.sha256(f"{RANDOM_STATE}|{clips[i].id}".encode()).digest()

    first: dict[str, int] = {}
    for i, recording in enumerate(recordings):
        first.setdefault(recording, i)
    by_class: dict[str, list[int]] = defaultdict(list)
    # in the order of a hash, a clip that goes missing changes at most one place of each part
    for i in sorted(first.values(), key=lot):
        by_class[clips[i].label].append(i)
    train, validation, test = [], [], []
    for label, drawn in sorted(by_class.items()):
        if len(drawn) < DRAWN:
            raise UserError(
                f"class '{label}' has {len(drawn)} different recordings, and balanced-109 needs "
                f"{DRAWN}: add clips of it or choose another protocol"
            )
        test += drawn[:DRAWN_FOR_TEST]
        validation += drawn[DRAWN_FOR_TEST : 2 * DRAWN_FOR_TEST]
        train += drawn[2 * DRAWN_FOR_TEST : DRAWN]
    used = len(train) + len(validation) + len(test)
    note = f"balanced-109 draws {used} of {len(clips)} clips, {DRAWN} of each class"
    return [(train, validation, test)], [], [note]
