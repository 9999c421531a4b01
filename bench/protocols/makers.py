"""Protocols: named ways to fold a task into train, validation and test.

Whatever the protocol, the parts of a fold share no clip and no recording, and under a grouped
protocol no group; `bench.protocols.fold.verify` asserts it on every fold made. A recording that
occurs twice: `group_kfold` protocols merge the groups that share it; the published speaker folds
cannot be merged, so the copy of the later speaker (by clip id) is excluded; `random-80-20` and
`random-75-25` move every copy of one that would straddle to the train part; `balanced-109` draws
one copy at most.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

from bench.clips import Clip, Exclusion
from bench.errors import UserError, nearest
from bench.protocols.fold import Fold, LeakError, Split, verify
from bench.protocols.grouping import components, deal

__all__ = ["PROTOCOLS", "Fold", "LeakError", "Split", "describe", "find", "make_folds", "verify"]

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
# Clips of each class under balanced-109: validation has as many as test.
DRAWN = 109
DRAWN_FOR_TEST = 11


@dataclass(frozen=True)
class Protocol:
    """What a protocol is called and promises.

    Attributes:
        name: as on the command line, in records and in paths.
        grouped: whether groups never straddle the parts.
        fewest_per_class: clips of each class it needs.
        summary: one line for `voxgrid list`.
        make: clips and their recordings → folds, excluded clips and notes.
        draws: whether it uses some of the clips only, so that its scores differ from another
            protocol's by more than what leaks.
    """

    name: str
    grouped: bool
    fewest_per_class: int
    summary: str
    make: _Maker
    draws: bool = False


_Parts = tuple[list[int], list[int], list[int]]
_Made = tuple[list[_Parts], list[Exclusion], list[str]]
_Maker = Callable[[Sequence[Clip], Sequence[str]], _Made]


def make_folds(
    protocol: str, clips: Sequence[Clip], recordings: Sequence[str], classes: Sequence[str]
) -> Split:
    """Fold a task's usable clips.

    Args:
        protocol: a name in `PROTOCOLS`.
        clips: usable clips, (n,), in the task's order.
        recordings: which recording each clip is, (n,), such as the hash of its decoded samples;
            clips of one recording are never on two sides.
        classes: the task's class names; each must be in every train part.

    Raises:
        UserError: unknown protocol, too few clips or recordings of a class, or too few groups.
        LeakError: the folds made are not disjoint (a bug).
    """
    chosen = find(protocol)
    counts = Counter(clip.label for clip in clips)
    for label in classes:
        if counts[label] < chosen.fewest_per_class:
            raise UserError(
                f"class '{label}' has {counts[label]} usable clips, and {protocol} needs "
                f"{chosen.fewest_per_class}: add clips of it or leave the class out"
            )
    parts, excluded, notes = chosen.make(clips, recordings)
    folds = tuple(
        Fold(
            index,
            _indices(train),
            _indices(validation),
            _indices(test),
            tuple(sorted({clips[i].group for i in test})),
        )
        for index, (train, validation, test) in enumerate(parts)
    )
    for fold in folds:
        if min(len(fold.train), len(fold.validation), len(fold.test)) == 0:
            raise UserError(
                f"fold {fold.index} of {protocol} would have an empty part: too few different "
                "recordings, so add clips or choose another protocol"
            )
        missing = sorted(set(classes) - {clips[i].label for i in fold.train})
        if missing:
            raise UserError(
                f"class '{missing[0]}' ({counts[missing[0]]} clips) is absent from the train part "
                f"of fold {fold.index} of {protocol}: its clips come from too few groups, so add "
                "clips of other groups or leave the class out"
            )
    split = Split(protocol, chosen.grouped, folds, tuple(excluded), tuple(notes))
    verify(split, clips, recordings)
    return split


def _indices(part: list[int]) -> np.ndarray:
    return np.array(sorted(part), dtype=np.int64)


def find(protocol: str) -> Protocol:
    """Return a protocol by name.

    Raises:
        UserError: there is none of that name; says which was meant.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"unknown protocol '{protocol}': {nearest(protocol, list(PROTOCOLS))}")
    return PROTOCOLS[protocol]


def describe(protocol: str) -> str:
    """Return one line about a protocol, for `voxgrid list`.

    Raises:
        UserError: unknown protocol.
    """
    return find(protocol).summary


