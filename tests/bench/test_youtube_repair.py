"""Ids that lost characters: only one that strips to what is left is ever given back."""

from __future__ import annotations

import math
import re
import string

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.tasks.youtube.links.ids import STRIPPED, repairable
from bench.tasks.youtube.links.repair import (
    Candidate,
    RepairTable,
    choose,
    could_be,
    intact,
    repair,
)
from bench.tasks.youtube.links.videos import Video
from bench.tasks.youtube.site.search import candidates

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


def _video(id: str = LEFT, title: str = "Off to Arunachal", channel: str | None = "Tanya") -> Video:
    return Video(row=2, link=id, id=id, title=title, category="travel", channel=channel)


def _scraped(id: str) -> str:
    """What the scraper did, written as it wrote it."""
    return id.strip("https://www.youtube.com/watch?v=")  # noqa: B005 – the very mistake


def test_the_set_holds_fourteen_characters_of_an_id():
    assert EATEN == "abcehmopstuvwy"


@given(st.one_of(IDS, ALL_EATEN))
def test_every_id_is_accepted_for_what_the_scraper_left_of_it(id):
    assert could_be(id, _scraped(id))
    assert intact(_scraped(id)) == (_scraped(id) == id)


@settings(max_examples=200, deadline=None)
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
    wrong, right = Candidate(OTHER, "Off to Arunachal", "Tanya"), Candidate(WHOLE)
    found = choose(LEFT, [wrong, right, right])
    assert (found.outcome, found.id, found.candidate) == ("repaired", WHOLE, right)
    assert (found.fitting, found.candidates, found.lost) == ((WHOLE,), 2, ("v", "hps"))


def test_the_same_title_and_channel_do_not_make_a_wrong_id_fit():
    found = choose(LEFT, [Candidate(OTHER, "Off to Arunachal", "Tanya", 60.0)])
    assert (found.outcome, found.id, found.lost) == ("none fits", None, ("", ""))


def test_two_different_fitting_candidates_repair_nothing():
    found = choose(LEFT, [Candidate(WHOLE, "Off to Arunachal", "Tanya"), Candidate(SECOND)])
    assert (found.outcome, found.id, found.candidate) == ("several fit", None, None)
    assert found.fitting == (WHOLE, SECOND)


def test_nothing_left_is_never_repaired():
    assert choose("", [Candidate("youtubewatc")]).outcome == "none fits"
    assert choose("#NAME?", [Candidate(WHOLE)]).outcome == "none fits"
    assert choose(LEFT, []).outcome == "none fits"


@pytest.mark.parametrize("id", ["i9E_Blai8vk", WHOLE])  # the second as a full link gives it
def test_an_intact_id_stays_whatever_is_found(id):
    found = choose(id, [Candidate(OTHER), Candidate(WHOLE)])
    assert (found.outcome, found.id, found.lost) == ("intact", id, ("", ""))


@settings(max_examples=200, deadline=None)
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
    found = choose(left, [Candidate(id) for id in [*others, *built]])
    fitting = {id for id in [*others, *built] if intact(id) and _scraped(id) == left}
    assert set(found.fitting) <= fitting
    if found.outcome == "repaired":
        assert {found.id} == fitting
        front, back = found.lost
        assert front + left + back == found.id
        assert set(front + back) <= set(EATEN)
    elif found.outcome == "intact":
        assert found.id == left
    else:
        assert found.id is None
        assert found.outcome == ("several fit" if found.fitting else "none fits")
        assert len(found.fitting) != 1
    if repairable(left):
        assert set(found.fitting) == fitting


@given(st.lists(IDS, unique=True, max_size=6))
def test_two_different_rests_never_repair_to_one_id(ids):
    found = [choose(left, map(Candidate, ids)) for left in {_scraped(id) for id in ids}]
    used = [repair.id for repair in found if repair.id is not None]
    assert len(used) == len(set(used))


def test_a_row_holds_the_evidence_and_goes_into_parquet(tmp_path):
    asked = []

    def search(title):
        asked.append(title)
        return [Candidate(WHOLE, "OFF TO  Arunachal", None, 754.0), Candidate(OTHER)]

    table = RepairTable(
        (
            repair(_video(), search),
            repair(_video("i9E_Blai8vk"), search),
            repair(_video("PYGY8", channel=None), search),
        )
    )
    assert asked == ["Off to Arunachal"] * 2  # an intact id is not searched for
    row = table.rows[0]
    assert (row.row, row.left, row.id, row.outcome) == (2, LEFT, WHOLE, "repaired")
    assert (row.lost_front, row.lost_back, row.candidates) == ("v", "hps", 2)
    assert (row.found_title, row.title_similarity) == ("OFF TO  Arunachal", 1.0)
    assert (row.found_channel, row.channel_similarity, row.duration) == (None, None, 754.0)
    assert table.counts() == {"intact": 1, "repaired": 1, "none fits": 1, "several fit": 0}
    pq.write_table(pa.Table.from_pylist(table.records()), tmp_path / "repair.parquet")
    assert pq.read_table(tmp_path / "repair.parquet").to_pylist() == table.records()


