"""Makers of folds for anybody's clips: how many folds there are follows from the clips."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from bench.clips import Clip, Exclusion
from bench.errors import UserError
from bench.protocols.grouping import components, deal
from bench.protocols.makers import Made, Parts, rotate

MOST_FOLDS = 5
# A fold is tested, another is validation, and something has to be left to fit on.
_FEWEST = 3
_PARTS = {
    "train": ("train", "training", "tr"),
    "validation": ("validation", "valid", "val", "dev", "development"),
    "test": ("test", "testing", "eval", "evaluation", "te"),
}


def group_kfold(clips: Sequence[Clip], recordings: Sequence[str]) -> Made:
    """Make five folds of whole groups, or as many fewer as keep every class in each train part."""
    sets = components([clip.group for clip in clips], recordings)
    labels = [clip.label for clip in clips]
    for k in range(min(MOST_FOLDS, len(sets)), _FEWEST - 1, -1):
        parts = rotate(deal(sets, labels, k))
        if _serve(parts, labels):
            return parts, [], []
    if len(sets) < _FEWEST:
        raise UserError(
            f"group-kfold needs clips of {_FEWEST} groups that share no recording, and there are "
            f"{len(sets)}: add clips of others, or choose random-kfold, whose figures are too good"
        )
    of: dict[str, set[int]] = defaultdict(set)
    for place, members in enumerate(sets):
        for i in members:
            of[labels[i]].add(place)
    rare = min(of, key=lambda label: (len(of[label]), label))
    raise UserError(
        f"group-kfold leaves a train part without class '{rare}', whose clips are of "
        f"{len(of[rare])} of {len(sets)} groups: add clips of it from others, or leave it out"
    )


def leave_one_group_out(clips: Sequence[Clip], recordings: Sequence[str]) -> Made:
    """Make a fold of each group; groups that share a recording are one."""
    sets = components([clip.group for clip in clips], recordings)
    if len(sets) < _FEWEST:
        raise UserError(
            f"leave-one-group-out needs {_FEWEST} groups that share no recording, and there are "
            f"{len(sets)}: add clips of others"
        )
    return rotate([sorted(members) for members in sets]), [], []


def random_kfold(clips: Sequence[Clip], recordings: Sequence[str]) -> Made:
    """Make five folds, even in size and class mix, of whole recordings and split groups."""
    # ids count through speakers and sentences, and a hash does not
    order = sorted(range(len(clips)), key=lambda i: hashlib.sha256(clips[i].id.encode()).digest())
    sets: dict[str, list[int]] = defaultdict(list)
    for place, i in enumerate(order):
        sets[recordings[i]].append(place)
    labels = [clips[i].label for i in order]
    for k in range(MOST_FOLDS, _FEWEST - 1, -1):
        dealt = deal(list(sets.values()), labels, k)
        parts = rotate([sorted(order[place] for place in fold) for fold in dealt])
        if _serve(parts, [clip.label for clip in clips]):
            return parts, [], []
    raise UserError("random-kfold finds too few different recordings of a class: add clips")


def own_fold(clips: Sequence[Clip], recordings: Sequence[str]) -> Made:
    """Make the folds that a table names, each tested once, the next one being validation."""
    kept, excluded = _once(clips, recordings)
    folds: dict[str, list[int]] = defaultdict(list)
    for i in kept:
        folds[str(clips[i].part)].append(i)
    if "" in folds:
        raise UserError(f"clip '{clips[folds[''][0]].id}' has no fold in the table: fill it in")
    if len(folds) < _FEWEST:
        raise UserError(
            f"own-fold needs {_FEWEST} folds, and the table names {len(folds)} "
            f"({', '.join(sorted(folds))}): name more, or take the column out"
        )
    # 10 comes after 9
    ordered = sorted(folds, key=lambda name: (len(name), name))
    return rotate([folds[name] for name in ordered]), excluded, []


def own_split(clips: Sequence[Clip], recordings: Sequence[str]) -> Made:
    """Make the one split that a table names; without validation a fifth of train is that."""
    part_of = {word: part for part, words in _PARTS.items() for word in words}
    kept, excluded = _once(clips, recordings)
    parts: dict[str, list[int]] = defaultdict(list)
    for i in kept:
        named = str(clips[i].part).casefold()
        if named not in part_of:
            raise UserError(
                f"clip '{clips[i].id}' is of split '{clips[i].part}', which is none of train, "
                "validation and test: write one of these, or take the column out"
            )
        parts[part_of[named]].append(i)
    for part in ("train", "test"):
        if not parts[part]:
            raise UserError(f"own-split needs clips of split '{part}', and the table names none")
    notes = []
    if not parts["validation"]:
        parts["train"], parts["validation"] = _fifth(parts["train"], clips, recordings)
        notes.append("own-split: the table names no validation; a fifth of train is that")
    return [(parts["train"], parts["validation"], parts["test"])], excluded, notes


def _fifth(
    train: Sequence[int], clips: Sequence[Clip], recordings: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Four fifths and one fifth, of whole groups where there are enough."""
    labels = [clips[i].label for i in train]
    heard = [recordings[i] for i in train]
    whole = components([clips[i].group for i in train], heard)
    for sets in (whole, components(heard)):
        if len(sets) >= MOST_FOLDS:
            first, *others = deal(sets, labels, MOST_FOLDS)
            rest = [place for fold in others for place in fold]
            if {labels[place] for place in rest} == set(labels):
                return sorted(train[p] for p in rest), sorted(train[p] for p in first)
    raise UserError("own-split: train is too small to take validation from it; name it too")


def _once(clips: Sequence[Clip], recordings: Sequence[str]) -> tuple[list[int], list[Exclusion]]:
    """Clips but for copies that are in another part than the first of their recording."""
    first: dict[str, Clip] = {}
    kept, excluded = [], []
    for i, clip in enumerate(clips):
        original = first.setdefault(recordings[i], clip)
        if original.part == clip.part:
            kept.append(i)
        else:
            reason = f"the same recording as {original.id}, which is of another part"
            excluded.append(Exclusion(clip.id, reason))
    return kept, excluded


def _serve(parts: Sequence[Parts], labels: Sequence[str]) -> bool:
    """Whether no part is empty, and every train part has every class."""
    classes = set(labels)
    return all(
        train and validation and test and {labels[i] for i in train} == classes
        for train, validation, test in parts
    )


def together(clips: Sequence[Clip], recordings: Sequence[str]) -> list[str]:
    """By clip what it shares with those that must stay on its side: groups and recordings."""
    owner = [""] * len(clips)
    for place, members in enumerate(components([clip.group for clip in clips], recordings)):
        for i in members:
            owner[i] = str(place)
    return owner
