"""Folds of anybody's clips: how many follow from the clips, and what does not fit is a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.clips import Clip
from bench.errors import UserError
from bench.protocols.fold import Split
from bench.protocols.table import make_folds


def _clips(groups: int, labels: str, each: int, part: str | None = None) -> list[Clip]:
    return [
        Clip(f"{group:02}-{label}-{number}", Path("a.wav"), label, f"g{group:02}", part)
        for group in range(groups)
        for label in labels
        for number in range(each)
    ]


def _fold(protocol: str, clips: list[Clip], recordings: list[str] | None = None) -> Split:
    own = recordings or [clip.id for clip in clips]
    return make_folds(protocol, clips, own, sorted({clip.label for clip in clips}))


@pytest.mark.parametrize(("groups", "folds"), [(12, 5), (5, 5), (4, 4), (3, 3)])
def test_group_kfold_has_five_folds_or_as_many_as_there_are_groups(groups: int, folds: int) -> None:
    clips = _clips(groups, "ab", 3)
    split = _fold("group-kfold", clips)
    assert len(split.folds) == folds
    assert not split.leaks(clips)
    assert sorted(np.concatenate([f.test for f in split.folds]).tolist()) == list(range(len(clips)))


def test_group_kfold_has_fewer_folds_where_a_class_is_of_few_groups() -> None:
    rare = [c for c in _clips(10, "ab", 3) if c.label == "a" or c.group in ("g00", "g01", "g02")]
    split = _fold("group-kfold", rare)
    assert 3 <= len(split.folds) <= 5
    for fold in split.folds:
        assert {rare[i].label for i in fold.train.tolist()} == {"a", "b"}
        for part in fold.inner:
            fitted = np.setdiff1d(fold.rest, part)
            assert {rare[i].label for i in fitted.tolist()} == {"a", "b"}


@pytest.mark.parametrize(
    ("protocol", "clips", "said"),
    [
        ("group-kfold", _clips(2, "ab", 6), "needs clips of 3 groups .* and there are 2"),
        ("leave-one-group-out", _clips(2, "ab", 6), "needs 3 groups that share no recording"),
        (
            "group-kfold",
            [c for c in _clips(6, "ab", 3) if c.label == "a" or c.group == "g00"],
            "without class 'b', whose clips are of 1 of 6 groups",
        ),
        ("own-fold", _clips(3, "ab", 6, "1"), "needs 3 folds, and the table names 1"),
        ("own-fold", _clips(3, "ab", 6, ""), "has no fold in the table"),
        ("own-split", _clips(3, "ab", 6, "later"), "of split 'later', which is none of train"),
        ("own-split", _clips(3, "ab", 6, "train"), "clips of split 'test', and the table names"),
        ("random-kfold", _clips(1, "ab", 1), "class 'a' has 1 usable clips"),
    ],
)
def test_what_does_not_fit_is_a_sentence(protocol: str, clips: list[Clip], said: str) -> None:
    with pytest.raises(UserError, match=said):
        _fold(protocol, clips)


def test_many_groups_left_out_one_by_one_are_not_fitted_pair_by_pair() -> None:
    clips = _clips(14, "ab", 2)
    split = _fold("leave-one-group-out", clips)
    assert len(split.folds) == 14
    assert all(len(fold.test_groups) == 1 and len(fold.inner) == 5 for fold in split.folds)
    few = _fold("leave-one-group-out", _clips(4, "ab", 2))
    assert all(len(fold.inner) == 3 for fold in few.folds)


def _parts(*parts: str) -> list[Clip]:
    clips = _clips(len(parts), "ab", 4)
    named = dict(zip(sorted({clip.group for clip in clips}), parts, strict=True))
    return [Clip(clip.id, clip.path, clip.label, clip.group, named[clip.group]) for clip in clips]


def test_folds_of_a_table_are_tested_one_by_one_in_their_order() -> None:
    clips = _parts("9", "10", "2", "9")
    split = _fold("own-fold", clips)
    tested = [{clips[i].part for i in fold.test.tolist()} for fold in split.folds]
    assert tested == [{"2"}, {"9"}, {"10"}]
    # inner folds keep groups together too, since the outer ones do
    for fold in split.folds:
        for part in fold.inner:
            rest = {clips[i].group for i in np.setdiff1d(fold.rest, part).tolist()}
            assert not rest & {clips[i].group for i in part.tolist()}


def test_a_split_of_a_table_is_that_split() -> None:
    clips = _parts("Train", "dev", "test", "train", "eval")
    (fold,) = _fold("own-split", clips).folds
    assert {clips[i].group for i in fold.train.tolist()} == {"g00", "g03"}
    assert {clips[i].group for i in fold.validation.tolist()} == {"g01"}
    assert set(fold.test_groups) == {"g02", "g04"}


def test_a_split_without_validation_takes_a_fifth_of_train_by_groups() -> None:
    clips = _parts(*["train"] * 5, "test")
    split = _fold("own-split", clips)
    (fold,) = split.folds
    assert len({clips[i].group for i in fold.validation.tolist()}) == 1
    assert "a fifth of train is that" in split.notes[0]
    assert fold.test_groups == ("g05",)


def test_a_copy_in_another_part_is_left_out() -> None:
    clips = _parts("1", "2", "3")
    recordings = [clip.id for clip in clips]
    recordings[-1] = recordings[0]
    split = _fold("own-fold", clips, recordings)
    (left_out,) = split.excluded
    assert left_out.clip == clips[-1].id
    assert "the same recording as" in left_out.reason


def test_of_nobody_knows_whom_the_same_group_is_on_both_sides() -> None:
    clips = [Clip(c.id, c.path, c.label, "unknown") for c in _clips(5, "abc", 3)]
    split = _fold("random-kfold", clips)
    assert len(split.folds) == 5
    assert split.leaks(clips)


@given(
    groups=st.integers(1, 9),
    each=st.integers(2, 4),
    labels=st.sampled_from(["ab", "abc"]),
    protocol=st.sampled_from(["group-kfold", "random-kfold", "leave-one-group-out"]),
    copies=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), max_size=4),
)
def test_whatever_the_clips_each_is_tested_once_or_there_is_a_sentence(
    groups: int, each: int, labels: str, protocol: str, copies: list[tuple[int, int]]
) -> None:
    clips = _clips(groups, labels, each)
    recordings = [clip.id for clip in clips]
    for one, other in copies:
        # a recording has one label, which the scan sees to
        a, b = one % len(clips), other % len(clips)
        if clips[a].label == clips[b].label:
            recordings[a] = recordings[b]
    try:
        split = _fold(protocol, clips, recordings)
    except UserError:
        return
    tested = np.concatenate([fold.test for fold in split.folds])
    assert sorted(tested.tolist()) == list(range(len(clips)))