def test_the_ids_to_use_leave_out_what_was_not_repaired():
    def search(title):
        return [Candidate(WHOLE)] if title == "Arunachal" else [Candidate(OTHER)]

    videos = [
        Video(2, LEFT, LEFT, "Arunachal", "travel", None),
        Video(3, "PYGY8", "PYGY8", "Bali", "travel", None),
        Video(4, "i9E_Blai8vk", "i9E_Blai8vk", "Rome", "travel", None),
    ]
    assert RepairTable(tuple(repair(video, search) for video in videos)).ids() == {
        2: WHOLE,
        4: "i9E_Blai8vk",
    }


def test_similarity_is_evidence_of_a_repair_and_not_its_reason():
    row = repair(_video(), lambda title: [Candidate(WHOLE, "Völlig anderes", "Zz", 1.0)])
    assert row.outcome == "repaired"
    assert row.title_similarity is not None
    assert row.title_similarity < 0.5
    assert row.channel_similarity == 0.0


# the shape of a flat search: a playlist of links, most fields of which are None


def _result(entries: object) -> dict[str, object]:
    return {
        "id": "Off to Arunachal",
        "title": "Off to Arunachal",
        "_type": "playlist",
        "entries": entries,
        "webpage_url": "ytsearch5:Off to Arunachal",
        "extractor": "youtube:search",
        "extractor_key": "YoutubeSearch",
    }


def _entry(id: str, **more: object) -> dict[str, object]:
    return {
        "_type": "url",
        "ie_key": "Youtube",
        "id": id,
        "url": f"https://www.youtube.com/watch?v={id}",
        "title": "Off To Arunachal | The Journey Begins",
        "description": None,
        "duration": 754.0,
        "channel_id": "UC0000000000000000000000",
        "channel": "Tanya Khanijow",
        "uploader": "Tanya Khanijow",
        "view_count": 1234567,
        "live_status": None,
        "timestamp": None,
    } | more


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        {"entries": None},
        _result([]),
        _result([None]),
        _result("text"),
        _result({"id": 1}),
    ],
)
def test_no_results_are_no_candidates_and_no_repair(result):
    assert candidates(result) == ()
    assert choose(LEFT, candidates(result)).outcome == "none fits"


def test_a_wrong_video_is_read_and_not_taken():
    found = candidates(_result([_entry(OTHER)]))
    assert found == (
        Candidate(OTHER, "Off To Arunachal | The Journey Begins", "Tanya Khanijow", 754.0),
    )
    assert choose(LEFT, found).outcome == "none fits"


def test_two_that_fit_are_read_and_neither_is_taken():
    found = candidates(_result([_entry(WHOLE), _entry(SECOND, title="A copy"), _entry(WHOLE)]))
    assert [candidate.id for candidate in found] == [WHOLE, SECOND, WHOLE]
    assert choose(LEFT, found).outcome == "several fit"


def test_missing_and_empty_fields_are_none_and_an_older_uploader_is_the_channel():
    entries = (
        entry
        for entry in [
            {"id": WHOLE},
            {"id": WHOLE, "title": None, "channel": None, "uploader": None, "duration": None},
            {"id": WHOLE, "title": " ", "channel": "", "uploader": "Tanya", "duration": 75},
        ]
    )
    assert candidates(_result(entries)) == (
        Candidate(WHOLE),
        Candidate(WHOLE),
        Candidate(WHOLE, None, "Tanya", 75.0),
    )


@pytest.mark.parametrize("duration", [0, -1, True, "754", math.nan, math.inf, [754]])
def test_a_duration_that_is_none_is_none(duration):
    assert candidates(_result([_entry(WHOLE, duration=duration)]))[0].duration is None


@pytest.mark.parametrize("id", [None, "", 12345678901, "UC0000000000000000000000", "PL123"])
def test_channels_playlists_and_entries_without_an_id_are_left_out(id):
    assert candidates(_result([_entry(WHOLE) | {"id": id}, _entry(WHOLE)])) == (
        Candidate(WHOLE, "Off To Arunachal | The Journey Begins", "Tanya Khanijow", 754.0),
    )


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=11) | IDS,
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "title", "channel", "uploader", "duration", "entries"]), values
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_whatever_entries_hold_only_whole_ids_come_out(entries):
    assert all(intact(candidate.id) for candidate in candidates({"entries": entries}))
