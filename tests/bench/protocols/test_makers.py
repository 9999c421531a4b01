"""Folds never leak, whatever clips, groups and duplicates they are made of."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench import tasks
from bench.clips import Clip
from bench.errors import UserError
from bench.protocols.fold import LeakError, verify
from bench.protocols.grouping import components, deal
from bench.protocols.makers import RAVDESS_FOLDS
from bench.protocols.table import PROTOCOLS, find, make_folds
from bench.tasks.ravdess.task import LABELS, manifest, parse

RANDOM = ("random-80-20", "random-75-25")


def _ravdess(actors=range(1, 25)):
    wanted = {f"{actor:02d}" for actor in actors}
    clips = [Clip(s, Path(s), parse(s).emotion, s[-2:]) for s in sorted(manifest())]
    clips = [clip for clip in clips if clip.group in wanted]
    return clips, [manifest()[clip.id].pcm_sha256 for clip in clips]


def _clips(groups, labels):
    return [
        Clip(f"c{i:03d}", Path("c"), label, group)
        for i, (group, label) in enumerate(zip(groups, labels, strict=True))
    ]


def test_speaker_6fold_is_the_published_one():
    clips, pcm = _ravdess()
    split = make_folds("speaker-6fold", clips, pcm, LABELS)
    assert [fold.test_groups for fold in split.folds] == list(RAVDESS_FOLDS)
    assert RAVDESS_FOLDS[1] == ("04", "10", "12", "14")
    for k, fold in enumerate(split.folds):
        after = split.folds[(k + 1) % 6]
        assert np.array_equal(fold.validation, after.test)
        assert (len(fold.train), len(fold.validation), len(fold.test)) == (960, 240, 240)
    tested = np.concatenate([fold.test for fold in split.folds])
    assert np.array_equal(np.sort(tested), np.arange(1440))
    assert split.grouped
    assert split.excluded == split.notes == ()


def test_speaker_6fold_runs_with_the_actors_that_are_there():
    clips, pcm = _ravdess([1, 11, 4, 8, 3])
    split = make_folds("speaker-6fold", clips, pcm, LABELS)
    assert [fold.test_groups for fold in split.folds] == [("01", "11"), ("04",), ("08",), ("03",)]
    assert "4 of its 6 folds, without actors 02, 05" in split.notes[0]


def test_speaker_6fold_wants_three_folds():
    clips, pcm = _ravdess([1, 11, 4])
    with pytest.raises(UserError, match=r"3 of its 6 folds, and 2 are here"):
        make_folds("speaker-6fold", clips, pcm, LABELS)


def test_speaker_6fold_refuses_other_tasks():
    clips = _clips(["voice1"] * 8, ["a"] * 8)
    with pytest.raises(UserError, match="knows no speaker 'voice1'"):
        make_folds("speaker-6fold", clips, [c.id for c in clips], ["a"])


def test_a_recording_of_two_speakers_is_excluded_from_fixed_folds():
    clips, pcm = _ravdess()
    first = next(i for i, clip in enumerate(clips) if clip.group == "01")
    later = max(i for i, clip in enumerate(clips) if clip.group == "24")
    pcm[later] = pcm[first]
    split = make_folds("speaker-6fold", clips, pcm, LABELS)
    assert [x.clip for x in split.excluded] == [clips[later].id]
    assert clips[first].id in split.excluded[0].reason
    used = np.concatenate([part for f in split.folds for part in (f.train, f.validation, f.test)])
    assert later not in used


def test_random_80_20_is_sklearns_split():
    from sklearn.model_selection import train_test_split

    clips, pcm = _ravdess()
    (fold,) = make_folds("random-80-20", clips, pcm, LABELS).folds
    labels = [clip.label for clip in clips]
    _, test = train_test_split(np.arange(1440), test_size=0.2, random_state=101, stratify=labels)
    pair = [i for i, clip in enumerate(clips) if Counter(pcm)[pcm[i]] == 2]
    assert len(pair) == 2
    assert set(test) - set(pair) == set(fold.test.tolist()) - set(pair)
    assert set(fold.test_groups) & {clips[i].group for i in fold.train}, "this is the leak"


def test_the_first_of_ten_random_splits_is_random_80_20_and_no_two_are_alike():
    clips, pcm = _ravdess()
    (one,) = make_folds("random-80-20", clips, pcm, LABELS).folds
    split = make_folds("random-10x80-20", clips, pcm, LABELS)
    first = split.folds[0]
    for part in ("train", "validation", "test"):
        assert np.array_equal(getattr(first, part), getattr(one, part))
    assert first.test_groups == one.test_groups
    assert len({fold.test.tobytes() for fold in split.folds}) == len(split.folds) == 10
    # each is tuned on its one validation part, with inner folds too
    assert [[part.tolist() for part in fold.inner] for fold in split.folds] == [
        [fold.validation.tolist()] for fold in split.folds
    ]
    with pytest.raises(LeakError, match="tested twice"):
        verify(dataclasses.replace(split, repeats=False), clips, pcm)


@given(st.lists(st.integers(0, 200), min_size=60, max_size=90))
def test_no_recording_is_on_two_sides_of_any_of_ten_random_splits(numbers):
    clips = _clips([str(i) for i in range(len(numbers))], ["xy"[i % 2] for i in numbers])
    pcm = list(map(str, numbers))
    try:
        split = make_folds("random-10x80-20", clips, pcm, ["x", "y"])
    except UserError:
        assume(False)
    for fold in split.folds:
        parts = [fold.train, fold.validation, fold.test]
        assert sorted(np.concatenate(parts).tolist()) == list(range(len(clips)))
        assert sum(len({pcm[i] for i in part}) for part in parts) == len(set(pcm))


@pytest.mark.parametrize("protocol", RANDOM)
def test_random_splits_move_straddling_copies_to_train(protocol):
    clips = _clips([str(i) for i in range(100)], ["a", "b"] * 50)
    pcm = [clip.id for clip in clips]
    (before,) = make_folds(protocol, clips, pcm, ["a", "b"]).folds
    pair = int(before.test[0]), int(before.validation[0])
    pcm[pair[0]] = pcm[pair[1]]
    (after,) = make_folds(protocol, clips, pcm, ["a", "b"]).folds
    assert set(pair) <= set(after.train.tolist())
    assert sum(map(len, (after.train, after.validation, after.test))) == 100


@pytest.mark.parametrize(
    ("protocol", "sizes"), [("random-80-20", (64, 16, 20)), ("random-75-25", (56, 19, 25))]
)
def test_the_names_of_random_splits_say_what_is_tested(protocol, sizes):
    clips = _clips([str(i) for i in range(400)], ["a"] * 100 + ["b"] * 300)
    (fold,) = make_folds(protocol, clips, [clip.id for clip in clips], ["a", "b"]).folds
    for part, size in zip((fold.train, fold.validation, fold.test), sizes, strict=True):
        assert abs(len(part) - 4 * size) <= 1
        assert abs(sum(clips[i].label == "a" for i in part) - size) <= 1


@given(st.data())
def test_grouped_folds_never_leak(data):
    n = data.draw(st.integers(15, 80))
    groups = data.draw(st.lists(st.sampled_from("abcdefghijkl"), min_size=n, max_size=n))
    labels = data.draw(st.lists(st.sampled_from("xy"), min_size=n, max_size=n))
    pcm = data.draw(st.lists(st.integers(0, 200).map(str), min_size=n, max_size=n))
    clips = _clips(groups, labels)
    try:
        split = make_folds("channel-5fold", clips, pcm, ["x", "y"])
    except UserError:
        assume(False)
    tested = np.concatenate([fold.test for fold in split.folds])
    assert np.array_equal(np.sort(tested), np.arange(n))
    for fold in split.folds:
        parts = [fold.train, fold.validation, fold.test]
        assert sum(len(part) for part in parts) == n
        for key in (groups, pcm):
            seen = [{key[i] for i in part} for part in parts]
            assert sum(map(len, seen)) == len(set(key))


@pytest.mark.parametrize("protocol", RANDOM)
@given(rows=st.lists(st.tuples(st.just("a"), st.integers(0, 150)), min_size=40, max_size=90))
def test_random_folds_never_share_a_recording(protocol, rows):
    clips = _clips(
        [str(i) for i in range(len(rows))], ["x", "y"] * (len(rows) // 2) + ["x"] * (len(rows) % 2)
    )
    pcm = [f"{number}-{clip.label}" for (_, number), clip in zip(rows, clips, strict=True)]
    try:
        (fold,) = make_folds(protocol, clips, pcm, ["x", "y"]).folds
    except UserError:
        assume(False)
    everything = np.sort(np.concatenate([fold.train, fold.validation, fold.test]))
    assert np.array_equal(everything, np.arange(len(rows)))
    assert not {pcm[i] for i in fold.train} & {pcm[i] for i in fold.test}


@pytest.mark.parametrize("protocol", RANDOM)
@given(st.data())
def test_every_class_that_is_large_enough_is_in_every_part(protocol, data):
    fewest = PROTOCOLS[protocol].fewest_per_class
    sizes = data.draw(st.lists(st.integers(fewest, 40), min_size=2, max_size=6))
    labels = [f"class{i}" for i, size in enumerate(sizes) for _ in range(size)]
    clips = _clips(labels, labels)
    (fold,) = make_folds(protocol, clips, [clip.id for clip in clips], sorted(set(labels))).folds
    for part in (fold.train, fold.validation, fold.test):
        assert {clips[i].label for i in part} == set(labels)


@given(st.data())
def test_balanced_109_draws_98_and_11_different_recordings_of_each_class(data):
    sizes = data.draw(st.lists(st.integers(109, 160), min_size=2, max_size=4))
    labels = [f"class{i}" for i, size in enumerate(sizes) for _ in range(size)]
    # how many recordings of a class have a second copy
    copies = [data.draw(st.integers(0, size - 109)) for size in sizes]
    recordings = [
        f"{label}-{max(0, place - copies[i])}"
        for i, size in enumerate(sizes)
        for place, label in enumerate([f"class{i}"] * size)
    ]
    clips = _clips([str(i % 7) for i in range(len(labels))], labels)
    split = make_folds("balanced-109", clips, recordings, sorted(set(labels)))
    (fold,) = split.folds
    for part, count in ((fold.train, 87), (fold.validation, 11), (fold.test, 11)):
        assert Counter(labels[i] for i in part) == dict.fromkeys(set(labels), count)
    used = np.concatenate([fold.train, fold.validation, fold.test])
    assert len({recordings[i] for i in used}) == len(used) == 109 * len(sizes)
    assert split.excluded == ()
    assert split.notes == (
        f"balanced-109 draws {len(used)} of {len(clips)} clips, 109 of each class",
    )


def _parts_by_id(clips, recordings, protocol):
    (fold,) = make_folds(protocol, clips, recordings, sorted({c.label for c in clips})).folds
    return [{clips[i].id for i in part} for part in (fold.train, fold.validation, fold.test)]


@pytest.mark.parametrize("protocol", [*RANDOM, "balanced-109"])
@given(seed=st.integers(0, 2**32 - 1))
def test_splits_do_not_depend_on_the_order_of_the_clips(protocol, seed):
    clips = _clips([str(i) for i in range(250)], ["a", "b"] * 125)
    recordings = [f"r{min(i, 240)}{clip.label}" for i, clip in enumerate(clips)]
    order = np.random.default_rng(seed).permutation(len(clips))
    assert _parts_by_id(clips, recordings, protocol) == _parts_by_id(
        [clips[i] for i in order], [recordings[i] for i in order], protocol
    )


@pytest.mark.parametrize(
    ("protocol", "groups"),
    [
        ("speaker-3fold", "abcdefg"),
        ("channel-5fold", "abcdefg"),
        ("speaker-6fold", ["01", "04", "08", "03", "02", "06", "11"]),
    ],
)
@given(data=st.data())
def test_grouped_folds_do_not_depend_on_the_order_of_the_clips(protocol, groups, data):
    some = st.sampled_from(groups)
    groups = [*groups, *groups, *data.draw(st.lists(some, max_size=30))]
    clips = _clips(groups, ["a"] * len(groups))
    recordings = [str(data.draw(st.integers(0, 400))) for _ in clips]
    order = data.draw(st.permutations(range(len(clips))))

    def folds(order):
        own = [clips[i] for i in order]
        try:
            made = make_folds(protocol, own, [recordings[i] for i in order], ["a"])
        except UserError as error:
            return str(error)
        parts = [
            [[own[i].id for i in part] for part in (fold.train, fold.validation, fold.test)]
            for fold in made.folds
        ]
        return [[sorted(part) for part in fold] for fold in parts], made.excluded, made.notes

    assert folds(order) == folds(range(len(clips)))


@given(st.integers(0, 299))
def test_a_clip_that_goes_missing_changes_one_place_of_each_part_of_balanced_109(gone):
    clips = _clips([str(i) for i in range(300)], ["a", "b"] * 150)
    fewer = clips[:gone] + clips[gone + 1 :]
    before = _parts_by_id(clips, [c.id for c in clips], "balanced-109")
    after = _parts_by_id(fewer, [c.id for c in fewer], "balanced-109")
    for one, other in zip(before, after, strict=True):
        assert len(one - other) == len(other - one) <= 1


def test_balanced_109_says_which_class_has_too_few_clips_or_recordings():
    clips = _clips([str(i) for i in range(218)], ["a", "b"] * 109)
    recordings = [clip.id for clip in clips]
    with pytest.raises(UserError, match=r"class 'b' has 108 usable clips.*needs 109"):
        make_folds("balanced-109", clips[:-1], recordings[:-1], ["a", "b"])
    recordings[3] = recordings[1]
    with pytest.raises(UserError, match=r"class 'b' has 108 different recordings.*needs 109"):
        make_folds("balanced-109", clips, recordings, ["a", "b"])


def test_verify_names_what_leaks():
    clips, pcm = _ravdess()
    split = make_folds("speaker-6fold", clips, pcm, LABELS)
    fold = split.folds[0]

    def broken(**parts):
        return dataclasses.replace(split, folds=(dataclasses.replace(fold, **parts),))

    with pytest.raises(LeakError, match=r"clip .* in both train and test of fold 0"):
        verify(broken(train=np.append(fold.train, fold.test[0])), clips, pcm)
    with pytest.raises(LeakError, match=r"group .* is in both"):
        verify(broken(test=fold.test[1:], train=np.append(fold.train, fold.test[0])), clips, pcm)
    with pytest.raises(LeakError, match="empty validation"):
        verify(broken(validation=fold.validation[:0]), clips, pcm)
    same = list(pcm)
    same[fold.train[0]] = same[fold.test[0]]
    with pytest.raises(LeakError, match=r"recording .* is in both"):
        verify(split, clips, same)
    inner = fold.inner
    with pytest.raises(LeakError, match=r"clip .* in inner fold 0 of fold 0 .*, and not in its"):
        verify(broken(inner=(np.append(inner[0], fold.test[0]), *inner[1:])), clips, pcm)
    with pytest.raises(LeakError, match=r"group .* is in both .* of inner fold 1 of fold 0"):
        verify(broken(inner=(inner[0], inner[1][1:])), clips, pcm)
    with pytest.raises(LeakError, match=r"inner fold 0 .* has an empty train"):
        verify(broken(inner=(fold.rest,)), clips, pcm)
    same = list(pcm)
    same[inner[1][0]] = same[inner[2][0]]
    with pytest.raises(LeakError, match=r"recording .* is in both .* of inner fold 1 of fold 0"):
        verify(broken(), clips, same)
    with pytest.raises(LeakError, match="tested twice"):
        verify(dataclasses.replace(split, folds=(fold, fold)), clips, pcm)


def test_a_rare_class_is_named_with_its_count():
    clips = _clips("abcdef" * 4, ["x"] * 22 + ["rare"] * 2)
    with pytest.raises(UserError, match=r"class 'rare' has 2 usable clips.*channel-5fold needs 5"):
        make_folds("channel-5fold", clips, [c.id for c in clips], ["x", "rare"])


def test_a_class_of_one_group_cannot_be_trained():
    clips = _clips(["a"] * 6 + list("bcdefg") * 4, ["lonely"] * 6 + ["x"] * 24)
    with pytest.raises(
        UserError, match=r"class 'lonely' \(6 clips\) is absent from the train part"
    ):
        make_folds("channel-5fold", clips, [c.id for c in clips], ["x", "lonely"])


def test_too_few_groups_is_said():
    clips = _clips("abab" * 5, "xxyy" * 5)
    with pytest.raises(UserError, match=r"need 3 groups .* there are 2"):
        make_folds("speaker-3fold", clips, [c.id for c in clips], ["x", "y"])


def test_an_unknown_protocol_is_corrected():
    with pytest.raises(UserError, match="did you mean 'speaker-6fold'"):
        find("speaker-6folds")


@pytest.mark.parametrize("name", tasks.names())
def test_the_protocols_of_a_task_keep_its_groups_apart_unless_asked_otherwise(name):
    own = [find(protocol) for protocol in tasks.find(name).protocols]
    assert [protocol.grouped for protocol in own] == [True] + [False] * (len(own) - 1)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_has_one_line(name):
    assert find(name).name == name
    assert find(name).summary
    assert "\n" not in find(name).summary


def test_components_link_through_either_key():
    assert components(["a", "a", "b", "c"], [1, 2, 2, 3]) == [[0, 1, 2], [3]]


@given(st.lists(st.lists(st.sampled_from("xyz"), min_size=1, max_size=9), min_size=4, max_size=30))
def test_deal_leaves_no_fold_empty_and_loses_nothing(sets):
    labels, indices = [], []
    for members in sets:
        indices.append(list(range(len(labels), len(labels) + len(members))))
        labels += members
    folds = deal(indices, labels, 4)
    assert all(folds)
    assert sorted(i for fold in folds for i in fold) == list(range(len(labels)))
