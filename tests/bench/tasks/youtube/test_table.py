"""The table of links: what is read, what is left out with which reason, what is never lost."""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import UserError
from bench.tasks.youtube.links import (
    CATEGORIES,
    category_of,
    channel_of,
    from_link,
    intact,
    plain_title,
    repairable,
    stripped,
)
from bench.tasks.youtube.table import LinkTable, parse

REAL = Path(os.environ.get("VOXGRID_DATA", "/nonexistent")) / "youtube" / "youtube.csv"
needs_table = pytest.mark.skipif(
    not (os.environ.get("VOXGRID_DATA") and REAL.is_file()),
    reason="VOXGRID_DATA has no youtube/youtube.csv",
)

HEADER = ("link", "title", "description", "category")
ID_A, ID_B, ID_C = "i9E_Blai8vk", "Gqp2JY54vCQ", "EM8HVQwXQJk"


def _csv(*rows: tuple[str, ...], header: tuple[str, ...] = HEADER) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    return text.getvalue().encode()


def _row(link=ID_A, title="Bali", channel="Lee", category="travel"):
    return link, title, f"{channel}\n45.6K subscribers\nSUBSCRIBE\nmore", category


def _parse(*rows: tuple[str, ...]) -> LinkTable:
    return parse(_csv(*rows), "links.csv")


def _why(table: LinkTable) -> list[tuple[int, str]]:
    return [(entry.video.row, entry.why) for entry in table.excluded]


def test_a_row_becomes_a_video():
    (video,) = _parse(_row()).videos
    assert (video.row, video.link, video.left, video.title) == (2, ID_A, ID_A, "Bali")
    assert (video.category, video.channel) == ("travel", "Lee")


@pytest.mark.parametrize(
    "header",
    [
        ("Title", "Videourl", "Category", "Description"),
        ("CATEGORY", " title ", "Video_URL", "description"),
        ("\ufefftitle", "likes", "description", "Link", "category"),
    ],
)
def test_both_known_headers_are_read_in_any_order_and_case(header):
    value = dict(zip(HEADER, _row(), strict=True))
    names = [name.strip("\ufeff ").casefold().replace("_", "") for name in header]
    cells = tuple(value.get("link" if n == "videourl" else n, "17") for n in names)
    (video,) = parse(_csv(cells, header=header), "links.csv").videos
    assert (video.left, video.title, video.category, video.channel) == (
        ID_A,
        "Bali",
        "travel",
        "Lee",
    )


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (
            ("link", "title", "description"),
            ["no columns that may be the category", "'link', 'title'"],
        ),
        (("a", "b", "c", "d"), ["no columns that may be the link", "'a', 'b', 'c', 'd'"]),
        ((*HEADER, "Videourl"), ["2 columns that may be the link", "'link', ", "'Videourl'"]),
        ((*HEADER, "Title"), ["may be the title", "'title', ", "'Title'"]),
    ],
)
def test_a_missing_or_doubtful_column_is_named_with_the_file(header, said):
    with pytest.raises(UserError) as caught:
        parse(_csv(header=header), "some/links.csv")
    assert all(part in str(caught.value) for part in ["some/links.csv", *said])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (_csv(), "no usable video (no rows)"),
        (_csv(_row(link="")), "no usable video (1 × unreadable link)"),
        (_csv(_row())[:-20], "no readable CSV, line 4: unexpected end of data"),
    ],
)
def test_a_table_without_videos_or_cut_off_is_refused(data, said):
    with pytest.raises(UserError) as caught:
        parse(data, "links.csv")
    assert said in str(caught.value)


def test_damaged_bytes_cost_a_title_a_character_and_a_link_its_row():
    data = _csv(_row(title="B@li"), _row(link="Gqp2JY5@vCQ", title="Rome"))
    table = parse(data.replace(b"@", b"\xff"), "links.csv")
    assert [video.title for video in table.videos] == ["B�li"]
    assert _why(table) == [(3, "unreadable link")]


@pytest.mark.parametrize(
    ("link", "id"),
    [
        (f"https://www.youtube.com/watch?v={ID_A}", ID_A),
        (f"http://m.youtube.com/watch?app=desktop&v={ID_A}&t=10s#x", ID_A),
        (f"/watch?v={ID_A}", ID_A),
        (f"v={ID_A}", ID_A),
        (f" https://youtu.be/{ID_A}?si=abc ", ID_A),
        (f"https://YouTube.com/shorts/{ID_A}", ID_A),
        (f"https://www.youtube-nocookie.com/embed/{ID_A}?rel=0", ID_A),
        ("https://www.youtube.com/watch?v=JLZlCZ0", "JLZlCZ0"),
        (f"{ID_A}&list=PL1", ID_A),
        ("JLZlCZ0", "JLZlCZ0"),
        ("#NAME?", "#NAME?"),
        ("https://example.org/film", "https://example.org/film"),
        ("", ""),
    ],
)
def test_the_id_is_what_the_link_says_without_further_parameters(link, id):
    assert from_link(link) == id


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("", "the link is empty"),
        ("#NAME?", "holds no id"),
        ("https://example.org/film", "holds no id"),
        (ID_A + "x", "holds no id"),
        ("hello", "nor what stripping leaves"),  # the scraper would have taken the h and the o
    ],
)
def test_a_link_that_leads_nowhere_is_excluded_with_the_reason(link, reason):
    table = _parse(_row(ID_B, "Rome"), _row(link))
    assert [video.left for video in table.videos] == [ID_B]
    assert reason in table.excluded[0].reason


