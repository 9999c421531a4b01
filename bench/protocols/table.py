"""Protocols: named ways to fold a task into train, validation and test, and what each promises.

Whatever the protocol, the parts of a fold share no clip and no recording, and under a grouped
protocol no group, and no more do those of an inner fold; `bench.protocols.fold.verify` asserts it
on every fold made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.clips import Clip
from bench.errors import UserError, nearest
from bench.protocols import inner, own
from bench.protocols.fold import Fold, Split, verify
from bench.protocols.makers import (
    DRAWN,
    RANDOM_STATES,
    Maker,
    balanced_109,
    group_kfold,
    random_split,
    speaker_6fold,
)

# Of more outer folds each, inner folds would be as many as pairs of them.
_FEW = 10


@dataclass(frozen=True)
class Protocol:
    """What a protocol is called and promises.

    Attributes:
        name: as on the command line, in records and in paths.
        grouped: whether groups never straddle the parts.
        fewest_per_class: clips of each class it needs.
        summary: one line for `voxgrid list`.
        draws: whether it uses some of the clips only, so that its scores differ from another
            protocol's by more than what leaks.
        repeats: whether each fold is a split of its own. Then a clip may be tested in several,
            scores are means over the folds, and as it takes so many times as long as one split,
            it runs where it is named and not by default.
    """

    name: str
    grouped: bool
    fewest_per_class: int
    summary: str
    make: Maker
    draws: bool = False
    repeats: bool = False


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "speaker-6fold",
            True,
            6,
            "RAVDESS: 6 published folds of 4 actors, every clip tested once on unseen speakers",
            speaker_6fold,
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
            "random-10x80-20",
            False,
            7,
            "ten random stratified splits, a fifth tested in each (random_state=101 to 110): mean "
            "and spread of what leaks; runs where it is named",
            random_split(0.2, RANDOM_STATES),
            repeats=True,
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
            balanced_109,
            draws=True,
        ),
        Protocol(
            "group-kfold",
            True,
            3,
            "five folds of whole groups, or fewer where a class is of few, every clip tested once "
            "on groups not heard before",
            own.group_kfold,
        ),
        Protocol(
            "leave-one-group-out",
            True,
            3,
            "a fold of each group, every clip tested once on a group not heard before",
            own.leave_one_group_out,
        ),
        Protocol(
            "random-kfold",
            False,
            6,
            "five random folds, every clip tested once; groups are on both sides",
            own.random_kfold,
        ),
        Protocol("own-fold", False, 3, "the folds that a table of one's own names", own.own_fold),
        Protocol("own-split", False, 3, "the split that a table of one's own names", own.own_split),
    )
}


def find(protocol: str) -> Protocol:
    """Return a protocol by name.

    Raises:
        UserError: there is none of that name; says which was meant.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"unknown protocol '{protocol}': {nearest(protocol, PROTOCOLS)}")
    return PROTOCOLS[protocol]


def make_folds(
    protocol: str,
    clips: Sequence[Clip],
    recordings: Sequence[str],
    classes: Sequence[str],
    lost: Mapping[str, str] | None = None,
) -> Split:
    """Fold a task's usable clips; which are together depends on ids, not on their order.

    Args:
        protocol: a name in `PROTOCOLS`.
        clips: usable clips, (n,), in any order, no two of one id.
        recordings: which recording each clip is, (n,), such as the hash of its decoded samples;
            clips of one recording are never on two sides.
        classes: the task's class names; each must be in every train part.
        lost: of classes, which of their clips are not usable and why, for the error.

    Raises:
        UserError: unknown protocol, too few clips or recordings of a class, or too few groups.
        LeakError: the folds made are not disjoint (a bug).
    """
    chosen = find(protocol)
    counts = Counter(clip.label for clip in clips)
    for label in classes:
        if counts[label] < chosen.fewest_per_class:
            why = f" ({lost[label]})" if lost and label in lost else ""
            raise UserError(
                f"class '{label}' has {counts[label]} usable clips{why}, and {protocol} needs "
                f"{chosen.fewest_per_class}: add clips of it or leave the class out"
            )
    order = sorted(range(len(clips)), key=lambda i: clips[i].id)
    parts, excluded, notes = chosen.make([clips[i] for i in order], [recordings[i] for i in order])
    folds = []
    for index, made in enumerate(parts):
        train, validation, test = (
            np.array(sorted(order[i] for i in part), dtype=np.int64) for part in made
        )
        groups = tuple(sorted({clips[i].group for i in test}))
        fold = Fold(index, train, validation, test, groups)
        folds.append(fold)
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
    # repeated splits take long enough with one validation part each
    if not chosen.repeats:
        few = chosen.grouped and len(folds) <= _FEW
        # where test groups are never fitted on, those of inner folds are not either
        leaks = Split(protocol, chosen.grouped, tuple(folds)).leaks(clips)
        sides = recordings if leaks else own.together(clips, recordings)
        made_inner = [
            inner.others(fold, folds, clips) if few else inner.dealt(fold, clips, sides)
            for fold in folds
        ]
        folds = [replace(fold, inner=parts) for fold, parts in zip(folds, made_inner, strict=True)]
    split = Split(
        protocol, chosen.grouped, tuple(folds), tuple(excluded), tuple(notes), chosen.repeats
    )
    verify(split, clips, recordings)
    return split
