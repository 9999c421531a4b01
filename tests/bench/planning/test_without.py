"""Without the clips that a backbone cannot use, the others stand where they stood."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.audio.index import ScannedClip
from bench.clips import Clip, Task
from bench.planning.folded import without
from bench.planning.plan import FoldedTask
from bench.protocols.fold import Fold, Split

CLIPS = 12


def folded(parts: list[int]) -> FoldedTask:
    """One fold: the part of each clip is 0 for train, 1 for validation, 2 for test, 3 for none."""
    clips = tuple(
        ScannedClip(Clip(f"c{n}", Path(f"c{n}.wav"), "x", f"g{n % 3}"), f"f{n}", f"p{n}", 1.0, 1, 8)
        for n in range(CLIPS)
    )
    train, validation, test = (np.flatnonzero(np.array(parts) == part) for part in range(3))
    groups = tuple(sorted({clips[n].clip.group for n in test.tolist()}))
    rest = np.union1d(train, validation)
    inner = tuple(rest[turn::3] for turn in range(3))
    split = Split("halves", True, (Fold(0, train, validation, test, groups, inner),))
    task = Task("t", ("x",), tuple(clip.clip for clip in clips), ("halves",))
    return FoldedTask(task, clips, (), {"halves": split}, {})


def ids(task: FoldedTask) -> list[list[str]]:
    (fold,) = task.splits["halves"].folds
    return _ids(task, (fold.train, fold.validation, fold.test))


def inner(task: FoldedTask) -> list[list[str]]:
    return _ids(task, task.splits["halves"].folds[0].inner)


def _ids(task: FoldedTask, parts: tuple[np.ndarray, ...]) -> list[list[str]]:
    return [[task.clips[n].clip.id for n in part.tolist()] for part in parts]


@given(
    st.lists(st.integers(0, 3), min_size=CLIPS, max_size=CLIPS),
    st.sets(st.integers(0, CLIPS - 1), min_size=1),
)
def test_each_part_of_a_fold_keeps_its_other_clips_in_order(
    parts: list[int], gone: set[int]
) -> None:
    before = folded(parts)
    after = without(before, {f"p{n}": f"reason {n}" for n in gone}, "picky")
    left_out = [f"c{n}" for n in sorted(gone)]
    assert [one.clip for one in after.excluded] == left_out
    assert [one.reason for one in after.excluded] == [f"reason {n}" for n in sorted(gone)]
    kept = [[clip for clip in part if clip not in left_out] for part in ids(before)]
    if all(kept):
        assert ids(after) == kept
        (fold,) = after.splits["halves"].folds
        scored = [[clip for clip in part if clip not in left_out] for part in inner(before)]
        scored = [part for part in scored if part]
        assert inner(after) == (scored if len(scored) > 1 else [kept[1]])
        assert set(fold.test_groups) == {f"g{int(clip[1:]) % 3}" for clip in kept[2]}
    else:
        assert after.splits == {}
        assert "picky can use" in after.unfit["halves"]
    assert f"c{min(gone)}: reason {min(gone)}" in after.notes[-1]