def test_a_lost_id_needs_a_title_to_search_by_and_a_whole_one_does_not():
    table = _parse(_row(title=""), _row(ID_B, title=" "), _row("JLZlCZ0", title=""))
    assert [video.left for video in table.videos] == [ID_A, ID_B]
    assert "no title" in table.excluded[0].reason


def test_many_videos_whose_links_a_spreadsheet_lost_are_not_one_conflict():
    table = _parse(_row(), _row("#NAME?", "Rome", category="food"), _row("#NAME?", "Nile"))
    assert _why(table) == [(3, "unreadable link"), (4, "unreadable link")]


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("art_music", "art_music"),
        ("Art and Music", "art_music"),
        ("art & music", "art_music"),
        ("ART_AND_MUSIC ", "art_music"),
        (" Travel", "travel"),
        ("Sci-Tech", "sci_tech"),
        ("", ""),
    ],
)
def test_a_category_has_one_spelling(text, category):
    assert category_of(text) == category


def test_an_unknown_category_is_excluded_and_still_contradicts_a_known_one():
    table = _parse(
        _row(),
        _row(ID_B, "Rome", category="manufacturing"),
        _row(ID_C, "Nile"),
        _row(ID_C, "Nile", category="manufacturing"),
    )
    assert [video.left for video in table.videos] == [ID_A]
    assert _why(table) == [
        (3, "unknown category"),
        (4, "link with several categories"),
        (5, "unknown category"),
    ]
    assert "'manufacturing', known: travel, food, art_music, history" in table.excluded[0].reason


def test_an_empty_category_contradicts_nothing():
    table = _parse(_row(), _row(category=""))
    assert [video.left for video in table.videos] == [ID_A]
    assert _why(table) == [(3, "unknown category")]


def test_links_and_titles_with_two_categories_are_dropped_and_say_where():
    table = _parse(
        _row(ID_A, "Bali"),
        _row(f"https://youtu.be/{ID_A}", "Bali 2", category="food"),
        _row(ID_B, "Rome"),
        _row(ID_C, "ROME ", category="history"),
        _row("JLZlCZ0", "Nile"),
    )
    assert [video.left for video in table.videos] == ["JLZlCZ0"]
    assert [why for _, why in _why(table)] == [
        *["link with several categories"] * 2,
        *["title with several categories"] * 2,
    ]
    assert table.excluded[0].reason == "the link is food in row 3 and travel in row 2"
    assert table.excluded[2].reason == "the title is history in row 5 and travel in row 4"


def test_dropping_a_link_does_not_hide_that_its_title_has_two_categories():
    table = _parse(
        _row(ID_A, "Bali", category="food"),
        _row(ID_A, "Bali 2"),
        _row(ID_B, "Bali"),
        _row(ID_C, "Rome"),
    )
    assert [video.left for video in table.videos] == [ID_C]


def test_one_video_per_link_and_per_title_the_one_without_repair_first():
    table = _parse(
        _row("JLZlCZ0", "Bali"),
        _row(ID_A, "bali  "),
        _row(ID_A, "Bali again"),
        _row(),
        _row(ID_A, "bali  "),
    )
    assert [(video.row, video.left) for video in table.videos] == [(3, ID_A)]
    assert _why(table) == [
        (2, "repeated title"),
        (4, "repeated link"),
        (5, "repeated link"),
        (6, "copy of a row"),
    ]
    assert table.excluded[0].reason == "the same title as row 3"


def test_titles_tie_links_over_rows_in_between_in_any_order():
    rows = [_row(ID_A, "Bali"), _row(ID_A, "Rome"), _row(ID_B, "Rome"), _row(ID_C, "Nile")]
    for order in itertools.permutations(rows):
        table = _parse(*order)
        assert len(table.videos) == 2
        assert sorted(why for _, why in _why(table)) in (
            ["repeated link", "repeated title"],
            ["repeated title"] * 2,
        )


def test_a_damaged_link_and_the_whole_one_are_the_same_video():
    whole = "vJLZlCZ0hps"
    assert stripped(whole) == "JLZlCZ0"
    table = _parse(_row("JLZlCZ0", "Arunachal"), _row(whole, "Arunachal, episode 1"))
    assert [video.left for video in table.videos] == [whole]
    assert _why(table) == [(2, "repeated link")]


