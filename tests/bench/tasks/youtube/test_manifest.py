"""The manifest: what is known of each video, over many fetches and changed tables."""

from __future__ import annotations

import csv
import string
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import StorageError, UserError
from bench.tasks.youtube import manifest
from bench.tasks.youtube.links import CATEGORIES
from bench.tasks.youtube.manifest import Item, Ledger
from bench.tasks.youtube.statuses import STATUSES
from bench.tasks.youtube.table import LinkTable, parse

HEADER = "link,title,description,category\n"


def table(*rows: tuple[str, str, str]) -> LinkTable:
    lines = [
        f"https://www.youtube.com/watch?v={id},{title},Channel of {title},{category}\n"
        for id, title, category in rows
    ]
    return parse((HEADER + "".join(lines)).encode(), "table.csv")


THREE = table(
    ("Zbcdefghij1", "Alps", "travel"),
    ("Zbcdefghij2", "Soup", "food"),
    ("ZbcdefgX", "Rome", "history"),  # three characters lost
)


def finished(ledger: Ledger, item: Item, content: bytes = b"sound") -> Item:
    target = item.target(ledger.folder)
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(content)
    done = replace(
        item,
        status="ok",
        file=target.name,
        sha256="0" * 64,
        seconds=60.0,
        asked_seconds=60.0,
        bytes=len(content),
        codec="opus",
        fetched_at="2026-01-01T00:00:00+00:00",
    )
    ledger.settle(done)
    return done


TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
ITEMS = st.lists(
    st.builds(
        Item,
        left=st.text(string.ascii_letters, min_size=1, max_size=11),
        row=st.integers(2, 10_000),
        id=st.none() | st.text(string.ascii_letters, min_size=11, max_size=11),
        category=st.sampled_from(CATEGORIES),
        title=TEXT,
        channel=st.none() | TEXT,
        status=st.sampled_from(STATUSES),
        reason=TEXT,
        seconds=st.none() | st.floats(0, 1e5),
        bytes=st.none() | st.integers(0, 2**40),
        in_table=st.booleans(),
    ),
    unique_by=lambda item: item.left,
    max_size=6,
)


@settings(max_examples=30)
@given(items=ITEMS)
def test_what_is_written_is_read_again(items: list[Item], tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    manifest.write(folder, items)
    assert sorted(manifest.read(folder), key=lambda i: i.left) == sorted(
        items, key=lambda i: i.left
    )


def test_a_folder_without_a_manifest_has_no_items(tmp_path: Path) -> None:
    assert manifest.read(tmp_path) == ()


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", b"left,row\na,1\n"])
def test_a_damaged_manifest_is_a_mistake_with_a_next_step(tmp_path: Path, content: bytes) -> None:
    (tmp_path / manifest.MANIFEST).write_bytes(content)
    with pytest.raises(UserError, match=r"manifest\.parquet.*restore it, or move it away"):
        manifest.read(tmp_path)


def test_a_parquet_file_of_something_else_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"left": [1], "row": [2]}), tmp_path / manifest.MANIFEST)
    with pytest.raises(UserError, match=r"manifest\.parquet cannot be read"):
        manifest.read(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(StorageError, match=r"manifest\.parquet cannot be written"):
        manifest.write(blocked, [])


def test_file_names_hold_nothing_of_the_id_and_differ_by_its_case(tmp_path: Path) -> None:
    lower, upper = (
        Item(left=id, row=2, id=id, category="food", title="t").target(tmp_path)
        for id in ("abcdefghijk", "ABCDEFGHIJK")
    )
    assert lower.name.lower() != upper.name.lower()
    evil = Item(left="x", row=2, id="../../../etc", category="food", title="t").target(tmp_path)
    assert evil.parent == tmp_path / "audio"
    assert evil.name.removesuffix(".mka").isalnum()


def test_a_finished_video_stays_finished_and_a_removed_file_is_fetched_again(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path, THREE, 60.0)
    assert [item.left for item in ledger.to_do(repair=False)] == ["Zbcdefghij1", "Zbcdefghij2"]
    assert [item.left for item in ledger.to_do()] == ["Zbcdefghij1", "Zbcdefghij2", "ZbcdefgX"]
    first, second = (finished(ledger, item) for item in ledger.to_do(repair=False))

    assert Ledger(tmp_path, THREE, 60.0).to_do(repair=False) == ()
    first.target(tmp_path).unlink()
    second.target(tmp_path).write_bytes(b"cut")  # another size than was stored
    assert [item.left for item in Ledger(tmp_path, THREE, 60.0).to_do(repair=False)] == [
        "Zbcdefghij1",
        "Zbcdefghij2",
    ]


def test_final_statuses_are_left_alone_unless_asked_for_and_passing_ones_tried_again(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path, THREE, 60.0)
    alps, soup = ledger.to_do(repair=False)
    ledger.settle(replace(alps, status="private", reason="Private video"))
    ledger.settle(replace(soup, status="failed", reason="timed out"))
    assert [i.left for i in Ledger(tmp_path, THREE, 60.0).to_do(repair=False)] == ["Zbcdefghij2"]
    again = Ledger(tmp_path, THREE, 60.0, again=("private",)).to_do(repair=False)
    assert [(i.left, i.status) for i in again] == [
        ("Zbcdefghij1", "not tried"),
        ("Zbcdefghij2", "failed"),
    ]


def test_ids_that_nothing_fits_are_not_searched_for_again_unless_asked(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, THREE, 60.0)
    (item,) = (item for item in ledger.to_do() if item.id is None)
    ledger.settle(replace(item, status="not repaired", reason="no id fits"))
    again = Ledger(tmp_path, THREE, 60.0)
    assert all(item.id for item in again.to_do())
    asked = Ledger(tmp_path, THREE, 60.0, again=("not repaired",))
    assert [item.id for item in asked.to_do()].count(None) == 1


def test_clips_of_two_lengths_are_never_mixed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, THREE, 60.0)
    finished(ledger, ledger.to_do(repair=False)[0])
    with pytest.raises(UserError, match=r"holds the first 60 s .* 30 s are asked for"):
        Ledger(tmp_path, THREE, 30.0)


def test_another_table_takes_over_what_it_shares_and_keeps_the_rest_apart(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, THREE, 60.0)
    for item in ledger.to_do(repair=False):
        finished(ledger, item)
    other = table(("Zbcdefghij2", "Soup", "travel"), ("Zbcdefghij9", "War", "history"))
    changed = Ledger(tmp_path, other, 60.0)
    by_id = {item.left: item for item in manifest.read(tmp_path)}
    assert by_id["Zbcdefghij2"].status == "ok"
    assert by_id["Zbcdefghij2"].category == "travel"
    assert not by_id["Zbcdefghij1"].in_table
    assert [item.left for item in changed.to_do(repair=False)] == ["Zbcdefghij9"]
    # the first table again: nothing of it was lost
    assert [i.left for i in Ledger(tmp_path, THREE, 60.0).to_do(repair=False)] == []


def test_rows_left_out_are_listed_with_their_reasons(tmp_path: Path) -> None:
    links = table(
        ("Zbcdefghij1", "Alps", "travel"),
        ("Zbcdefghij2", "Soup", "food"),
        ("Zbcdefghij2", "Soup", "history"),
    )
    Ledger(tmp_path, links, 60.0)
    with (tmp_path / manifest.EXCLUDED).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["row"], row["why"]) for row in rows] == [
        ("3", "link with several categories"),
        ("4", "link with several categories"),
    ]
