"""Ids that lost characters: only one that strips to what is left is ever given back."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.tasks.youtube.links import STRIPPED, Found, could_be, intact, repair, repairable
from bench.tasks.youtube.statuses import ItemError

ALPHABET = string.ascii_letters + string.digits + "_-"
EATEN = "".join(sorted(set(STRIPPED) & set(ALPHABET)))
# half of the characters from the set, so that ids lose many at either end
IDS = st.lists(
    st.one_of(st.sampled_from(EATEN), st.sampled_from(ALPHABET)), min_size=11, max_size=11
).map("".join)
ALL_EATEN = st.text(EATEN, min_size=11, max_size=11)

WHOLE, LEFT = "vJLZlCZ0hps", "JLZlCZ0"
OTHER = "wJLZlCZ0c-Q"  # holds what is left, and has lost the '-' and the 'Q' too
SECOND = "ouJLZlCZ0ts"  # strips to the same


def _scraped(id: str) -> str:
    """What the scraper did, written as it wrote it."""
    return id.strip("https://www.youtube.com/watch?v=")  # noqa: B005 – the very mistake


def repaired(left, *ids):
    """The id given back, or None."""
    try:
        return repair(left, map(Found, ids)).id
    except ItemError:
        return None


def test_the_set_holds_fourteen_characters_of_an_id():
    assert EATEN == "abcehmopstuvwy"


@given(st.one_of(IDS, ALL_EATEN))
def test_every_id_is_accepted_for_what_the_scraper_left_of_it(id):
    assert could_be(id, _scraped(id))
    assert intact(_scraped(id)) == (_scraped(id) == id)


@settings(max_examples=200)
@given(IDS, IDS, st.data())
def test_an_id_is_accepted_exactly_if_only_characters_of_the_set_are_missing(a, b, data):
    left = _scraped(a)
    # by chance another id almost never fits, so half of them are built to come close
    start = data.draw(st.integers(0, 11 - len(left)))
    front = data.draw(st.text(ALPHABET, min_size=start, max_size=start))
    near = front + left + b[: 11 - start - len(left)]
    for candidate in (b, near):
        spans = (
            candidate[at : at + len(left)] == left
            and set(candidate[:at] + candidate[at + len(left) :]) <= set(EATEN)
            for at in range(12 - len(left))
        )
        assert could_be(candidate, left) == any(spans)


@given(st.text(max_size=14), st.text(max_size=12))
def test_what_is_no_id_is_never_accepted(candidate, left):
    if not re.fullmatch(r"[A-Za-z0-9_-]{11}", candidate, re.ASCII):
        assert not could_be(candidate, left)
        assert not could_be(candidate, _scraped(candidate))


@pytest.mark.parametrize(
    ("candidate", "left", "fits"),
    [
        (WHOLE, LEFT, True),
        (SECOND, LEFT, True),
        (OTHER, LEFT, False),
        (WHOLE, "JLZlCZ", False),  # the 0 is not eaten
        (WHOLE, "vJLZlCZ0", False),  # the v would have been eaten
        (WHOLE, LEFT.lower(), False),
        (WHOLE, "", False),
        ("youtubewatc", "", True),
        ("youtubewatc", "w", False),
        ("i9E_Blai8vk", "i9E_Blai8vk", True),
        (WHOLE, WHOLE, False),  # the scraper cannot have left it whole
        (WHOLE + "\n", LEFT, False),
        ("vJLZlCZ0hpß", LEFT, False),
        ("٣JLZlCZ0hps", LEFT, False),  # a digit, and none of an id
    ],
)
def test_edge_cases_of_fitting(candidate, left, fits):
    assert could_be(candidate, left) is fits


@pytest.mark.parametrize(
    ("left", "can"),
    [
        (LEFT, True),
        ("0", True),
        ("", False),
        ("w", False),
        ("xh", False),
        ("i9E_Blai8vk", False),
        ("i9E_Blai8vk0", False),
        ("#NAME?", False),
        ("x\n", False),
    ],
)
def test_only_what_stripping_leaves_can_be_repaired(left, can):
    assert repairable(left) is can


def test_one_fitting_candidate_is_the_repair():
    wrong, right = Found(OTHER, "Off to Arunachal", "Tanya"), Found(WHOLE)
    assert repair(LEFT, [wrong, right, right]) == right


def test_the_same_title_and_channel_do_not_make_a_wrong_id_fit():
    why = "no id fits what is left of it; a search for the title found 1 video"
    with pytest.raises(ItemError, match=why) as refused:
        repair(LEFT, [Found(OTHER, "Off to Arunachal", "Tanya", 60.0)])
    assert refused.value.status == "not repaired"


def test_two_different_fitting_candidates_repair_nothing():
    with pytest.raises(ItemError, match=f"the ids {WHOLE} and {SECOND} both fit"):
        repair(LEFT, [Found(WHOLE, "Off to Arunachal", "Tanya"), Found(SECOND)])


@pytest.mark.parametrize(
    ("left", "id"),
    [("", "youtubewatc"), ("#NAME?", WHOLE), ("i9E_Blai8vk", WHOLE), (WHOLE, WHOLE)],
)
def test_what_stripping_cannot_have_left_is_never_repaired(left, id):
    assert repaired(left, id) is None
    assert repaired(left) is None


@settings(max_examples=200)
@given(
    st.one_of(IDS.map(_scraped), st.text(ALPHABET, max_size=12), st.text(max_size=5)),
    st.lists(st.one_of(IDS, ALL_EATEN, st.text(max_size=12)), max_size=4),
    st.data(),
)
def test_a_repair_always_strips_to_what_is_left_and_is_the_only_one(left, others, data):
    built = []
    for _ in range(data.draw(st.integers(0, 2))):  # candidates that may fit
        missing = data.draw(
            st.text(EATEN, min_size=max(0, 11 - len(left)), max_size=max(0, 11 - len(left)))
        )
        at = data.draw(st.integers(0, len(missing)))
        built.append(missing[:at] + left + missing[at:])
    found = repaired(left, *others, *built)
    fitting = {id for id in [*others, *built] if intact(id) and _scraped(id) == left}
    if found is not None:
        assert {found} == fitting
        assert left in found
    else:
        assert len(fitting) != 1 or not repairable(left)


@given(st.lists(IDS, unique=True, max_size=6))
def test_two_different_rests_never_repair_to_one_id(ids):
    damaged = {_scraped(id) for id in ids} - set(ids)
    used = [id for left in damaged if (id := repaired(left, *ids))]
    assert len(used) == len(set(used))