@pytest.mark.parametrize(
    ("description", "channel"),
    [
        ("Tanya Khanijow\n671K subscribers\nSUBSCRIBE\nmore", "Tanya Khanijow"),
        ("\r\n Lee \r\n4 subscribers", "Lee"),
        ("671K subscribers\nSUBSCRIBE\nmore", None),
        ("1 subscriber", None),
        ("SUBSCRIBE\nmore", None),
        ("Hello everyone, this is my film", "Hello everyone, this is my film"),
        (" \n ", None),
        ("", None),
    ],
)
def test_the_channel_is_the_first_line_unless_it_names_none(description, channel):
    assert channel_of(description) == channel


def test_a_row_of_another_length_is_excluded():
    table = _parse(_row(), (ID_B, "Rome"), (*_row(ID_C, "Nile"), "more"))
    assert [why for _, why in _why(table)] == ["wrong number of cells"] * 2
    assert table.excluded[0].reason == "2 cells, where the header has 4"


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_table_or_a_user_error(data):
    for raw in (data, ",".join(HEADER).encode() + b"\n" + data):
        try:
            table = parse(raw, "links.csv")
        except UserError:
            continue
        assert isinstance(table, LinkTable)


_CELLS = st.one_of(st.text(max_size=12), st.sampled_from(["", '"', "a\nb", ",", "\r", "\x00"]))
_ROWS = st.lists(
    st.one_of(
        st.lists(_CELLS, max_size=6),
        st.tuples(
            st.sampled_from(
                [ID_A, ID_B, ID_C, f"youtu.be/{ID_A}", "JLZlCZ0", "vJLZlCZ0hps", "PYGY8", "#NAME?"]
            ),
            st.sampled_from(["Bali", "bali ", "Rome", "ß", "SS", ""]),
            st.sampled_from(["Lee\nJOIN", "lee", "SUBSCRIBE", ""]),
            st.sampled_from(["travel", "Travel", "food", "Art and Music", "", "manufacturing"]),
        ),
    ),
    max_size=12,
)


@settings(max_examples=150)
@given(_ROWS)
def test_every_row_is_a_video_or_excluded_and_no_video_contradicts_another(rows):
    data = _csv(*(tuple(row) for row in rows))
    written = list(csv.reader(io.StringIO(data.decode(errors="replace"), newline="")))[1:]
    blank = sum(not any(cell.strip() for cell in row) for row in written)
    try:
        table = parse(data, "links.csv")
    except UserError:
        return
    numbers = [v.row for v in table.videos] + [entry.video.row for entry in table.excluded]
    assert len(numbers) == len(set(numbers)) == len(written) - blank
    assert all(video.category in CATEGORIES for video in table.videos)
    assert all(intact(video.left) or repairable(video.left) for video in table.videos)
    for key in (
        lambda video: video.left,
        lambda video: stripped(video.left),
        lambda video: plain_title(video.title) or video.row,
    ):
        assert max(Counter(map(key, table.videos)).values()) == 1
    everything = [*table.videos, *(entry.video for entry in table.excluded)]
    whole = [v for v in everything if len(written[v.row - 2]) == len(HEADER) and v.category]
    for video in table.videos:
        for other in whole:
            same = (
                other.left == video.left
                or plain_title(other.title) == plain_title(video.title) != ""
            )
            assert not same or other.category == video.category
    shuffled = {video.left for video in parse(_csv(*(tuple(r) for r in rows[::-1])), "x").videos}
    assert len(shuffled) == len(table.videos)


@given(st.text(max_size=20))
def test_normalising_twice_changes_nothing(text):
    assert plain_title(plain_title(text)) == plain_title(text)


@pytest.mark.real
@needs_table
def test_the_real_table_gives_these_videos():
    table = parse(REAL.read_bytes(), "table")
    assert len(table.videos) + len(table.excluded) == 3599
    assert (len(table.videos), sum(intact(video.left) for video in table.videos)) == (3328, 1996)
    assert all(video.channel for video in table.videos)
    categories = {"travel": 1098, "food": 862, "art_music": 787, "history": 581}
    assert Counter(video.category for video in table.videos) == categories
    assert Counter(entry.why for entry in table.excluded) == {
        "copy of a row": 99,
        "unreadable link": 60,
        "link with several categories": 16,
        "repeated link": 1,
        "repeated title": 95,
    }
    lost = [entry for entry in table.excluded if entry.why == "unreadable link"]
    assert {entry.video.link for entry in lost} == {"#NAME?"}


@pytest.mark.real
@needs_table
def test_every_real_link_is_what_the_scraper_would_have_left():
    table = parse(REAL.read_bytes(), "table")
    assert all(stripped(video.left) == video.left for video in table.videos)
    # 64 bits in 11 characters of 6: the last one has 16 values, of which stripping eats 4
    whole = [video.left for video in table.videos if intact(video.left)]
    assert {id[-1] for id in whole} == set("AEIMQUYgk048")