def _rotate(folds: Sequence[list[int]]) -> list[_Parts]:
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


def _speaker_6fold(clips: Sequence[Clip], recordings: Sequence[str]) -> _Made:
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
    for i in sorted(range(len(clips)), key=lambda i: clips[i].id):
        original = first.setdefault(recordings[i], clips[i])
        if original.group != clips[i].group:
            reason = f"the same recording as {original.id}, which is of another speaker"
            excluded.append(Exclusion(clips[i].id, reason))
        else:
            folds[fold_of[clips[i].group]].append(i)
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
    return _rotate(present), excluded, notes


def group_kfold(k: int) -> _Maker:
    """Return a maker of k folds of whole groups, even in size and class mix."""

    def make(clips: Sequence[Clip], recordings: Sequence[str]) -> _Made:
        sets = components([clip.group for clip in clips], recordings)
        if len(sets) < k:
            raise UserError(
                f"{k} folds of whole groups need {k} groups that share no recording, and there "
                f"are {len(sets)}: add clips of other groups or choose another protocol"
            )
        return _rotate(deal(sets, [clip.label for clip in clips], k)), [], []

    return make


def random_split(held_out: float) -> _Maker:
    """Return a maker of one stratified random fold.

    Args:
        held_out: share of all clips that is tested, and of the rest that is validation.
    """

    def make(clips: Sequence[Clip], recordings: Sequence[str]) -> _Made:
        by_id = sorted(range(len(clips)), key=lambda i: clips[i].id)
        labels = [clip.label for clip in clips]
        rest, test = _stratified(by_id, labels, held_out)
        train, validation = _stratified(rest, labels, held_out)
        parts_of = defaultdict(set)
        for name, part in (("train", train), ("validation", validation), ("test", test)):
            for i in part:
                parts_of[recordings[i]].add(name)
        straddling = {recording for recording, names in parts_of.items() if len(names) > 1}
        train += [i for i in validation + test if recordings[i] in straddling]
        validation = [i for i in validation if recordings[i] not in straddling]
        test = [i for i in test if recordings[i] not in straddling]
        return [(train, validation, test)], [], []

    return make


def _stratified(
    indices: Sequence[int], labels: Sequence[str], held_out: float
) -> tuple[list[int], list[int]]:
    kept, apart = train_test_split(
        indices,
        test_size=held_out,
        random_state=RANDOM_STATE,
        stratify=[labels[i] for i in indices],
    )
    return list(kept), list(apart)


def _balanced_109(clips: Sequence[Clip], recordings: Sequence[str]) -> _Made:
    first: dict[str, int] = {}
    for i in sorted(range(len(clips)), key=lambda i: clips[i].id):
        first.setdefault(recordings[i], i)
    by_class: dict[str, list[int]] = defaultdict(list)
    # in the order of a hash, a clip that goes missing changes at most one place of each part
    for i in sorted(first.values(), key=lambda i: _lot(clips[i].id)):
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


def _lot(clip: str) -> bytes:
    return hashlib.sha256(f"{RANDOM_STATE}|{clip}".encode()).digest()


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "speaker-6fold",
            True,
            6,
            "RAVDESS: 6 published folds of 4 actors, every clip tested once on unseen speakers",
            _speaker_6fold,
        ),
        Protocol(
            "speaker-3fold",
            True,
            3,
            "3 folds of whole speakers, every clip tested once on unseen speakers",
            group_kfold(3),
        ),
        Protocol(
            "channel-5fold",
            True,
            5,
            "5 folds of whole channels, every clip tested once on unseen channels",
            group_kfold(5),
        ),
        Protocol(
            "random-80-20",
            False,
            7,
            "one random stratified split, a fifth tested (random_state=101); groups are on both "
            "sides, for comparison only",
            random_split(0.2),
        ),
        Protocol(
            "random-75-25",
            False,
            6,
            "one random stratified split, a quarter tested (random_state=101); groups are on both "
            "sides, for comparison only",
            random_split(0.25),
        ),
        Protocol(
            "balanced-109",
            False,
            DRAWN,
            "109 clips drawn of each class, 98 to train (11 of them for validation) and 11 tested; "
            "groups are on both sides, for comparison only",
            _balanced_109,
            draws=True,
        ),
    )
}
