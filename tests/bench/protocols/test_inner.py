"""Inner folds, whatever clips, groups and copies they are made of, are fair to what is tested."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.clips import Clip
from bench.errors import UserError
from bench.protocols import inner
from bench.protocols.fold import Fold, Split
from bench.protocols.table import make_folds

RANDOM = ("random-80-20", "random-75-25")
GROUPED = ("speaker-3fold", "channel-5fold")


def _clips(labels: list[str], groups: list[str] | None = None) -> list[Clip]:
    groups = groups or [str(i) for i in range(len(labels))]
    return [
        Clip(f"c{i:03d}", Path("c"), label, group)
        for i, (label, group) in enumerate(zip(labels, groups, strict=True))
    ]


@st.composite
def _tasks(draw: st.DrawFn) -> tuple[list[Clip], list[str]]:
    """Clips of two or three classes and of seven groups or more, and the recording of each."""
    n = draw(st.integers(40, 90))
    # some of few clips, which need fewer inner folds
    labels = draw(st.lists(st.sampled_from("xxxxyyyz"), min_size=n, max_size=n))
    groups = draw(st.lists(st.sampled_from("abcdefghijkl"), min_size=n, max_size=n))
    recordings = draw(st.lists(st.integers(0, 400), min_size=n, max_size=n))
    # copies of one recording are of one class, or both would be excluded before
    return _clips(labels, groups), [
        f"{number}-{label}" for number, label in zip(recordings, labels, strict=True)
    ]


def _made(protocol: str, clips: list[Clip], recordings: list[str]) -> Split:
    try:
        return make_folds(protocol, clips, recordings, sorted({clip.label for clip in clips}))
    except UserError:
        assume(False)
        raise


@pytest.mark.parametrize("protocol", [*RANDOM, *GROUPED])
@given(task=_tasks())
def test_inner_folds_share_nothing_and_see_every_class_and_no_test_clip(
    protocol: str, task: tuple[list[Clip], list[str]]
) -> None:
    clips, recordings = task
    split = _made(protocol, clips, recordings)
    keys: list[list[str]] = [recordings]
    if split.grouped:
        keys.append([clip.group for clip in clips])
    for fold in split.folds:
        known = {*fold.train.tolist(), *fold.validation.tolist()}
        parts = [set(part.tolist()) for part in fold.inner]
        if len(parts) == 1:
            assert parts == [set(fold.validation.tolist())]
        else:
            assert sum(map(len, parts)) == len(known)
            assert set().union(*parts) == known
        for part in parts:
            assert part
            assert not part & set(fold.test.tolist())
            assert {clips[i].label for i in known - part} == {clip.label for clip in clips}
            for key in keys:
                assert not {key[i] for i in part} & {key[i] for i in known - part}


@pytest.mark.parametrize("protocol", RANDOM)
@given(task=_tasks())
def test_a_random_split_has_five_inner_folds_or_as_many_as_a_class_has_recordings(
    protocol: str, task: tuple[list[Clip], list[str]]
) -> None:
    clips, recordings = task
    (fold,) = _made(protocol, clips, recordings).folds
    fewest = min(
        len({recordings[i] for i in fold.rest if clips[i].label == label})
        for label in {clip.label for clip in clips}
    )
    assert len(fold.inner) == min(5, fewest)


@pytest.mark.parametrize("protocol", RANDOM)
@given(sizes=st.lists(st.integers(12, 60), min_size=2, max_size=5))
def test_inner_folds_of_a_random_split_are_even_in_every_class(
    protocol: str, sizes: list[int]
) -> None:
    labels = [f"class{i}" for i, size in enumerate(sizes) for _ in range(size)]
    clips = _clips(labels)
    (fold,) = _made(protocol, clips, [clip.id for clip in clips]).folds
    assert len(fold.inner) == 5
    for label in set(labels):
        counts = [sum(labels[i] == label for i in part) for part in fold.inner]
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("protocol", [*RANDOM, *GROUPED])
@given(data=st.data())
def test_inner_folds_do_not_depend_on_the_order_of_the_clips(protocol: str, data: Any) -> None:
    clips, recordings = data.draw(_tasks())
    order = data.draw(st.permutations(range(len(clips))))

    def ids(order: list[int]) -> list[list[list[str]]]:
        own = [clips[i] for i in order]
        split = _made(protocol, own, [recordings[i] for i in order])
        return [[sorted(own[i].id for i in part) for part in fold.inner] for fold in split.folds]

    assert ids(order) == ids(list(range(len(clips))))


def test_takes_of_one_sentence_are_not_dealt_out_in_turn() -> None:
    clips = _clips(["x"] * 200 + ["y"] * 200)
    (fold,) = _made("random-80-20", clips, [clip.id for clip in clips]).folds
    x = [i for i in fold.rest.tolist() if clips[i].label == "x"]
    part_of = {i: number for number, part in enumerate(fold.inner) for i in part.tolist()}
    steps = Counter((part_of[b] - part_of[a]) % 5 for a, b in pairwise(x))
    assert steps.most_common(1)[0][1] < len(x) / 2


def test_a_class_of_one_recording_leaves_the_validation_part() -> None:
    clips = _clips(["x"] * 8 + ["rare"] * 2)
    fold = Fold(0, np.array([0, 1, 2, 3, 8, 9]), np.array([4, 5]), np.array([6, 7]), ())
    recordings = [clip.id for clip in clips]
    assert len(inner.dealt(fold, clips, recordings)) == 2
    recordings[9] = recordings[8]
    assert [part.tolist() for part in inner.dealt(fold, clips, recordings)] == [[4, 5]]


def test_recordings_of_several_classes_never_cost_a_fit_a_class() -> None:
    """Heard as one although labelled differently: dealt evenly, one part would hold all of x."""
    clips = _clips([*"aabbccdd", *"xxxxxx", *"xabcd", "x"])
    recordings = ["first"] * 8 + ["second"] * 6 + ["third"] * 5 + ["tested"]
    fold = Fold(0, np.arange(14), np.arange(14, 19), np.array([19]), ())
    assert [part.tolist() for part in inner.dealt(fold, clips, recordings)] == [
        fold.validation.tolist()
    ]


def _thirds() -> list[Fold]:
    parts = np.split(np.arange(12), 3)
    return [Fold(k, parts[(k + 2) % 3], parts[(k + 1) % 3], parts[k], ()) for k in range(3)]


def test_folds_that_leave_clips_untested_or_a_fit_without_a_class_keep_their_validation_part() -> (
    None
):
    folds = _thirds()
    clips = _clips(["x", "y"] * 6)
    assert [p.tolist() for p in inner.others(folds[0], folds, clips)] == [
        folds[1].test.tolist(),
        folds[2].test.tolist(),
    ]
    untested = [replace(fold, test=fold.test[1:]) for fold in folds]
    lonely = _clips(["x"] * 10 + ["y"] * 2)
    for given_, of in ((untested, clips), (folds, lonely)):
        (part,) = inner.others(given_[0], given_, of)
        assert part.tolist() == folds[0].validation.tolist()
